"""Before the first attempt: a process is checked, waits for its node, and gets its Job."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from trainyard.api.process import OnExistingRun
from trainyard.api.process_status import Attempt, ProcessPhase, Resolved
from trainyard.api.reasons import ConditionType, Reason
from trainyard.api.run import RunFile
from trainyard.decide import attempts, display
from trainyard.decide.actions import CreateTrainingJob, SuspendJob
from trainyard.decide.busy_node import is_refused
from trainyard.decide.conditions import find, is_true
from trainyard.decide.data_status import data_status
from trainyard.decide.deadlines import start_deadline
from trainyard.decide.draft import POLL, StatusDraft
from trainyard.decide.facts import JobFacts, ProcessFacts
from trainyard.decide.forecast import Forecast, forecast, look_again_at, queue_status
from trainyard.decide.inputs import resolve_now
from trainyard.decide.naming import named, why_quarantined
from trainyard.decide.node import check_node
from trainyard.decide.queue import Place, as_rival, place
from trainyard.decide.resolve import resolve_template
from trainyard.decide.reuse import is_reused
from trainyard.decide.validation import validate


def before_first_attempt(facts: ProcessFacts, draft: StatusDraft) -> None:
    """Check, wait, create the suspended Job and record the attempt."""
    process = facts.process
    if facts.job is not None and facts.job.live and facts.job.owner_uid == process.metadata.uid:
        # Nobody unsuspends it before the attempt is on record and the lock is held.
        draft.actions.append(SuspendJob(facts.job))
    reuses = process.spec.on_existing_run is OnExistingRun.REUSE
    if not reuses and is_refused(facts, draft):
        return
    if process.spec.suspend:
        draft.phase(ProcessPhase.CREATED, Reason.DRAFT)
        draft.condition(
            ConditionType.SUSPENDED,
            True,
            Reason.DRAFT,
            "a draft: set spec.suspend to false to start it",
        )
        return
    draft.condition(ConditionType.SUSPENDED, False, Reason.STARTED, "spec.suspend is false")
    draft.phase(ProcessPhase.QUEUED)
    if out_of_time(facts, draft):
        return
    known = data_status(facts)
    if known is not None:
        draft.changes["data"] = known
    finding = validate(facts)
    if finding is not None:
        draft.condition(ConditionType.VALIDATED, False, finding.reason, finding.message)
        if finding.final:
            draft.fail(Reason.VALIDATION_FAILED, finding.message)
            draft.show(reason=str(finding.reason))
        else:
            draft.phase(ProcessPhase.QUEUED, finding.reason)
            draft.again(draft.now + POLL)
        return
    # What takes an earlier run needs no node.
    if is_reused(facts, draft) or is_refused(facts, draft):
        return
    draft.condition(
        ConditionType.VALIDATED,
        True,
        Reason.VALID,
        "everything fits together; train shares no image and no group with dev or test",
    )
    if facts.job is not None and facts.job.owner_uid != process.metadata.uid:
        name_taken(facts.job, draft)
    elif node_is_free(facts, draft):
        if is_true(draft.old.conditions, ConditionType.VALIDATED):
            _first_attempt(facts, draft)
        else:
            join_queue(facts, draft)


def out_of_time(facts: ProcessFacts, draft: StatusDraft) -> bool:
    """Whether the start deadline has passed; then the process has failed."""
    kinds = (ConditionType.VALIDATED, ConditionType.NODE_RESERVED)
    found = [find(draft.old.conditions, kind) for kind in kinds]
    waits = next((one.message for one in found if one is not None and one.status == "False"), "")
    clock = start_deadline(facts.process, waits)
    if clock is None:
        return False
    if draft.now >= clock.at:
        draft.fail(clock.reason, clock.message)
        return True
    draft.again(clock.at)
    return False


def join_queue(facts: ProcessFacts, draft: StatusDraft) -> None:
    """Stand in the queue first; whether it is its turn is decided in a pass that read that back.

    Several processes often become valid at once, when their last dataset is ready. Only when each
    of them stands in the queue can the one with the highest priority be seen to go first.
    """
    draft.phase(ProcessPhase.QUEUED, Reason.WAITING_FOR_NODE)
    draft.condition(
        ConditionType.NODE_RESERVED,
        False,
        Reason.WAITING_FOR_NODE,
        f"joining the queue of node {facts.process.spec.target_node}",
    )
    draft.again(draft.now)


def name_taken(job: JobFacts, draft: StatusDraft) -> None:
    """Wait: a Job of somebody else has the name that the attempt's Job needs."""
    message = (
        f"Job {job.name} was made by another and has the name that this run needs: delete it "
        f"with kubectl delete job {job.name}"
    )
    draft.phase(ProcessPhase.QUEUED, Reason.JOB_NAME_TAKEN)
    draft.condition(ConditionType.RUNNING, False, Reason.JOB_NAME_TAKEN, message)
    draft.again(draft.now + POLL)


