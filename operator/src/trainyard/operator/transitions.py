"""What a status that was written says has just happened: for counters, which must count it once.

Whoever writes a status knows the one before it and writes only onto that version, so each of these
is seen by one operator, once. A process that dies between the write and the counter loses one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from trainyard.api.process import TrainingProcess
from trainyard.api.process_status import Attempt, TrainingProcessStatus
from trainyard.api.reasons import ConditionType
from trainyard.decide.conditions import find, is_true


@dataclass(frozen=True)
class Transitions:
    """What is new in a status."""

    node: str
    ended: tuple[Attempt, ...] = ()
    """Attempts whose end was put on record."""
    gpu_seconds: int = 0
    """GPU time that they took."""
    waited_seconds: float | None = None
    """How long it had waited for its node, which it has now; None: it has not just got it."""


def transitions(process: TrainingProcess, after: TrainingProcessStatus) -> Transitions:
    """What is new in `after`.

    Parameters
    ----------
    process
        As it was read, with the status before.
    """
    before = process.status
    open_before = {attempt.number for attempt in before.attempts if attempt.finish_time is None}
    waited = None
    reserved = find(after.conditions, ConditionType.NODE_RESERVED)
    if (
        reserved is not None
        and is_true((reserved,), ConditionType.NODE_RESERVED)
        and not is_true(before.conditions, ConditionType.NODE_RESERVED)
    ):
        begun = waits_since(process)
        waited = max(0.0, (reserved.last_transition_time - begun).total_seconds())
    return Transitions(
        node=process.spec.target_node,
        ended=tuple(
            attempt
            for attempt in after.attempts
            if attempt.finish_time is not None and attempt.number in open_before
        ),
        gpu_seconds=max(0, (after.gpu_seconds or 0) - (before.gpu_seconds or 0)),
        waited_seconds=waited,
    )


def waits_since(process: TrainingProcess) -> datetime:
    """Since when a process has wanted its node: started, validated, and its last attempt over."""
    status, created = process.status, process.metadata.creation_timestamp
    times = [] if created is None else [created]
    times += [
        condition.last_transition_time
        for condition in status.conditions
        if (condition.type, condition.status) in _BEGINNINGS
    ]
    times += [item.finish_time for item in status.attempts if item.finish_time is not None]
    return max(times)


_BEGINNINGS = ((ConditionType.VALIDATED, "True"), (ConditionType.SUSPENDED, "False"))
