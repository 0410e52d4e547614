"""Before the first attempt: a process is checked, waits for its node, and gets its Job."""

from __future__ import annotations

from datetime import timedelta

from trainyard.api.process import Attempt, ProcessPhase, QueueStatus
from trainyard.api.reasons import ConditionType, Reason
from trainyard.decide import display
from trainyard.decide.actions import CreateTrainingJob, SuspendJob
from trainyard.decide.conditions import find, is_true
from trainyard.decide.draft import StatusDraft
from trainyard.decide.facts import JobFacts, ProcessFacts
from trainyard.decide.node import check_node
from trainyard.decide.queue import as_rival, place
from trainyard.decide.resolve import resolve, resolve_template, run_file
from trainyard.decide.validation import validate

POLL = timedelta(seconds=15)
"""How often something is looked at again that no event announces."""


def before_first_attempt(facts: ProcessFacts, draft: StatusDraft) -> None:
    """Check, wait, create the suspended Job and record the attempt."""
    process = facts.process
    if facts.job is not None and facts.job.live and facts.job.owner_uid == process.metadata.uid:
        # Nobody unsuspends it before the attempt is on record and the lock is held.
        draft.actions.append(SuspendJob(facts.job))
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
    finding = validate(facts)
    if finding is not None:
        draft.condition(ConditionType.VALIDATED, False, finding.reason, finding.message)
        if finding.final:
            whole = (
                Reason.NOT_YET_SUPPORTED
                if finding.reason is Reason.NOT_YET_SUPPORTED
                else Reason.VALIDATION_FAILED
            )
            draft.fail(whole, finding.message)
            draft.show(reason=str(finding.reason))
        else:
            draft.phase(ProcessPhase.QUEUED, finding.reason)
            draft.look_again_at = draft.now + POLL
        return
    draft.condition(
        ConditionType.VALIDATED,
        True,
        Reason.VALID,
        "everything fits together; train shares no image with dev or test",
    )
    if facts.job is not None and facts.job.owner_uid != process.metadata.uid:
        _name_taken(facts.job, draft)
    elif node_is_free(facts, draft):
        if is_true(draft.old.conditions, ConditionType.VALIDATED):
            _create_attempt(facts, draft)
        else:
            _join_queue(facts, draft)


def _join_queue(facts: ProcessFacts, draft: StatusDraft) -> None:
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
    draft.look_again_at = draft.now


def _name_taken(job: JobFacts, draft: StatusDraft) -> None:
    message = (
        f"Job {job.name} was made by another and has the name that this run needs: delete it "
        f"with kubectl delete job {job.name}"
    )
    draft.phase(ProcessPhase.QUEUED, Reason.JOB_NAME_TAKEN)
    draft.condition(ConditionType.RUNNING, False, Reason.JOB_NAME_TAKEN, message)
    draft.look_again_at = draft.now + POLL


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
    spot = place(as_rival(facts.process), facts.rivals, facts.lease, facts.live_holder)
    if spot.first:
        return True
    holder = spot.waiting_for
    draft.phase(ProcessPhase.QUEUED, Reason.WAITING_FOR_NODE)
    holders = (facts.live_holder, facts.lease.holder if facts.lease is not None else None)
    verb = "is held by" if holder in holders else "goes first to"
    draft.condition(
        ConditionType.NODE_RESERVED,
        False,
        Reason.WAITING_FOR_NODE,
        f"node {name} {verb} {holder}; this process is {display.ordinal(spot.position)} of "
        f"{spot.length} that wait",
    )
    draft.changes["queue"] = QueueStatus(position=spot.position, waiting_for=holder)
    draft.show(queue=f"{display.ordinal(spot.position)}, after {holder}", eta="")
    return False


def _bound_wait(facts: ProcessFacts, draft: StatusDraft, reason: Reason, message: str) -> None:
    """Fail when the condition NodeReserved has been Unknown for too long."""
    condition = find(draft.conditions, ConditionType.NODE_RESERVED)
    since = condition.last_transition_time if condition is not None else draft.now
    deadline = since + timedelta(seconds=facts.settings.gpu_wait_seconds)
    if draft.now >= deadline:
        draft.fail(reason, message)
    else:
        draft.look_again_at = deadline


def recipe_gpus(facts: ProcessFacts) -> int:
    """GPUs that the run asks for."""
    if facts.run is not None:
        return facts.run.template.resources.gpus
    if facts.template is None:
        return 0
    return resolve_template(facts.template.spec, facts.process.spec.overrides).resources.gpus


def _create_attempt(facts: ProcessFacts, draft: StatusDraft) -> None:
    """Create the suspended Job, then record the attempt and what it is made of."""
    process, settings = facts.process, facts.settings
    if facts.capability is None or facts.template is None:
        raise ValueError(f"TrainingProcess {process.key} was not validated")
    recipe = resolve_template(facts.template.spec, process.spec.overrides)
    resolved = resolve(
        capability_name=process.spec.capability,
        capability=facts.capability.spec,
        template_name=process.spec.template,
        template=recipe,
        splits=process.spec.datasets,
        datasets=facts.datasets,
        image=settings.image,
    )
    run = run_file(
        process=process,
        attempt=1,
        resolved=resolved,
        capability=facts.capability.spec,
        template=recipe,
        datasets=facts.datasets,
        store_root=settings.store_root,
        store=settings.store,
        progress_url=settings.progress_url,
    )
    node = process.spec.target_node
    draft.actions.append(CreateTrainingJob(run=run, attempt=1, node=node))
    draft.changes["resolved"] = resolved
    draft.changes["attempts"] = (
        Attempt(number=1, node=node, start_time=draft.now.replace(microsecond=0)),
    )
    draft.phase(ProcessPhase.STARTING, Reason.STARTING)
    draft.condition(
        ConditionType.NODE_RESERVED, False, Reason.STARTING, f"taking the lock of node {node}"
    )
