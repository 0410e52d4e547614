"""The clocks of a run: start deadline, active deadline, stall."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from trainyard.api.process import TrainingProcess
from trainyard.api.reasons import ConditionType, Reason
from trainyard.decide.attempts import active_seconds
from trainyard.decide.conditions import find, is_true
from trainyard.decide.display import duration


@dataclass(frozen=True)
class Clock:
    """One deadline."""

    at: datetime
    """When it passes."""
    reason: Reason
    message: str


def start_deadline(process: TrainingProcess, waits_for: str) -> Clock | None:
    """The deadline until which an attempt must run; None if there is none or one has run.

    Parameters
    ----------
    waits_for
        What keeps it from running, in words.
    """
    seconds, status = process.spec.start_deadline_seconds, process.status
    if seconds is None or status.start_time is not None:
        return None
    started = find(status.conditions, ConditionType.SUSPENDED)
    if started is None or is_true(status.conditions, ConditionType.SUSPENDED):
        return None
    return Clock(
        started.last_transition_time + timedelta(seconds=seconds),
        Reason.START_DEADLINE_EXCEEDED,
        f"no attempt ran within the {duration(seconds)} of startDeadlineSeconds"
        f"{f' ({waits_for})' if waits_for else ''}: create a new process once that is over, or "
        "with a longer deadline",
    )


def active_deadline(process: TrainingProcess, now: datetime) -> Clock | None:
    """The deadline by which all attempts together must be done."""
    seconds = process.spec.active_deadline_seconds
    if seconds is None:
        return None
    left = seconds - active_seconds(process.status.attempts, now)
    return Clock(
        now + timedelta(seconds=left),
        Reason.DEADLINE_EXCEEDED,
        f"the attempts together took longer than the {duration(seconds)} of "
        "activeDeadlineSeconds: create a new process with a longer deadline or fewer epochs",
    )


def stall(
    process: TrainingProcess, last_report: datetime | None, listening_since: datetime | None
) -> Clock | None:
    """When a running trainer that says nothing more counts as stalled.

    Time in which nobody could have heard it does not count.

    Parameters
    ----------
    last_report
        When the newest report of the attempt came.
    listening_since
        Since when this operator has received reports.
    """
    seconds = process.spec.stall_timeout_seconds
    running = find(process.status.conditions, ConditionType.RUNNING)
    if seconds is None or running is None or running.status != "True":
        return None
    heard = [running.last_transition_time, last_report, listening_since]
    since = max(moment for moment in heard if moment is not None)
    return Clock(
        since + timedelta(seconds=seconds),
        Reason.STALLED,
        f"the trainer reported nothing for the {duration(seconds)} of stallTimeoutSeconds: see "
        "the end of its log; if reports cannot reach the operator, mend the network or leave the "
        "field out",
    )
