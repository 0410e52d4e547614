"""Who goes next on a node: priority, then age. Only validated processes stand in the queue."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from trainyard.api.process import TrainingProcess
from trainyard.api.process_status import ProcessPhase, TrainingProcessStatus
from trainyard.api.reasons import ConditionType, Reason
from trainyard.decide.conditions import find, is_true
from trainyard.decide.expectation import done_at, rest_seconds
from trainyard.decide.facts import LeaseFacts, Rival


@dataclass(frozen=True)
class Place:
    """Where a process stands."""

    position: int
    """1 is the next to start."""
    length: int
    """Processes that wait, this one included."""
    waiting_for: str | None
    """`namespace/name` of who holds the node or goes first; None: nobody."""

    @property
    def first(self) -> bool:
        """Whether it may start now."""
        return self.waiting_for is None and self.position == 1


def as_rival(process: TrainingProcess, whole_seconds: float | None = None) -> Rival:
    """The process as the queue of its node sees it.

    Parameters
    ----------
    whole_seconds
        How long the run will probably take; None: nobody knows.
    """
    status, meta = process.status, process.metadata
    created = meta.creation_timestamp
    foretold = status.phase in ACTIVE and not _awaits_evidence(status)
    leaves = status.phase is ProcessPhase.SUSPENDING
    if created is None:
        raise ValueError(f"TrainingProcess {process.key} has no creationTimestamp")
    return Rival(
        key=process.key,
        uid=meta.uid,
        phase=status.phase,
        validated=is_true(status.conditions, ConditionType.VALIDATED) and not _backs_off(process),
        suspended=process.spec.suspend,
        priority=process.spec.priority,
        created=created,
        rest_seconds=rest_seconds(status, whole_seconds),
        done_at=done_at(status, whole_seconds) if foretold and not leaves else None,
        leaves=foretold and leaves,
    )


def _backs_off(process: TrainingProcess) -> bool:
    """Whether it leaves its turn to others because its last attempt just failed."""
    reserved = find(process.status.conditions, ConditionType.NODE_RESERVED)
    return reserved is not None and reserved.reason == Reason.BACKING_OFF


def _awaits_evidence(status: TrainingProcessStatus) -> bool:
    """Whether its pod should be over and its kubelet has not said so: that may take any time."""
    running = find(status.conditions, ConditionType.RUNNING)
    return running is not None and running.reason == Reason.AWAITING_EVIDENCE


def place(
    me: Rival, rivals: tuple[Rival, ...], lease: LeaseFacts | None, holder: str | None
) -> Place:
    """The place of `me` among `rivals`, all for the same node.

    Parameters
    ----------
    lease
        The node's lock, if anybody holds it.
    holder
        `namespace/name` of another process with a live pod on the node, lock or no lock.
    """
    waiting = sorted((me, *(rival for rival in rivals if waits(rival))), key=order)
    position = waiting.index(me) + 1
    active = next((rival.key for rival in rivals if rival.phase in ACTIVE), None)
    holding = holder or (lease.holder if lease is not None else None) or active
    if holding == me.key:
        holding = None
    ahead = waiting[position - 2].key if position > 1 else None
    return Place(
        position=position,
        length=len(waiting),
        waiting_for=holding or ahead,
    )


def order(rival: Rival) -> tuple[int, datetime, str]:
    """Sort key: higher priority first, then the older, then by name."""
    return (-rival.priority, rival.created, rival.key)


ACTIVE = (ProcessPhase.STARTING, ProcessPhase.RUNNING, ProcessPhase.SUSPENDING)
"""Phases of a process that has the node, or is just about to take its lock."""


def waits(rival: Rival) -> bool:
    """Whether it stands in the queue of its node."""
    return rival.phase is ProcessPhase.QUEUED and rival.validated and not rival.suspended
