"""Conditions: set one, keep its transition time while its status stays."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from trainyard.api.meta import Condition, ConditionStatus
from trainyard.api.reasons import ConditionType, Reason
from trainyard.decide.scrub import plain


def find(conditions: Iterable[Condition], type_: ConditionType) -> Condition | None:
    """The condition of that type, or None."""
    return next((item for item in conditions if item.type == type_), None)


def is_true(conditions: Iterable[Condition], type_: ConditionType) -> bool:
    """Whether the condition is there and True."""
    found = find(conditions, type_)
    return found is not None and found.status is ConditionStatus.TRUE


def with_condition(
    conditions: tuple[Condition, ...],
    type_: ConditionType,
    status: bool | None,
    reason: Reason,
    message: str,
    *,
    now: datetime,
    generation: int,
) -> tuple[Condition, ...]:
    """`conditions` with one of them set; the others keep their order.

    Parameters
    ----------
    status
        True, False, or None for Unknown.
    message
        What in it a terminal or a browser would obey is taken out.
    now
        Becomes the transition time if the status changes; seconds are enough.
    """
    wanted = {
        True: ConditionStatus.TRUE,
        False: ConditionStatus.FALSE,
        None: ConditionStatus.UNKNOWN,
    }[status]
    old = find(conditions, type_)
    since = (
        old.last_transition_time
        if old is not None and old.status is wanted
        else now.replace(microsecond=0)
    )
    new = Condition(
        type=str(type_),
        status=wanted,
        reason=str(reason),
        message=plain(message),
        last_transition_time=since,
        observed_generation=generation,
    )
    if old is None:
        return (*conditions, new)
    return tuple(new if item.type == type_ else item for item in conditions)
