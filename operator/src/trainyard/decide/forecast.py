"""When a process that waits will probably start, said so that it need not be said again.

An idle object is rewritten only when its place or its holder changes, or when what it says about
a time is wrong by more than `tolerance`: a minute, or a tenth of the wait if that is more. That is
why times of day are shown and no minutes that are left.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from trainyard.api.process_status import ProcessPhase, QueueStatus
from trainyard.decide.facts import Rival
from trainyard.decide.queue import Place, order, waits

LEAST_TOLERANCE = timedelta(minutes=1)
TOLERATED_SHARE = 0.1


@dataclass(frozen=True)
class Forecast:
    """What is known about the time until the node is free; None: nothing."""

    held_until: datetime | None = None
    """When who holds the node will probably be done."""
    starts_at: datetime | None = None
    """When the process will probably start."""


def forecast(me: Rival, rivals: tuple[Rival, ...], spot: Place, now: datetime) -> Forecast:
    """When the node will be free for `me`, which is not the first.

    From the end of the holder, as its trainer states it or as runs before it took, and the
    expected lengths of those that go before.
    """
    holder = next((rival for rival in rivals if rival.key == spot.waiting_for), None)
    held_until: datetime | None = None
    if holder is None:
        return Forecast()
    free = now
    if not waits(holder) and holder.phase is not ProcessPhase.SUSPENDING:
        held_until = holder.done_at
        if held_until is None or held_until < now - LEAST_TOLERANCE:
            # Later than anybody can tell.
            return Forecast()
        free = max(now, held_until)
    for rival in rivals:
        if waits(rival) and order(rival) < order(me):
            if rival.rest_seconds is None:
                return Forecast(held_until)
            free += timedelta(seconds=rival.rest_seconds)
    return Forecast(held_until, free)


def queue_status(
    old: QueueStatus | None, spot: Place, found: Forecast, now: datetime
) -> QueueStatus:
    """`status.queue`: of what was said before, everything stays that is still about right."""
    same = old is not None and old.waiting_for == spot.waiting_for
    return QueueStatus(
        position=spot.position,
        waiting_for=spot.waiting_for,
        held_until=_steady(old.held_until if same and old else None, found.held_until, now),
        estimated_start_time=_steady(
            old.estimated_start_time if old else None, found.starts_at, now
        ),
    )


def tolerance(wait: timedelta) -> timedelta:
    """By how much a stated time may be wrong before it is written anew."""
    return max(LEAST_TOLERANCE, TOLERATED_SHARE * wait)


def _steady(old: datetime | None, new: datetime | None, now: datetime) -> datetime | None:
    if new is None:
        return None
    if old is not None and abs(new - old) <= tolerance(new - now):
        return old
    return (new + timedelta(seconds=30)).replace(second=0, microsecond=0)
