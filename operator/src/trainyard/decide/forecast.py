"""When a process that waits will probably start, said so that it need not be said again.

An idle object is rewritten only when its place or its holder changes, or when what it says about
a time is wrong by more than `tolerance`: a minute, or a tenth of the wait if that is more. That is
why times of day are shown and no minutes that are left. A holder that contradicts itself at each
report does not have it rewritten at each: for as long as that tolerance, what was said stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from trainyard.api.process_status import QueueStatus
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
    if not waits(holder) and not holder.leaves:
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
    before = old or QueueStatus()
    same = before.waiting_for == spot.waiting_for
    held = _steady(before.held_until if same else None, found.held_until, now)
    starts = _steady(before.estimated_start_time, found.starts_at, now)
    times = (before.held_until, before.estimated_start_time)
    at = before.estimated_at
    if (held, starts) != times:
        if same and before.position == spot.position and now < due_at(before, found, now):
            held, starts = times
        else:
            at = now.replace(microsecond=0)
    return QueueStatus(
        position=spot.position,
        waiting_for=spot.waiting_for,
        held_until=held,
        estimated_start_time=starts,
        estimated_at=None if held is None and starts is None else at,
    )


def due_at(shown: QueueStatus, found: Forecast, now: datetime) -> datetime:
    """From when on other times than those that are shown may be written.

    A wait that has become short is told soon, whatever it was thought to be before.
    """
    at = shown.estimated_at
    if at is None or at > now:
        # Nothing was told; or the clock was set back.
        return now
    ends = (shown.held_until, shown.estimated_start_time, found.held_until, found.starts_at)
    return at + tolerance(min((end - now for end in ends if end is not None), default=timedelta()))


def look_again_at(shown: QueueStatus, found: Forecast, now: datetime) -> datetime | None:
    """When to decide again although nothing happens; None: not for these times.

    When other times may be written that were found too soon, and when the holder is overdue.
    """
    wrong = (shown.held_until, shown.estimated_start_time) != (
        _steady(shown.held_until, found.held_until, now),
        _steady(shown.estimated_start_time, found.starts_at, now),
    )
    overdue = found.held_until and found.held_until + LEAST_TOLERANCE + timedelta(seconds=1)
    times = (due_at(shown, found, now) if wrong else None, overdue)
    return min((time for time in times if time is not None and time > now), default=None)


def tolerance(wait: timedelta) -> timedelta:
    """By how much a stated time may be wrong before it is written anew."""
    return max(LEAST_TOLERANCE, TOLERATED_SHARE * wait)


def _steady(old: datetime | None, new: datetime | None, now: datetime) -> datetime | None:
    if new is None:
        return None
    if old is not None and abs(new - old) <= tolerance(new - now):
        return old
    return (new + timedelta(seconds=30)).replace(second=0, microsecond=0)
