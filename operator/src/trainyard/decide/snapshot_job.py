"""What the Job that makes a snapshot is about, and whether another must be made of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from trainyard.api.reasons import Reason
from trainyard.decide import not_started, outcome
from trainyard.decide.facts import DatasetFacts, JobFacts, PodFacts

_SILENCE = timedelta(seconds=60)
"""How long a kubelet may take to say that a deleted pod is gone."""


def waits_for_another_image(facts: DatasetFacts, job: JobFacts) -> bool:
    """Whether a Job's pod waits for an image that the operator's setting does not name any more.

    No container of it has run. A Job keeps the image that it was made with.
    """
    pod = facts.pod
    if job.deleting or job.image in ("", facts.settings.image):
        return False
    if pod is None or pod.phase != "Pending" or pod.deletion_time is not None:
        return False
    return bool(not_started.image_missing(pod))


def standing(facts: DatasetFacts, job: JobFacts, now: datetime) -> tuple[Reason, str, bool]:
    """What the Job is about, and whether time alone may change that."""
    before = job.failed_pods + facts.pressed
    attempt = f", attempt {before + 1}" if before else ""
    going_on = (Reason.SNAPSHOTTING, f"the snapshot is being made{attempt}", False)
    pod = facts.pod
    if pod is None:
        return going_on
    if pod.terminal and not job.deleting:
        return _between_attempts(job, pod)
    if pod.deletion_time is not None:
        return _ending(pod, now)
    if job.deleting:
        return Reason.SNAPSHOTTING, "the snapshot is begun again once its pod is gone", False
    if pod.phase != "Pending":
        return going_on
    if missing := not_started.image_missing(pod):
        message = (
            f"image {pod.image} cannot be had on node {pod.node}: {missing}; bring it there, or "
            "correct the operator's setting trainer.image, which begins the snapshot again"
        )
        return Reason.IMAGE_PULL_FAILED, message, False
    if pod.unschedulable:
        reason, why = Reason.UNSCHEDULABLE, not_started.not_placed(pod)
        return reason, f"the snapshot's pod cannot be placed: {why}", False
    if (found := not_started.not_created(pod, facts.start_failure)) is not None:
        reason, message = found
        return reason, f"{message}; {reason.remedy}", True
    # The kubelet tells of a volume in events alone, which are not watched.
    return *going_on[:2], pod.waiting_reason == "ContainerCreating"


def _between_attempts(job: JobFacts, pod: PodFacts) -> tuple[Reason, str, bool]:
    if pod.phase == "Succeeded":
        return Reason.SNAPSHOTTING, "the snapshot is made, its Job is being concluded", False
    message = f"{ended(job, pod).message}; the next attempt goes on from what is packed"
    return Reason.SNAPSHOTTING, message, False


def _ending(pod: PodFacts, now: datetime) -> tuple[Reason, str, bool]:
    if pod.deletion_time is not None and now <= pod.deletion_time + _SILENCE:
        message = f"pod {pod.name} is being ended; the next one goes on from what is packed"
        return Reason.SNAPSHOTTING, message, True
    message = (
        f"pod {pod.name} was deleted and node {pod.node} does not say that it is gone: the "
        "snapshot goes on once the node is back, was deleted, or has the taint out-of-service"
    )
    return Reason.AWAITING_EVIDENCE, message, True


def ended(job: JobFacts, pod: PodFacts | None) -> outcome.Outcome:
    """How the Job, or one pod of it, failed, in words for a snapshot."""
    ended = outcome.of_failure(job, pod)
    if ended.reason is not Reason.OUT_OF_MEMORY:
        return ended
    return replace(
        ended,
        message="the container was killed for its memory limit: raise the operator's setting "
        "trainer.snapshotMemory",
    )
