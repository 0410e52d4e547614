"""The outbox: nothing is sent before it is on record, and nothing twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from tests.unit.builders import after, with_status
from tests.unit.notify.ended import RULES, TEAM, ended, ending
from trainyard.api.process_status import NotificationRecord, NotificationState
from trainyard.decide.actions import Decision
from trainyard.decide.facts import ProcessFacts
from trainyard.decide.outbox import (
    CUT_OFF_AFTER,
    Delivered,
    Deliveries,
    NotDelivered,
    Outcome,
    Unknown,
    due_at,
)
from trainyard.decide.process import decide_process

TOLD = {"email": [TEAM]}
LATER = NotDelivered("cannot be reached", again=True)


def record(known: ProcessFacts) -> NotificationRecord:
    (found,) = known.process.status.notifications
    return found


def step(
    known: ProcessFacts, now: datetime, free: int = 1, outcome: Outcome | None = None
) -> tuple[ProcessFacts, Decision]:  # type: ignore[type-arg]
    outcomes = {}
    if outcome is not None:
        outcomes = {(record(known).id, record(known).tries): outcome}
    decision = decide_process(replace(known, deliveries=Deliveries(free, outcomes)), now)
    return with_status(known, decision.status), decision


def test_what_a_server_answered_is_told_plain_without_credentials_and_short() -> None:
    known, _ = step(ended(notifications=TOLD), after(70))
    said = f"answered 535 \x1b[31mpassword: canary-1\x1b[0m {'x' * 999}"
    known, _ = step(known, after(80), outcome=NotDelivered(said, again=False))
    message = record(known).message
    assert message is not None
    assert message.startswith("answered 535 password: *** xxx")
    assert len(message) == 512


@pytest.mark.parametrize("good", [True, False])
def test_the_write_that_ends_a_process_records_who_is_to_be_told_and_sends_nothing(
    good: bool,
) -> None:
    known = ending(good=good, notifications=TOLD)
    while known.process.status.notifications == ():
        decision = decide_process(replace(known, deliveries=Deliveries(9)), after(60))
        assert decision.messages == ()
        known = with_status(known, decision.status)
    assert decision.status.phase is not None and decision.status.phase.terminal
    assert record(known).state is NotificationState.PENDING
    assert record(known).recipient == TEAM
    assert record(known).id.startswith(str(decision.status.phase))


def test_a_later_pass_records_the_try_and_hands_the_message_over_with_that_write() -> None:
    known, decision = step(ended(notifications=TOLD), after(70))
    (message,) = decision.messages
    assert (message.recipient.address, message.attempt) == (TEAM, 1)
    assert message.id == record(known).id
    assert (record(known).state, record(known).tries) == (NotificationState.SENDING, 1)
    _, again = step(known, after(71))
    assert again.messages == ()
    assert again.status == known.process.status
    assert again.look_again_at == record(known).time + CUT_OFF_AFTER


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Delivered(), NotificationState.SENT),
        (NotDelivered("never", again=False), NotificationState.FAILED),
        (Unknown("no word"), NotificationState.FAILED),
        (LATER, NotificationState.PENDING),
    ],
)
def test_what_came_of_a_try_is_recorded(outcome: Outcome, state: NotificationState) -> None:
    known, _ = step(ended(notifications=TOLD), after(70))
    known, decision = step(known, after(80), outcome=outcome)
    assert record(known).state is state
    assert record(known).time == after(80)
    assert record(known).message == getattr(outcome, "message", None)
    assert decision.messages == ()


def test_tries_are_a_while_apart_and_bounded() -> None:
    known, now, tried = ended(notifications=TOLD), after(70), []
    while record(known).state is not NotificationState.FAILED:
        now = max(now, due_at(record(known)))
        known, decision = step(known, now)
        assert len(decision.messages) == 1
        tried.append(now)
        known, _ = step(known, now + timedelta(seconds=1), outcome=LATER)
        if record(known).state is NotificationState.PENDING:
            early = due_at(record(known)) - timedelta(seconds=1)
            assert step(known, early)[1].messages == ()
    apart = [round((b - a).total_seconds()) for a, b in pairwise(tried)]
    assert apart == [16, 61, 241, 961]
    assert record(known).tries == RULES.tries == 5
    assert record(known).message == "cannot be reached"


def test_a_message_that_was_cut_off_is_not_sent_again() -> None:
    known, _ = step(ended(notifications=TOLD), after(70))
    known, decision = step(known, record(known).time + CUT_OFF_AFTER)
    assert decision.messages == ()
    assert record(known).state is NotificationState.FAILED
    assert record(known).message == (
        "the operator was stopped while it was sent: whether it arrived is not known, and it is "
        "not sent twice"
    )
    unchanged, decision = step(known, after(99_999), outcome=Delivered())
    assert (unchanged.process.status, decision.messages) == (known.process.status, ())


def test_the_outcome_of_another_try_counts_for_nothing() -> None:
    known, _ = step(ended(notifications=TOLD), after(70))
    stale = Deliveries(1, {(record(known).id, 7): Delivered()})
    decision = decide_process(replace(known, deliveries=stale), after(80))
    assert decision.status == known.process.status


def test_no_more_are_handed_over_than_can_be_sent() -> None:
    people = [f"p{number}@example.org" for number in range(5)]
    known = ended(notifications={"email": people})
    decision = decide_process(replace(known, deliveries=Deliveries(2)), after(70))
    assert [item.recipient.address for item in decision.messages] == people[:2]
    states = [item.state for item in decision.status.notifications]
    assert states == [NotificationState.SENDING] * 2 + [NotificationState.PENDING] * 3
    assert decision.look_again_at == after(75)


def test_a_refused_domain_is_recorded_as_failed_and_the_run_succeeds() -> None:
    rules = replace(RULES, allowed_domains=frozenset({"example.org"}))
    known = ended(rules=rules, notifications={"email": ["a@elsewhere.net"]})
    assert str(known.process.status.phase) == "Succeeded"
    assert record(known).state is NotificationState.FAILED
    assert "elsewhere.net" in (record(known).message or "")


def test_who_is_taken_out_before_the_mail_is_sent_is_not_told() -> None:
    known = ended(notifications=TOLD)
    spec = known.process.spec.model_copy(update={"notifications": None})
    known = replace(known, process=known.process.model_copy(update={"spec": spec}))
    known, decision = step(known, after(70))
    assert decision.messages == ()
    assert record(known).state is NotificationState.FAILED


def test_what_the_settings_refuse_since_is_not_sent_any_more() -> None:
    known = ended(notifications=TOLD)
    rules = replace(RULES, allowed_domains=frozenset({"example.net"}))
    known = replace(known, settings=replace(known.settings, notifications=rules))
    known, decision = step(known, after(70))
    assert decision.messages == ()
    assert record(known).state is NotificationState.FAILED
    assert "example.org is not among" in (record(known).message or "")


def test_a_clock_that_was_set_back_does_not_hold_up_the_first_try() -> None:
    known, decision = step(ended(notifications=TOLD), after(-7200))
    assert len(decision.messages) == 1
    assert record(known).time == after(-7200)


def test_who_is_added_after_the_end_is_not_told() -> None:
    known = ended()
    assert known.process.status.notifications == ()
    spec = ended(notifications=TOLD).process.spec
    known = replace(known, process=known.process.model_copy(update={"spec": spec}))
    decision = decide_process(replace(known, deliveries=Deliveries(9)), after(70))
    assert decision.messages == ()
    assert decision.status == known.process.status


def test_nothing_is_written_once_everybody_was_told() -> None:
    known, _ = step(ended(notifications=TOLD), after(70))
    known, _ = step(known, after(80), outcome=Delivered())
    _, decision = step(known, after(9000))
    assert decision == Decision(known.process.status)


def test_the_path_of_a_webhook_is_not_in_the_status() -> None:
    known = ended(notifications={"webhooks": ["https://hooks.example.org/T0/SECRET"]})
    known, decision = step(known, after(70))
    assert decision.messages[0].recipient.address.endswith("/T0/SECRET")
    assert record(known).recipient == "https://hooks.example.org"
    assert "SECRET" not in str(known.process.status.to_wire())
