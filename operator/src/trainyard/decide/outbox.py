"""The outbox in `status.notifications`: who is to be told of the end, and what became of it.

A message is on record before anything is sent, and sent once at most, also when the operator is
killed at any moment:

1. The write that makes a process Succeeded or Failed adds its records, Pending.
2. A later pass, which read them back, makes one Sending. Who gets that write accepted, which names
   the version that it read, and nobody else, hands the message over to be tried once.
3. What came of it is recorded: Sent; Pending again if the server certainly did not take it, for
   another try after a while; Failed otherwise. What stays Sending was cut off, and nobody knows
   whether it arrived: it becomes Failed and is not sent again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from trainyard.api.process import TrainingProcess
from trainyard.api.process_status import (
    NotificationRecord,
    NotificationState,
    ProcessPhase,
    TrainingProcessStatus,
)
from trainyard.decide.recipients import NotificationRules, Recipient, recipients_of, refusal
from trainyard.decide.scrub import scrubbed

FIRST_WAIT = timedelta(seconds=15)
"""Between the first try and the second; each wait after it is four times as long."""
LONGEST_WAIT = timedelta(minutes=30)
CUT_OFF_AFTER = timedelta(minutes=10)
"""Nothing is Sending for so long, unless the operator that sent it is gone."""
FULL = timedelta(seconds=5)
"""How soon it is looked again when as many messages as may be are being sent."""
LONGEST_MESSAGE = 512


@dataclass(frozen=True)
class Delivered:
    """The server took the message."""


@dataclass(frozen=True)
class NotDelivered:
    """The server did not take it, for certain."""

    message: str
    again: bool
    """Whether another try may go better."""


@dataclass(frozen=True)
class Unknown:
    """Nobody knows whether the server took it."""

    message: str


Outcome = Delivered | NotDelivered | Unknown


@dataclass(frozen=True)
class Deliveries:
    """What the postman says about one process.

    Attributes
    ----------
    free
        Number of messages that can be handed over now.
    outcomes
        By the id of the record and the number of the try.
    """

    free: int = 0
    outcomes: Mapping[tuple[str, int], Outcome] = field(default_factory=dict)


@dataclass(frozen=True)
class Message:
    """To be tried once, after the record that says so was written."""

    process: TrainingProcess
    recipient: Recipient
    id: str
    attempt: int
    """The number of the try; 1 is the first."""


@dataclass(frozen=True)
class Outbox:
    """What the records are to become."""

    records: tuple[NotificationRecord, ...]
    messages: tuple[Message, ...] = ()
    look_again_at: datetime | None = None


def with_records(
    process: TrainingProcess,
    status: TrainingProcessStatus,
    rules: NotificationRules,
    now: datetime,
) -> TrainingProcessStatus:
    """The status with a record for each who is to be told, if it ends the process."""
    if status.phase is None or not status.phase.terminal:
        return status
    phase, at = status.phase, now.replace(microsecond=0)
    records = tuple(
        _written_first(recipient, phase, rules, at) for recipient in recipients_of(process, rules)
    )
    return status.model_copy(update={"notifications": records})


def _written_first(
    recipient: Recipient, phase: ProcessPhase, rules: NotificationRules, at: datetime
) -> NotificationRecord:
    refused = refusal(recipient, rules)
    return NotificationRecord(
        id=recipient.id(phase),
        channel=recipient.channel,
        recipient=recipient.shown[:320],
        state=NotificationState.PENDING if refused is None else NotificationState.FAILED,
        time=at,
        message=refused,
    )


def next_step(
    process: TrainingProcess, deliveries: Deliveries, rules: NotificationRules, now: datetime
) -> Outbox:
    """The next step of the records of a process that has ended."""
    phase = process.status.phase
    if phase is None or not process.status.notifications:
        return Outbox(process.status.notifications)
    known = {item.id(phase): item for item in recipients_of(process, rules)}
    records: list[NotificationRecord] = []
    messages: list[Message] = []
    times: list[datetime] = []
    for record in process.status.notifications:
        if record.state is NotificationState.SENDING:
            step = _after_try(
                record, deliveries.outcomes.get((record.id, record.tries)), rules, now
            )
        elif record.state is NotificationState.PENDING:
            recipient = known.get(record.id)
            free = deliveries.free - len(messages)
            step = _before_try(record, recipient, rules, free, now)
            if recipient is not None and step.state is NotificationState.SENDING:
                messages.append(Message(process, recipient, record.id, step.tries))
        else:
            step = record
        records.append(step)
        if step.state is NotificationState.SENDING:
            times.append(step.time + CUT_OFF_AFTER)
        elif step.state is NotificationState.PENDING:
            times.append(max(due_at(step), now + FULL))
    return Outbox(tuple(records), tuple(messages), min(times, default=None))


def due_at(record: NotificationRecord) -> datetime:
    """When a message that is Pending may be tried: later after each try that failed."""
    if record.tries == 0:
        return record.time
    return record.time + min(LONGEST_WAIT, FIRST_WAIT * int(4 ** (record.tries - 1)))


def _before_try(
    record: NotificationRecord,
    recipient: Recipient | None,
    rules: NotificationRules,
    free: int,
    now: datetime,
) -> NotificationRecord:
    if recipient is None:
        return _changed(
            record, NotificationState.FAILED, now, "the recipient is not to be told any more"
        )
    refused = refusal(recipient, rules)
    if refused is not None:
        return _changed(record, NotificationState.FAILED, now, refused)
    # The first try is due at once, whatever the clock says.
    early = record.tries > 0 and now < due_at(record)
    if early or free < 1:
        return record
    return _changed(record, NotificationState.SENDING, now, record.message, record.tries + 1)


def _after_try(
    record: NotificationRecord, outcome: Outcome | None, rules: NotificationRules, now: datetime
) -> NotificationRecord:
    match outcome:
        case Delivered():
            return _changed(record, NotificationState.SENT, now, None)
        case NotDelivered(message, again):
            more = again and record.tries < rules.tries
            state = NotificationState.PENDING if more else NotificationState.FAILED
            return _changed(record, state, now, message)
        case Unknown(message):
            return _changed(record, NotificationState.FAILED, now, message)
    if now < record.time + CUT_OFF_AFTER:
        return record
    return _changed(
        record,
        NotificationState.FAILED,
        now,
        "the operator was stopped while it was sent: whether it arrived is not known, and it is "
        "not sent twice",
    )


def _changed(
    record: NotificationRecord,
    state: NotificationState,
    now: datetime,
    message: str | None,
    tries: int | None = None,
) -> NotificationRecord:
    return record.model_copy(
        update={
            "state": state,
            "time": now.replace(microsecond=0),
            # Words of a server, some of them.
            "message": None if message is None else scrubbed(message)[:LONGEST_MESSAGE],
            "tries": record.tries if tries is None else tries,
        }
    )
