"""What is to be done about a node's lock: let pods go, quarantine, release.

A pod of ours leaves the API only when it is known to be over and its end is on record, or after
the node's lock was quarantined: then nobody knows whether it is over, and nothing starts on the
node until the machine rebooted or an administrator says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from trainyard.decide.actions import DeleteJob, DeletePod
from trainyard.decide.facts import (
    DELETED_BY_POD_GC,
    OUT_OF_SERVICE,
    JobFacts,
    LeaseFacts,
    LockFacts,
    NodeFacts,
    PodFacts,
)

AGAIN = timedelta(seconds=5)
"""When to look again for what should have changed by then, such as the record of an end."""


@dataclass(frozen=True)
class LetPodGo:
    """Take our finalizer off a pod."""

    pod: PodFacts


@dataclass(frozen=True)
class EndPod:
    """Delete a pod without waiting for its kubelet: it is known to be over in another way."""

    pod: PodFacts


@dataclass(frozen=True)
class Quarantine:
    """Mark the lock: from here on nothing starts on the node. Makes the lock if there is none."""

    sentence: str
    """Which pod, which node, since when, and the ways out."""
    pod: PodFacts | None
    """The pod nobody knows enough about; of its Job a lock is made if there is none."""
    boot_id: str
    """A boot that no process of the pod outlives; empty: not known."""


@dataclass(frozen=True)
class NoteNode:
    """Write into the lock which machine, and which boot of it, the holder's pod was seen on."""

    system_uuid: str
    boot_id: str
    pod: PodFacts | None = None
    """The pod that runs there; None: a quarantined lock whose boot was not known."""


@dataclass(frozen=True)
class FenceJob:
    """Suspend a Job and change its version, so that nobody's late start can land on it."""

    job: JobFacts


@dataclass(frozen=True)
class Release:
    """Delete the lock."""

    sentence: str
    """Why the node is free."""


LockStep = LetPodGo | EndPod | Quarantine | NoteNode | FenceJob | DeleteJob | DeletePod | Release


@dataclass(frozen=True)
class Plan:
    """What to do now, in this order; what fails ends the pass."""

    steps: tuple[LockStep, ...] = ()
    look_again_at: datetime | None = None
    """When to decide again although nothing happens."""

    def and_then(self, *steps: LockStep, at: datetime | None = None) -> Plan:
        """The plan with more steps, and the earlier of two times to look again."""
        times = [time for time in (self.look_again_at, at) if time is not None]
        return Plan((*self.steps, *steps), min(times, default=None))


def tend(facts: LockFacts, now: datetime, evidence_seconds: int) -> Plan:
    """What to do about a node's lock and the pods on the node.

    Parameters
    ----------
    facts
        Read in this order: lock, Jobs, pods, node, processes.
    now
        The time of the decision. It decides when a pod of a deleted process is given up, which
        quarantines the node; no time ever frees one.
    evidence_seconds
        How long after its deletion the pod of a deleted process may still be reported as over.
    """
    plan = _let_go_what_is_over(facts, now)
    word = _word_that_it_is_over(facts)
    lost = [pod for pod in facts.pods if _is_lost(pod, facts, now, evidence_seconds)]
    if word:
        return _end_by_word(facts, plan, word, lost, now + AGAIN)
    if lost:
        return _quarantine(facts, plan, lost, now)
    plan = _remove_leftover(facts, _wait_for_kubelets(facts, plan, now, evidence_seconds))
    lease = facts.lease
    if lease is None:
        return plan
    if lease.quarantined:
        return plan.and_then(*_note_first_boot(lease, facts.node))
    if all(pod.over for pod in facts.pods) and _holder_is_over(facts):
        return plan.and_then(Release(f"the training of {lease.holder} is over"))
    return plan.and_then(*_note_what_runs(facts, lease))


def _let_go_what_is_over(facts: LockFacts, now: datetime) -> Plan:
    plan = Plan()
    for pod in facts.pods:
        if pod.over and pod.kept:
            if pod.uid in facts.recorded:
                plan = plan.and_then(LetPodGo(pod))
            else:
                plan = plan.and_then(at=now + AGAIN)
    return plan


