"""How an attempt ended: from the pod's last words, its exit code and the Job."""

from __future__ import annotations

from dataclasses import dataclass

from trainyard.api.reasons import Reason
from trainyard.api.report import ExitCode
from trainyard.decide.facts import JobFacts, PodFacts

_BY_EXIT_CODE: dict[int, Reason] = {
    ExitCode.BAD_DATA: Reason.BAD_DATA,
    ExitCode.STORE_UNAVAILABLE: Reason.STORE_UNAVAILABLE,
    ExitCode.STOPPED: Reason.INTERRUPTED,
    ExitCode.BAD_CONFIG: Reason.INVALID_RUN_FILE,
    ExitCode.GPU_NOT_VISIBLE: Reason.GPU_NOT_VISIBLE,
    ExitCode.GPU_OUT_OF_MEMORY: Reason.GPU_OUT_OF_MEMORY,
    ExitCode.LOSS_NOT_FINITE: Reason.LOSS_NOT_FINITE,
    ExitCode.BASE_MODEL_UNUSABLE: Reason.BASE_MODEL_UNUSABLE,
}
_SAYS_NO_REMEDY = frozenset(
    {
        Reason.STORE_UNAVAILABLE,
        Reason.ARTEFACT_UPLOAD_FAILED,
        Reason.INTERRUPTED,
    }
)
"""What the trainer says of these are the words of a store, or none."""

BY_KUBELET = "TerminationByKubelet"
"""Reason of DisruptionTarget on pods that their kubelet ended by itself."""

_KNOWN = {str(reason): reason for reason in Reason}


@dataclass(frozen=True)
class Outcome:
    """Why an attempt failed."""

    reason: Reason
    message: str
    log_tail: str = ""


def of_failure(job: JobFacts, pod: PodFacts | None) -> Outcome:
    """The cause of a failed Job, as precisely as it can be known.

    In this order: the kubelet's word that the container ran out of memory or disk, the trainer's
    last words, its exit code, the Job controller's message.
    """
    if pod is None:
        return Outcome(
            Reason.TRAINER_ERROR,
            f"the Job failed and its pod is gone: {job.failure or 'no message'}; create a new "
            "process",
        )
    words = pod.last_words
    tail = pod.log_tail if words is None else words.log_tail
    if pod.oom_killed:
        return Outcome(Reason.OUT_OF_MEMORY, Reason.OUT_OF_MEMORY.sentence, tail)
    if pod.over_limit and (words is None or words.reason == Reason.STOPPED):
        return Outcome(
            Reason.NODE_PRESSURE,
            f"the kubelet of {pod.node} ended the pod: {pod.over_limit}; "
            f"{Reason.NODE_PRESSURE.remedy}",
            tail,
        )
    # Deleted through the API: an eviction, a drain, a taint, or somebody's kubectl delete pod.
    sent_away = pod.deletion_time is not None
    if words is not None and words.reason in _KNOWN:
        reason = _KNOWN[words.reason]
        if reason is Reason.STOPPED:
            # Counted as a failure unless its pod was sent away: it could go on like that for good.
            by_kubelet = pod.disruption == BY_KUBELET
            reason = Reason.EVICTED if sent_away or by_kubelet else Reason.INTERRUPTED
        return Outcome(reason, _said(reason, words.message, pod), tail)
    if sent_away:
        return Outcome(
            Reason.EVICTED,
            f"pod {pod.name} was evicted or deleted before the trainer could end by itself",
            tail,
        )
    if pod.disruption == BY_KUBELET:
        return Outcome(
            Reason.NODE_PRESSURE,
            f"the kubelet of {pod.node} ended the pod for want of memory or disk of the node, or "
            "because the node was shut down: see kubectl describe node",
            tail,
        )
    if pod.exit_code in _BY_EXIT_CODE:
        reason = _BY_EXIT_CODE[pod.exit_code]
        return Outcome(reason, reason.sentence, tail)
    ended = f"exit code {pod.exit_code}" if pod.exit_code is not None else "no exit code"
    said = f": {words.message}" if words is not None and words.message else ""
    return Outcome(
        Reason.TRAINER_ERROR,
        f"the trainer ended with {ended}{said}; see kubectl logs {pod.name}",
        tail,
    )


def _said(reason: Reason, message: str, pod: PodFacts) -> str:
    """The trainer's own sentence, and what to do if that is not in it."""
    if not message:
        return reason.sentence
    if reason is Reason.TRAINER_ERROR:
        return f"{message}; see kubectl logs {pod.name}"
    return f"{message}; {reason.remedy}" if reason in _SAYS_NO_REMEDY else message
