"""After an attempt that is not the last: stopped, or on its way to the next one."""

from __future__ import annotations

from trainyard.api.process_status import Attempt, ProcessPhase
from trainyard.api.reasons import ConditionType, Reason
from trainyard.decide import attempts
from trainyard.decide.actions import DeleteJob, SuspendJob
from trainyard.decide.before_start import (
    join_queue,
    name_taken,
    node_is_free,
    out_of_time,
    record_attempt,
)
from trainyard.decide.conditions import find
from trainyard.decide.deadlines import active_deadline
from trainyard.decide.draft import POLL, StatusDraft
from trainyard.decide.facts import ProcessFacts
from trainyard.decide.inputs import restored_base
from trainyard.decide.resolve import output_location


def between_attempts(facts: ProcessFacts, draft: StatusDraft, last: Attempt) -> None:
    """Leave the node; then stay suspended, or stand in the queue again."""
    job = facts.job if facts.job is not None and _ours(facts, facts.job.owner_uid) else None
    if job is not None and not job.finished and not job.deleting:
        draft.actions.append(DeleteJob(job))
    leaving = _what_is_left(facts)
    if facts.process.spec.suspend:
        _stay_suspended(draft, leaving)
        return
    draft.condition(ConditionType.SUSPENDED, False, Reason.STARTED, "spec.suspend is false")
    draft.phase(ProcessPhase.QUEUED, Reason.WAITING_FOR_NODE)
    if out_of_time(facts, draft):
        return
    passed = active_deadline(facts.process, draft.now)
    if passed is not None and draft.now >= passed.at:
        draft.fail(passed.reason, passed.message)
        return
    until = attempts.back_off_until(draft.old.attempts)
    if until is not None and draft.now < until:
        draft.phase(ProcessPhase.QUEUED, Reason.BACKING_OFF)
        draft.condition(
            ConditionType.NODE_RESERVED,
            False,
            Reason.BACKING_OFF,
            f"attempt {last.number} failed ({last.reason}); the next one may begin at "
            f"{until:%H:%M:%S} UTC",
        )
        draft.again(until)
    elif leaving:
        draft.phase(ProcessPhase.QUEUED, Reason.AWAITING_EVIDENCE)
        draft.condition(ConditionType.NODE_RESERVED, False, Reason.AWAITING_EVIDENCE, leaving)
    elif facts.next_job is not None and not _ours(facts, facts.next_job.owner_uid):
        name_taken(facts.next_job, draft)
    elif not _in_queue(draft):
        join_queue(facts, draft)
    elif node_is_free(facts, draft):
        _next_attempt(facts, draft, last)
    if (
        facts.next_job is not None
        and facts.next_job.live
        and _ours(facts, facts.next_job.owner_uid)
    ):
        draft.actions.append(SuspendJob(facts.next_job))


def _ours(facts: ProcessFacts, owner_uid: str) -> bool:
    return owner_uid == facts.process.metadata.uid


def _in_queue(draft: StatusDraft) -> bool:
    """Whether the pass before this one already stood in the queue, where its rivals saw it."""
    reserved = find(draft.old.conditions, ConditionType.NODE_RESERVED)
    return (
        draft.old.phase is ProcessPhase.QUEUED
        and reserved is not None
        and reserved.reason not in (Reason.RELEASED, Reason.BACKING_OFF, Reason.AWAITING_EVIDENCE)
    )


def _what_is_left(facts: ProcessFacts) -> str:
    """What of the last attempt still occupies the node, in words; empty: nothing."""
    key, node = facts.process.key, facts.process.spec.target_node
    if facts.pod is not None and not facts.pod.over and facts.pod.kept:
        return f"pod {facts.pod.name} of the attempt before has not left node {node}"
    if facts.lease is not None and facts.lease.holder == key and not facts.lease.quarantined:
        return f"the lock of node {node} is being freed by the attempt before"
    if facts.job is not None and not facts.job.finished and _ours(facts, facts.job.owner_uid):
        return f"Job {facts.job.name} of the attempt before is being removed"
    return ""


def _stay_suspended(draft: StatusDraft, leaving: str) -> None:
    draft.condition(
        ConditionType.NODE_RESERVED, False, Reason.RELEASED, leaving or "it holds no node"
    )
    if leaving:
        draft.phase(ProcessPhase.SUSPENDING, Reason.STOPPING)
        draft.condition(ConditionType.SUSPENDED, False, Reason.STOPPING, leaving)
        draft.again(draft.now + POLL)
        return
    point = draft.old.checkpoint
    kept = f"after epoch {point.epoch}" if point is not None else "before a checkpoint was written"
    draft.phase(ProcessPhase.SUSPENDED, Reason.STOPPED_BY_USER)
    draft.condition(
        ConditionType.SUSPENDED,
        True,
        Reason.STOPPED_BY_USER,
        f"stopped {kept}: set spec.suspend to false to go on",
    )


def _next_attempt(facts: ProcessFacts, draft: StatusDraft, last: Attempt) -> None:
    """Create the suspended Job of the next attempt from the frozen inputs, and record it."""
    base = facts.base or restored_base(facts)
    if base is None:
        draft.fail(
            Reason.RUN_FILE_DELETED,
            "the ConfigMap with the run.yaml of the first attempt was deleted, and capability, "
            "template or datasets are not what they were: create a new process",
        )
        return
    number, point = last.number + 1, draft.old.checkpoint
    batch = attempts.batch_size(
        base.template.hyperparameters, draft.old.attempts, facts.process.spec.retry
    )
    run = attempts.run_of(
        base,
        number,
        output_location(facts.settings.store_root, facts.process, number),
        point,
        batch,
    )
    record_attempt(
        facts,
        draft,
        run,
        Attempt(
            number=number,
            node=facts.process.spec.target_node,
            start_time=draft.now.replace(microsecond=0),
            batch_size=batch,
            resumed_from_epoch=None if point is None else point.epoch,
        ),
    )
