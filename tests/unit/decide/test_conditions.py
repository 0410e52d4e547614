"""Conditions: one is set, the others stay, transition times tell when the status changed."""

from __future__ import annotations

import pytest

from tests.unit.builders import NOW, after
from trainyard.api.meta import Condition, ConditionStatus
from trainyard.api.reasons import ConditionType, Reason
from trainyard.decide.conditions import find, is_true, with_condition

READY = ConditionType.READY


def set_ready(
    old: tuple[Condition, ...], status: bool | None, seconds: float = 0, message: str = "m"
) -> tuple[Condition, ...]:
    return with_condition(
        old, READY, status, Reason.ACCEPTED, message, now=after(seconds), generation=2
    )


def test_its_sentence_has_nothing_that_a_terminal_would_obey() -> None:
    (made,) = set_ready((), False, message="\x1b[31mcat\u202egnp.exe\x1b[0m cannot be read")
    assert made.message == "catgnp.exe cannot be read"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (True, ConditionStatus.TRUE),
        (False, ConditionStatus.FALSE),
        (None, ConditionStatus.UNKNOWN),
    ],
)
def test_new_condition_carries_all_of_its_fields(
    status: bool | None, expected: ConditionStatus
) -> None:
    (made,) = set_ready((), status, seconds=0.75)
    assert made == Condition(
        type="Ready",
        status=expected,
        reason="Accepted",
        message="m",
        last_transition_time=NOW,
        observed_generation=2,
    )


def test_transition_time_stays_while_the_status_stays() -> None:
    later = set_ready(set_ready((), False), False, seconds=60, message="another")
    assert (later[0].message, later[0].last_transition_time) == ("another", NOW)


def test_transition_time_moves_with_the_status() -> None:
    assert set_ready(set_ready((), False), True, 60)[0].last_transition_time == after(60)
    assert set_ready(set_ready((), None), False, 60)[0].last_transition_time == after(60)


def test_other_conditions_keep_their_place() -> None:
    conditions: tuple[Condition, ...] = ()
    for type_ in (ConditionType.VALIDATED, READY, ConditionType.FAILED):
        conditions = with_condition(
            conditions, type_, False, Reason.VALID, "", now=NOW, generation=1
        )
    changed = set_ready(conditions, True)
    assert [item.type for item in changed] == ["Validated", "Ready", "Failed"]
    assert changed[0] is conditions[0] and changed[2] is conditions[2]


def test_found_by_type() -> None:
    made = set_ready((), True)
    assert find(made, READY) is made[0]
    assert find(made, ConditionType.FAILED) is None
    assert is_true(made, READY)
    assert not is_true(set_ready((), None), READY)
    assert not is_true((), READY)
