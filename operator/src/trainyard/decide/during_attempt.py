"""From the record of an attempt to its end: start its Job, follow the pod, see how it ends."""

from __future__ import annotations

from datetime import timedelta

from trainyard.api.meta import Condition
from trainyard.api.process_status import Attempt, ProcessPhase
from trainyard.api.reasons import ConditionType, Reason
from trainyard.api.run import RunFile
from trainyard.decide import attempts, not_started, outcome
from trainyard.decide.actions import StartJob, SuspendJob
from trainyard.decide.before_start import (
    creation,
    node_is_free,
    out_of_time,
)
from trainyard.decide.conclude import conclude
from trainyard.decide.conditions import find, is_true
from trainyard.decide.deadlines import Clock, active_deadline, stall, start_deadline
from trainyard.decide.draft import POLL, StatusDraft
from trainyard.decide.ending import (
    begin_to_end,
    end_attempt,
    end_without_job,
    node_lost,
    wait_for_evidence,
)
from trainyard.decide.facts import (
    DELETED_BY_POD_GC,
    JobFacts,
    PodFacts,
    ProcessFacts,
    StartFailure,
)
from trainyard.decide.harvest import harvest, is_published, keep_progress
from trainyard.decide.inputs import restored_base
from trainyard.decide.naming import named
from trainyard.decide.resolve import output_location


def during_attempt(facts: ProcessFacts, draft: StatusDraft, attempt: Attempt) -> None:
    """Start the attempt, follow it, end it."""
    job = facts.job
    _say_whether_it_stops(facts, draft)
    if is_published(facts, attempt):
        # Whatever became of its Job and pod meanwhile: no finished model is lost.
        harvest(facts, draft, attempt)
    elif job is None or job.owner_uid != facts.process.metadata.uid:
        keep_progress(facts, draft)
        end_without_job(facts, draft, attempt)
    elif job.complete:
        harvest(facts, draft, attempt)
    elif job.failed:
        _failed(facts, draft, attempt, job)
    elif attempt.reason is not None:
        keep_progress(facts, draft)
        end_attempt(facts, draft, attempt, job)
    elif job.suspended and facts.pod is None:
        _start(facts, draft, attempt, job)
    elif facts.process.spec.suspend or job.suspended:
        why = "spec.suspend is true" if facts.process.spec.suspend else "its Job was suspended"
        begin_to_end(draft, attempt, Reason.STOPPED, f"stopped: {why}")
    else:
        _follow(facts, draft, attempt, job)


def _say_whether_it_stops(facts: ProcessFacts, draft: StatusDraft) -> None:
    if facts.process.spec.suspend:
        reason, message = Reason.STOPPING, "the attempt is being stopped"
    else:
        reason, message = Reason.STARTED, "spec.suspend is false"
    draft.condition(ConditionType.SUSPENDED, False, reason, message)


def _failed(facts: ProcessFacts, draft: StatusDraft, attempt: Attempt, job: JobFacts) -> None:
    """The Job failed: why is read from its pod, whose kubelet has spoken."""
    keep_progress(facts, draft)
    if facts.pod is not None and wait_for_evidence(facts, draft, facts.pod):
        draft.phase(draft.old.phase or ProcessPhase.RUNNING, Reason.AWAITING_EVIDENCE)
        return
    if facts.pod is not None and facts.pod.disruption == DELETED_BY_POD_GC:
        conclude(facts, draft, attempt, Reason.NODE_LOST, node_lost(attempt))
        return
    ended = outcome.of_failure(job, facts.pod)
    if attempt.reason is not None and ended.reason in attempts.NO_FAILURE:
        # It was being ended for a reason of its own, which says more.
        reason, message = Reason(attempt.reason), attempt.message or ended.message
        conclude(facts, draft, attempt, reason, message, ended.log_tail)
    else:
        conclude(facts, draft, attempt, ended.reason, ended.message, ended.log_tail)


