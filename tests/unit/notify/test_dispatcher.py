"""Messages are tried in a thread of their own, some at a time, and what came of them is kept."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from tests.unit.builders import UID
from tests.unit.notify.ended import ended, message
from trainyard.api.process import TrainingProcess
from trainyard.api.process_status import NotificationRecord
from trainyard.decide.outbox import Delivered, Message, NotDelivered, Outcome, Unknown
from trainyard.notify import dispatcher as module
from trainyard.notify.dispatcher import AT_ONCE, Dispatcher

KNOWN = ended(notifications={"email": [f"p{number}@example.org" for number in range(50)]})


class Office:
    """Sends as it is told, and counts how many are sent at the same time."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.now, self.most, self.sent = 0, 0, list[str]()
        self.outcome: Outcome | Exception = Delivered()

    async def send(self, given: Message) -> Outcome:
        self.now += 1
        self.most = max(self.most, self.now)
        while not self.go.is_set():
            await asyncio.sleep(0.005)
        self.now -= 1
        self.sent.append(given.recipient.address)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.fixture
def office() -> Office:
    return Office()


@pytest.fixture
def done() -> list[TrainingProcess]:
    return []


@pytest.fixture
def dispatcher(office: Office, done: list[TrainingProcess]) -> Iterator[Dispatcher]:
    made = Dispatcher(office.send, done.append)
    made.start()
    yield made
    made.stop()


def until(condition: object) -> None:
    assert callable(condition)
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen in 5 s")


def test_handing_over_returns_at_once_while_every_server_hangs(
    dispatcher: Dispatcher, office: Office
) -> None:
    begun = time.monotonic()
    for number in range(AT_ONCE):
        dispatcher.hand_over(message(KNOWN, f"p{number}@example.org"))
    assert time.monotonic() - begun < 0.5
    assert dispatcher.deliveries(UID).free == 0
    assert dispatcher.deliveries("another").free == 0
    until(lambda: office.now == AT_ONCE)
    office.go.set()
    until(lambda: len(dispatcher.deliveries(UID).outcomes) == AT_ONCE)
    assert dispatcher.deliveries(UID).free == AT_ONCE
    assert office.most == AT_ONCE


def test_an_outcome_is_told_kept_and_forgotten_once_it_is_on_record(
    dispatcher: Dispatcher, office: Office, done: list[TrainingProcess]
) -> None:
    office.go.set()
    given = message(KNOWN)
    dispatcher.hand_over(given)
    until(lambda: done)
    assert done == [given.process]
    assert dispatcher.deliveries(UID).outcomes == {(given.id, 1): Delivered()}
    assert dispatcher.deliveries("another").outcomes == {}

    def status(state: str) -> object:
        record = NotificationRecord.model_validate(
            {"id": given.id, "channel": "Email", "recipient": "x", "state": state, "tries": 1}
            | {"time": "2026-11-23T12:00:00Z"}
        )
        return given.process.status.model_copy(update={"notifications": (record,)})

    dispatcher.recorded(UID, status("Sending"))  # type: ignore[arg-type]
    assert dispatcher.deliveries(UID).outcomes != {}
    dispatcher.recorded("another", status("Sent"))  # type: ignore[arg-type]
    assert dispatcher.deliveries(UID).outcomes != {}
    dispatcher.recorded(UID, status("Sent"))  # type: ignore[arg-type]
    assert dispatcher.deliveries(UID).outcomes == {}


def test_a_fault_of_our_own_is_an_outcome_and_the_next_message_is_sent(
    dispatcher: Dispatcher, office: Office
) -> None:
    office.go.set()
    office.outcome = RuntimeError("boom")
    first = message(KNOWN)
    dispatcher.hand_over(first)
    until(lambda: dispatcher.deliveries(UID).outcomes)
    assert isinstance(dispatcher.deliveries(UID).outcomes[first.id, 1], Unknown)
    office.outcome = NotDelivered("later", again=True)
    second = message(KNOWN, "p1@example.org")
    dispatcher.hand_over(second)
    until(lambda: (second.id, 1) in dispatcher.deliveries(UID).outcomes)
    assert dispatcher.deliveries(UID).free == AT_ONCE


def test_a_try_that_never_ends_is_ended(
    dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.05)
    dispatcher.hand_over(message(KNOWN))
    until(lambda: dispatcher.deliveries(UID).outcomes)
    (outcome,) = dispatcher.deliveries(UID).outcomes.values()
    assert isinstance(outcome, Unknown)


def test_outcomes_that_nobody_asks_for_do_not_grow_for_ever(
    dispatcher: Dispatcher, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 3)
    office.go.set()
    for number in range(8):
        dispatcher.hand_over(message(KNOWN, f"p{number}@example.org"))
    until(lambda: len(office.sent) == 8 and dispatcher.deliveries(UID).free == AT_ONCE)
    assert len(dispatcher.deliveries(UID).outcomes) == 3


def test_stopping_does_not_wait_for_a_server_that_hangs(office: Office) -> None:
    made = Dispatcher(office.send, lambda _: None)
    made.start()
    made.hand_over(message(KNOWN))
    begun = time.monotonic()
    made.stop()
    assert time.monotonic() - begun < 2


def test_asked_to_end_it_takes_no_more_and_waits_for_what_is_being_sent(
    dispatcher: Dispatcher, office: Office
) -> None:
    dispatcher.hand_over(message(KNOWN))
    begun = time.monotonic()
    dispatcher.finish(0.1)
    assert 0.1 <= time.monotonic() - begun < 2
    assert dispatcher.deliveries(UID).free == 0
    assert dispatcher.unrecorded() == set()
    threading.Timer(0.1, office.go.set).start()
    dispatcher.finish(60)
    assert time.monotonic() - begun < 5
    assert dispatcher.unrecorded() == {UID}
    assert dispatcher.deliveries(UID).free == 0
