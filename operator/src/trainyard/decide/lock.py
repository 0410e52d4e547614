"""When a node's lock is released."""

from __future__ import annotations

from trainyard.decide.facts import LockFacts


def may_release(facts: LockFacts) -> bool:
    """Whether the holder is over: its Job cannot make a pod any more, and no pod of it is live.

    A holder whose Job is still suspended keeps the lock: it is about to be started, and its
    process starts it or, if it is gone, its Job is collected.
    """
    if facts.lease is None:
        return False
    if facts.holder_job is not None and not facts.holder_job.finished:
        return False
    return all(pod.over for pod in facts.pods)