def _start(facts: ProcessFacts, draft: StatusDraft, attempt: Attempt, job: JobFacts) -> None:
    """Start the suspended Job when the node is ours or free."""
    if facts.process.spec.suspend:
        begin_to_end(draft, attempt, Reason.STOPPED, "stopped before it began")
        return
    if facts.run is None:
        _restore_run_file(facts, draft, attempt)
        return
    if out_of_time(facts, draft) or (
        not _holds_lock(facts, job) and not node_is_free(facts, draft)
    ):
        failed = find(draft.conditions, ConditionType.FAILED)
        if draft.changes["phase"] is ProcessPhase.FAILED and failed is not None:
            conclude(facts, draft, attempt, Reason(failed.reason), failed.message)
        return
    draft.phase(ProcessPhase.STARTING, Reason.STARTING)
    draft.actions.append(_start_job(facts, job, attempt))
    draft.condition(
        ConditionType.NODE_RESERVED,
        False,
        Reason.STARTING,
        f"taking the lock of node {attempt.node}",
    )


def _restore_run_file(facts: ProcessFacts, draft: StatusDraft, attempt: Attempt) -> None:
    """Make a deleted ConfigMap again, which is possible as long as the inputs are known."""
    run = _expected_run(facts, attempt)
    if run is None:
        message = (
            f"the ConfigMap with run.yaml of attempt {attempt.number} was deleted before the run "
            "started, and capability, template or datasets are not what they were: create a new "
            "process"
        )
        begin_to_end(draft, attempt, Reason.RUN_FILE_DELETED, message)
        return
    draft.actions.append(creation(draft, run, attempt))
    draft.again(draft.now)


def _expected_run(facts: ProcessFacts, attempt: Attempt) -> RunFile | None:
    base = facts.base or restored_base(facts)
    if base is None or attempt.number == 1:
        return base
    settings, process = facts.settings, facts.process
    output = output_location(settings.store_root, process, attempt.number)
    point = process.status.checkpoint if attempt.resumed_from_epoch is not None else None
    return attempts.run_of(base, attempt.number, output, point, attempt.batch_size)


def _start_job(facts: ProcessFacts, job: JobFacts, attempt: Attempt) -> StartJob:
    return StartJob(
        job=job,
        node=attempt.node,
        process=facts.process.key,
        attempt=attempt.number,
        hide_names=facts.settings.hides_other_namespaces,
    )


def _holds_lock(facts: ProcessFacts, job: JobFacts) -> bool:
    return facts.lease is not None and facts.lease.holder_job_uid == job.uid


def _follow(facts: ProcessFacts, draft: StatusDraft, attempt: Attempt, job: JobFacts) -> None:
    """The Job was unsuspended: hold the lock, follow the pod, watch the clocks."""
    if facts.lease is not None and not _holds_lock(facts, job):
        holder = named(
            facts.lease.holder,
            facts.process.metadata.namespace,
            hide=facts.settings.hides_other_namespaces,
        )
        draft.actions.append(SuspendJob(job))
        draft.phase(ProcessPhase.STARTING, Reason.WAITING_FOR_NODE)
        draft.condition(
            ConditionType.NODE_RESERVED,
            False,
            Reason.WAITING_FOR_NODE,
            f"node {attempt.node} is held by {holder}, so the Job is suspended again",
        )
        return
    if facts.lease is None:
        # Removed by hand: taken again, with every check, before anybody else does.
        draft.actions.append(_start_job(facts, job, attempt))
    draft.condition(
        ConditionType.NODE_RESERVED, True, Reason.RESERVED, f"node {attempt.node} is reserved"
    )
    keep_progress(facts, draft)
    pod = facts.pod
    if pod is not None and pod.phase == "Running" and pod.deletion_time is None:
        draft.phase(ProcessPhase.RUNNING)
        if draft.old.start_time is None:
            draft.changes["start_time"] = draft.now.replace(microsecond=0)
        _say_that_it_runs(facts, draft, pod)
    elif pod is not None and pod.terminal:
        draft.phase(draft.old.phase or ProcessPhase.RUNNING, Reason.VERIFYING_ARTEFACTS)
        draft.condition(
            ConditionType.RUNNING, False, Reason.VERIFYING_ARTEFACTS, f"pod {pod.name} ended"
        )
    elif pod is not None and pod.deletion_time is not None:
        draft.phase(ProcessPhase.SUSPENDING, Reason.EVICTED)
        wait_for_evidence(facts, draft, pod)
    elif not _say_why_it_does_not_run(facts, draft, attempt):
        return
    for clock in _clocks(facts, draft):
        if clock is not None and draft.now >= clock.at:
            if clock.reason is Reason.STALLED:
                draft.condition(ConditionType.PROGRESS_STALLED, True, Reason.STALLED, clock.message)
            begin_to_end(draft, attempt, clock.reason, clock.message)
            return
        if clock is not None:
            draft.again(clock.at)


