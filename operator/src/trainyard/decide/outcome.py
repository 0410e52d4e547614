"""How an attempt ended: from the pod's last words, its exit code and the Job."""

from __future__ import annotations

from dataclasses import dataclass

from trainyard.api.reasons import Reason
from trainyard.api.report import ExitCode
from trainyard.decide.facts import JobFacts, PodFacts
from trainyard.decide.not_started import LONGEST

_BY_EXIT_CODE: dict[int, Reason] = {
    ExitCode.BAD_DATA: Reason.BAD_DATA,
    ExitCode.STORE_UNAVAILABLE: Reason.STORE_UNAVAILABLE,
    ExitCode.ACCESS_DENIED: Reason.STORE_ACCESS_DENIED,
    ExitCode.DISK_FULL: Reason.DISK_FULL,
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
        Reason.STORE_ACCESS_DENIED,
        Reason.STORE_CONTENT_UNUSABLE,
        Reason.ARTEFACT_UPLOAD_FAILED,
        Reason.INTERRUPTED,
    }
)
"""What the trainer says of these are the words of a store, or none."""

_ENDING_SIGNALS = {130: "SIGINT", 137: "SIGKILL", 143: "SIGTERM"}
"""By exit code: 128 and the number of the signal."""
_CRASHES = {132: "SIGILL", 134: "SIGABRT", 135: "SIGBUS", 136: "SIGFPE", 139: "SIGSEGV"}

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
        limit = f" of {pod.memory_limit}" if pod.memory_limit else ""
        reason = Reason.OUT_OF_MEMORY
        return Outcome(reason, f"{reason.when}{limit}: {reason.remedy}", tail)
    if pod.over_limit and (words is None or words.reason == Reason.STOPPED):
        return Outcome(
            Reason.DISK_LIMIT_EXCEEDED,
            f"the kubelet of {pod.node} ended the pod: {pod.over_limit}; "
            f"{Reason.DISK_LIMIT_EXCEEDED.remedy}",
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
    if pod.start_error:
        reason = Reason.CONTAINER_NOT_CREATED
        said = pod.start_error[-LONGEST:]
        return Outcome(
            reason,
            f"the container could not be started on node {pod.node}: {said}; {reason.remedy}",
        )
    if pod.exit_code in _BY_EXIT_CODE:
        reason = _BY_EXIT_CODE[pod.exit_code]
        return Outcome(reason, reason.sentence, tail)
    return _by_signal(pod, tail) or Outcome(
        Reason.TRAINER_ERROR, f"{_ended(pod)}; see kubectl logs {pod.name}", tail
    )


def _by_signal(pod: PodFacts, tail: str) -> Outcome | None:
    """Told or made to end by a signal; that of a kubelet or of the memory limit is known by now."""
    signal = _ENDING_SIGNALS.get(pod.exit_code or 0)
    if signal is None:
        return None
    return Outcome(
        Reason.INTERRUPTED,
        f"the trainer was ended by {signal}, and not by Kubernetes; {Reason.INTERRUPTED.remedy}",
        tail,
    )


def _ended(pod: PodFacts) -> str:
    words, code = pod.last_words, pod.exit_code
    if code in _CRASHES:
        how = f"the trainer crashed ({_CRASHES[code]})"
    else:
        how = (
            f"the trainer ended with {f'exit code {code}' if code is not None else 'no exit code'}"
        )
    return f"{how}: {words.message}" if words is not None and words.message else how


def _said(reason: Reason, message: str, pod: PodFacts) -> str:
    """The trainer's own sentence, and what to do if that is not in it."""
    if not message:
        return reason.sentence
    if reason is Reason.TRAINER_ERROR:
        return f"the trainer failed with {message}; see kubectl logs {pod.name}"
    return f"{message}; {reason.remedy}" if reason in _SAYS_NO_REMEDY else message