def _word_that_it_is_over(facts: LockFacts) -> str:
    """Why the holder is known to be over although its kubelet has not said so; or nothing."""
    lease, node = facts.lease, facts.node
    if node is None:
        return ""
    if node.out_of_service and (lease is not None or any(map(_may_end, facts.pods))):
        return f"the taint {OUT_OF_SERVICE} says that node {node.name} is off"
    if lease is None:
        return ""
    if node.release and node.release == lease.uid:
        return f"an administrator says that nothing of {lease.holder} runs on node {node.name}"
    # Without a quarantine the kubelet of a rebooted machine tells itself how its pods ended.
    if lease.quarantined and _rebooted(lease, node):
        return f"node {node.name} has rebooted since"
    return ""


def _rebooted(lease: LeaseFacts, node: NodeFacts) -> bool:
    known = lease.system_uuid and lease.boot_id and node.boot_id
    return bool(known) and node.system_uuid == lease.system_uuid and node.boot_id != lease.boot_id


def _may_end(pod: PodFacts) -> bool:
    """Whether a pod was bound, is being deleted, and is not known to be over."""
    return bool(pod.node) and pod.deletion_time is not None and not pod.over


def _end_by_word(
    facts: LockFacts, plan: Plan, word: str, lost: list[PodFacts], at: datetime
) -> Plan:
    """End the pods that the word is about, then release the lock.

    A holder Job that could still make a pod is suspended first, and nothing else happens in that
    pass: what it made in between is seen in the next. The mark keeps every start that begins
    later from passing; the changed version of the Job every start that began earlier.
    """
    lease, job = facts.lease, facts.holder_job
    ended = [pod for pod in facts.pods if _word_is_about(pod, facts, lost)]
    if lease is not None and job is not None and not job.finished:
        if not lease.quarantined:
            pod = ended[0] if ended else None
            boot = lease.boot_id if pod is not None and pod.uid == lease.seen else ""
            plan = plan.and_then(Quarantine(f"the lock is being freed: {word}", pod, boot))
        plan = plan.and_then(FenceJob(job))
        if job.live:
            return plan.and_then(at=at)
    for pod in ended:
        plan = plan.and_then(EndPod(pod), *([LetPodGo(pod)] if pod.kept else []))
    if any(not pod.over and pod not in ended for pod in facts.pods):
        return plan.and_then(at=at)
    return plan.and_then(Release(word)) if lease is not None else plan


def _word_is_about(pod: PodFacts, facts: LockFacts, lost: list[PodFacts]) -> bool:
    """Whether the pod is one that the word declares over: that of the lock, or of a node off."""
    lease, node = facts.lease, facts.node
    if pod.over or not pod.node:
        return False
    if node is not None and node.out_of_service and _may_end(pod):
        return True
    if lease is None:
        return False
    return pod.job_uid == lease.holder_job_uid or (bool(lease.quarantined) and pod in lost)


def _is_lost(pod: PodFacts, facts: LockFacts, now: datetime, evidence_seconds: int) -> bool:
    """Whether a pod may live and no evidence about it can come."""
    if pod.over or not pod.kept or not pod.node:
        return False
    return _node_is_lost(pod, facts) or _given_up(pod, facts, now, evidence_seconds)


def _node_is_lost(pod: PodFacts, facts: LockFacts) -> bool:
    lease, node = facts.lease, facts.node
    if pod.disruption == DELETED_BY_POD_GC:
        return True
    if node is None:
        # Until it is being deleted, a kubelet that comes back takes the pod up again.
        return pod.deletion_time is not None
    holders = lease is not None and lease.holder_job_uid == pod.job_uid
    return holders and lease is not None and _another_machine(lease, node)


def _another_machine(lease: LeaseFacts, node: NodeFacts) -> bool:
    return bool(lease.system_uuid and node.system_uuid) and lease.system_uuid != node.system_uuid


def _given_up(pod: PodFacts, facts: LockFacts, now: datetime, evidence_seconds: int) -> bool:
    """Whether the pod of a deleted process is not reported as over in time.

    A deletion has to finish. While its process is there, a pod is kept however long it takes.
    """
    if pod.uid not in facts.orphaned or pod.deletion_time is None:
        return False
    return now >= pod.deletion_time + timedelta(seconds=evidence_seconds)