def _clocks(facts: ProcessFacts, draft: StatusDraft) -> tuple[Clock | None, ...]:
    running = find(draft.conditions, ConditionType.RUNNING)
    waits = running.message if running is not None else ""
    starts = draft.changes.get("start_time") is None
    return (
        start_deadline(facts.process, waits) if starts else None,
        active_deadline(facts.process, draft.now),
        stall(
            facts.process,
            None if facts.report is None else facts.report.received_at,
            facts.listening_since,
        ),
    )


def _say_that_it_runs(facts: ProcessFacts, draft: StatusDraft, pod: PodFacts) -> None:
    if facts.node is not None and not facts.node.ready:
        draft.condition(
            ConditionType.RUNNING,
            None,
            Reason.NODE_NOT_READY,
            f"pod {pod.name} ran when node {pod.node} was last heard of; the run is kept, and "
            f"goes on if the node comes back: see kubectl describe node {pod.node}",
        )
    else:
        draft.condition(ConditionType.RUNNING, True, Reason.PODS_READY, f"pod {pod.name} runs")
    if facts.process.spec.stall_timeout_seconds is not None:
        draft.condition(
            ConditionType.PROGRESS_STALLED, False, Reason.REPORTING, "the trainer reports"
        )


def _say_why_it_does_not_run(facts: ProcessFacts, draft: StatusDraft, attempt: Attempt) -> bool:
    """Name what keeps the pod from running; whether the attempt is not given up for it."""
    pod = facts.pod
    if pod is not None and facts.run is None:
        # Without its ConfigMap the pod is never started.
        _restore_run_file(facts, draft, attempt)
        if draft.changes.get("attempts"):
            return False
    before = find(draft.conditions, ConditionType.RUNNING)
    reason, message = _why_not_running(pod, before, facts.refusal, facts.start_failure)
    draft.phase(ProcessPhase.STARTING, reason)
    draft.condition(ConditionType.RUNNING, False, reason, message)
    if pod is None or pod.waiting_reason == "ContainerCreating":
        # Events are not watched.
        draft.again(draft.now + POLL)
    reserved = find(draft.old.conditions, ConditionType.NODE_RESERVED)
    if reason is Reason.STARTING or reserved is None:
        return True
    if not is_true(draft.old.conditions, ConditionType.NODE_RESERVED):
        return True
    seconds = facts.settings.pod_start_seconds
    given_up = reserved.last_transition_time + timedelta(seconds=seconds)
    if draft.now >= given_up:
        begin_to_end(draft, attempt, reason, f"{message} (given up after {seconds} s)")
        return False
    draft.again(given_up)
    return True


def _why_not_running(
    pod: PodFacts | None, before: Condition | None, refusal: str, failure: StartFailure | None
) -> tuple[Reason, str]:
    failed_pull = Reason.IMAGE_PULL_FAILED
    if pod is None:
        if refusal:
            return _found(
                Reason.POD_REFUSED, f"the pod was refused: {not_started.refused(refusal)}"
            )
        return Reason.STARTING, "waiting for the Job's pod"
    if pod.waiting_reason == "ImagePullBackOff" and before and before.reason == failed_pull:
        # It alternates with the reason of the failure, which says more.
        return failed_pull, before.message
    if missing := not_started.image_missing(pod):
        return _found(failed_pull, f"image {pod.image} cannot be had on node {pod.node}: {missing}")
    if pod.unschedulable:
        why = not_started.not_placed(pod)
        return _found(
            Reason.UNSCHEDULABLE, f"the pod cannot be placed on node {pod.target_node}: {why}"
        )
    if (found := not_started.not_created(pod, failure)) is not None:
        return _found(*found)
    return Reason.STARTING, f"pod {pod.name} is being started"


def _found(reason: Reason, message: str) -> tuple[Reason, str]:
    """The words of a kubelet, a scheduler or a quota, and what to do."""
    return reason, f"{message}; {reason.remedy}"
