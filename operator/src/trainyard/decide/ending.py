"""An attempt that is being ended: its Job is suspended, its pod ends, its kubelet says so.

Why it is ended is on record (`reason` of an attempt without `finishTime`) before its Job is
suspended, so that a crash in between changes nothing.
"""

from __future__ import annotations

from trainyard.api.process_status import Attempt, ProcessPhase
from trainyard.api.reasons import ConditionType, Reason
from trainyard.decide.actions import DeletePod, SuspendJob
from trainyard.decide.conclude import conclude
from trainyard.decide.draft import POLL, StatusDraft
from trainyard.decide.facts import DELETED_BY_POD_GC, JobFacts, PodFacts, ProcessFacts


def begin_to_end(draft: StatusDraft, attempt: Attempt, reason: Reason, message: str) -> None:
    """Put on record that, and why, the attempt is being ended; nothing is done before."""
    ending = attempt.model_copy(update={"reason": str(reason), "message": message})
    draft.changes["attempts"] = (*draft.old.attempts[:-1], ending)
    draft.phase(ProcessPhase.SUSPENDING, reason)
    draft.condition(ConditionType.RUNNING, False, reason, message)
    draft.again(draft.now)


def end_attempt(facts: ProcessFacts, draft: StatusDraft, attempt: Attempt, job: JobFacts) -> None:
    """Suspend the Job; when its pod is over, the attempt is."""
    pod, reason = facts.pod, Reason(attempt.reason or Reason.STOPPED)
    draft.show(eta="")
    draft.phase(ProcessPhase.SUSPENDING, reason)
    if job.live:
        draft.actions.append(SuspendJob(job))
    if pod is not None and wait_for_evidence(facts, draft, pod):
        return
    if job.live:
        # The end is recorded when the Job was seen suspended: no pod can come after that.
        draft.again(draft.now + POLL)
        return
    message, tail = attempt.message or "", ""
    if pod is None and reason is Reason.STOPPED:
        message = "stopped before it began"
    elif pod is not None:
        words = pod.last_words
        tail = pod.log_tail if words is None else words.log_tail
        if words is not None and reason is Reason.STOPPED and words.message:
            message = words.message
    conclude(facts, draft, attempt, reason, message, tail)


def end_without_job(facts: ProcessFacts, draft: StatusDraft, attempt: Attempt) -> None:
    """The Job was deleted by somebody: its pod ends, then the attempt is over."""
    pod = facts.pod
    if pod is not None and not pod.over and pod.deletion_time is None:
        # Deleted without its pods: nobody would ever end this one.
        draft.actions.append(DeletePod(pod))
    if pod is not None and wait_for_evidence(facts, draft, pod):
        draft.phase(ProcessPhase.SUSPENDING, Reason.JOB_DELETED)
        return
    reason, message = Reason.JOB_DELETED, f"the Job of attempt {attempt.number} was deleted"
    if attempt.reason is not None:
        reason, message = Reason(attempt.reason), attempt.message or message
    elif pod is not None and pod.disruption == DELETED_BY_POD_GC:
        reason, message = Reason.NODE_LOST, node_lost(attempt)
    elif facts.process.spec.retry is None:
        message += ": create a new process"
    words = pod.last_words if pod is not None else None
    conclude(facts, draft, attempt, reason, message, words.log_tail if words is not None else "")


def wait_for_evidence(facts: ProcessFacts, draft: StatusDraft, pod: PodFacts) -> bool:
    """Whether the pod may still live; if so, the draft says what is waited for.

    A pod whose node is gone gives no evidence any more: its node's lock is quarantined.
    """
    if pod.over or pod.disruption == DELETED_BY_POD_GC:
        return False
    late = pod.deletion_time is not None and draft.now > pod.deletion_time
    node = facts.node
    if not late:
        message = f"pod {pod.name} is being ended"
        if pod.phase == "Running":
            message += " and writes its checkpoint"
        reason = Reason.STOPPING
        if pod.deletion_time is not None:
            draft.again(pod.deletion_time + POLL)
    elif node is not None and not node.ready:
        reason = Reason.AWAITING_EVIDENCE
        message = (
            f"pod {pod.name} should be over, and node {pod.node}, which is not Ready, has not said "
            f"so: bring the node back, or see what trainyard nodes release {pod.node} does"
        )
    else:
        reason = Reason.AWAITING_EVIDENCE
        message = f"pod {pod.name} should be over, and the kubelet of {pod.node} has not said so"
    draft.condition(ConditionType.RUNNING, False, reason, message)
    return True


def node_lost(attempt: Attempt) -> str:
    """The sentence for an attempt whose node went away."""
    return (
        f"node {attempt.node} was removed from the cluster while the attempt ran there, and nobody "
        "knows whether its processes still run, so its lock is quarantined; "
        f"{Reason.NODE_LOST.remedy}"
    )