def _quarantine(facts: LockFacts, plan: Plan, lost: list[PodFacts], now: datetime) -> Plan:
    """First the mark, then the fence, and only then the finalizers."""
    lease, job = facts.lease, facts.holder_job
    if lease is None or not lease.quarantined:
        pod = lost[0]
        plan = plan.and_then(
            Quarantine(_why_quarantined(pod, facts, now), pod, _outlived_boot(pod, facts))
        )
    leaving = [pod for pod in lost if not _node_is_lost(pod, facts) or pod.uid in facts.recorded]
    if len(leaving) < len(lost):
        plan = plan.and_then(at=now + AGAIN)
    if leaving and job is not None and not job.finished:
        # A start that had read the lock before the mark would find the node empty.
        plan = plan.and_then(FenceJob(job))
    return plan.and_then(*map(LetPodGo, leaving))


def _outlived_boot(pod: PodFacts, facts: LockFacts) -> str:
    """The boot that no process of the pod outlives.

    The one that it was seen running in; else the present one, because no kubelet starts a pod
    that is being deleted. Of another machine under the node's name nothing follows.
    """
    lease, node = facts.lease, facts.node
    if lease is not None and lease.seen == pod.uid:
        return lease.boot_id
    if node is None or pod.deletion_time is None:
        return ""
    return "" if lease is not None and _another_machine(lease, node) else node.boot_id


def _why_quarantined(pod: PodFacts, facts: LockFacts, now: datetime) -> str:
    node = pod.node
    if not _node_is_lost(pod, facts):
        why = f"its process was deleted and the kubelet of node {node} has not said that it ended"
    elif facts.node is None or pod.disruption == DELETED_BY_POD_GC:
        why = f"node {node} was removed from the cluster while it ran"
    else:
        why = f"another machine is node {node} now"
    return (
        f"nobody knows whether pod {pod.namespace}/{pod.name} still runs on node {node}: {why} "
        f"(since {now:%Y-%m-%dT%H:%M:%SZ}). Reboot the machine; or, when nothing of it runs any "
        f"more, say so with: trainyard nodes release {node}; or taint the node {OUT_OF_SERVICE} "
        "when it is off"
    )


def _wait_for_kubelets(facts: LockFacts, plan: Plan, now: datetime, evidence_seconds: int) -> Plan:
    for pod in facts.pods:
        if pod.deletion_time is not None and not pod.over:
            wait = timedelta(seconds=evidence_seconds)
            at = pod.deletion_time + wait
            plan = plan.and_then(at=at if at > now else now + max(wait, AGAIN))
    return plan


def _remove_leftover(facts: LockFacts, plan: Plan) -> Plan:
    """Delete what nobody waits for any more and what may make a pod or holds the lock."""
    holder = facts.lease.holder_job_uid if facts.lease is not None else ""
    # Its Job was deleted without it, then its process: nobody else would ever end it.
    alone = [
        pod
        for pod in facts.pods
        if pod.uid in facts.orphaned
        and not pod.job_uid
        and not pod.over
        and pod.deletion_time is None
    ]
    plan = plan.and_then(*map(DeletePod, alone))
    unwanted = [job for job in facts.leftover if job.live or job.uid == holder]
    return plan.and_then(*(DeleteJob(job) for job in unwanted if not job.deleting))


def _holder_is_over(facts: LockFacts) -> bool:
    """Whether no pod of the holder can appear any more.

    A suspended Job whose attempt is over counts: it is deleted first, exactly as it was read, so
    that nobody's late start can land on it. One that was live when it was read may have made a
    pod since.
    """
    job = facts.holder_job
    if job is None or job.finished:
        return True
    return job.suspended and not job.deleting and job in facts.leftover


def _note_what_runs(facts: LockFacts, lease: LeaseFacts) -> list[LockStep]:
    """Note the boot in which the holder's pod was seen running, once for each pod.

    The pods were read before the node, so the pod runs in this boot or in an earlier one.
    """
    node = facts.node
    if node is None or not node.boot_id or not node.system_uuid or _another_machine(lease, node):
        return []
    for pod in facts.pods:
        running = pod.phase == "Running" and pod.job_uid == lease.holder_job_uid
        if running and pod.node == node.name and lease.seen != pod.uid:
            return [NoteNode(node.system_uuid, node.boot_id, pod)]
    return []


def _note_first_boot(lease: LeaseFacts, node: NodeFacts | None) -> list[LockStep]:
    """Note the boot that the node of a quarantined lock came back with, if none was known."""
    if lease.boot_id or node is None or node.system_uuid != lease.system_uuid or not node.boot_id:
        return []
    return [NoteNode(node.system_uuid, node.boot_id)]