def node_is_free(facts: ProcessFacts, draft: StatusDraft) -> bool:
    """Whether the process may start on its node now; if not, the draft says why."""
    name, template = facts.process.spec.target_node, recipe_gpus(facts)
    finding = check_node(name, facts.node, template, facts.settings)
    if finding is not None:
        status = None if finding.bounded else False
        draft.phase(ProcessPhase.QUEUED, finding.reason)
        draft.condition(ConditionType.NODE_RESERVED, status, finding.reason, finding.message)
        if finding.bounded:
            _bound_wait(facts, draft, finding.reason, finding.message)
        return False
    if facts.lease is not None and facts.lease.quarantined:
        draft.phase(ProcessPhase.QUEUED, Reason.QUARANTINED)
        namespace = facts.process.metadata.namespace
        told = why_quarantined(facts.lease, namespace, hide=facts.settings.hides_other_namespaces)
        draft.condition(ConditionType.NODE_RESERVED, False, Reason.QUARANTINED, told)
        return False
    me = as_rival(facts.process)
    spot = place(me, facts.rivals, facts.lease, facts.live_holder)
    if spot.first:
        return True
    _wait(facts, draft, spot, forecast(me, facts.rivals, spot, draft.now))
    return False


def _wait(facts: ProcessFacts, draft: StatusDraft, spot: Place, found: Forecast) -> None:
    """Say for whom the process waits, until when it is held, and when it may start."""
    draft.phase(ProcessPhase.QUEUED, Reason.WAITING_FOR_NODE)
    holders = (facts.live_holder, facts.lease.holder if facts.lease is not None else None)
    verb = "is held by" if spot.waiting_for in holders else "goes first to"
    if spot.waiting_for is not None:
        shown = named(
            spot.waiting_for,
            facts.process.metadata.namespace,
            hide=facts.settings.hides_other_namespaces,
        )
        spot = replace(spot, waiting_for=shown)
    queue = queue_status(draft.old.queue, spot, found, draft.now)
    holder, start = queue.waiting_for, queue.estimated_start_time
    until = "" if queue.held_until is None else f" until about {display.moment(queue.held_until)}"
    place_ = display.ordinal(spot.position)
    starts = "" if start is None else f", and starts at about {display.moment(start)}"
    draft.condition(
        ConditionType.NODE_RESERVED,
        False,
        Reason.WAITING_FOR_NODE,
        f"node {facts.process.spec.target_node} {verb} {holder}{until}; this process is {place_} "
        f"of {spot.length} that wait{starts}",
    )
    draft.changes["queue"] = queue
    again = look_again_at(queue, found, draft.now)
    if again is not None:
        draft.again(again)
    draft.show(
        queue=f"{place_}, after {holder}",
        eta="" if start is None else f"starts {display.moment(start)}",
    )


def _bound_wait(facts: ProcessFacts, draft: StatusDraft, reason: Reason, message: str) -> None:
    """Fail when the condition NodeReserved has been Unknown for too long."""
    condition = find(draft.conditions, ConditionType.NODE_RESERVED)
    since = condition.last_transition_time if condition is not None else draft.now
    deadline = since + timedelta(seconds=facts.settings.gpu_wait_seconds)
    if draft.now >= deadline:
        draft.fail(reason, message)
    else:
        draft.again(deadline)


def recipe_gpus(facts: ProcessFacts) -> int:
    """GPUs that the run asks for."""
    if facts.run is not None:
        return facts.run.template.resources.gpus
    if facts.template is None:
        return 0
    return resolve_template(facts.template.spec, facts.process.spec.overrides).resources.gpus


def _first_attempt(facts: ProcessFacts, draft: StatusDraft) -> None:
    """Create the suspended Job, then record the attempt and what it is made of."""
    resolved, run = resolve_now(facts)
    draft.changes["resolved"] = resolved
    started = draft.now.replace(microsecond=0)
    node = facts.process.spec.target_node
    record_attempt(facts, draft, run, Attempt(number=1, node=node, start_time=started))


def record_attempt(facts: ProcessFacts, draft: StatusDraft, run: RunFile, attempt: Attempt) -> None:
    """Create the suspended Job of an attempt; its record comes after it, the lock later."""
    draft.actions.append(creation(draft, run, attempt))
    placed = attempt.model_copy(update={"location": run.output})
    draft.changes["attempts"] = attempts.recorded(facts.process.status.attempts, placed)
    draft.phase(ProcessPhase.STARTING, Reason.STARTING)
    draft.condition(
        ConditionType.NODE_RESERVED,
        False,
        Reason.STARTING,
        f"taking the lock of node {attempt.node}",
    )


def creation(draft: StatusDraft, run: RunFile, attempt: Attempt) -> CreateTrainingJob:
    """The making of an attempt's Job, with the image that was resolved."""
    resolved: Resolved | None = draft.changes.get("resolved", draft.old.resolved)
    image = None if resolved is None else resolved.image
    return CreateTrainingJob(run=run, attempt=attempt.number, node=attempt.node, image=image)
