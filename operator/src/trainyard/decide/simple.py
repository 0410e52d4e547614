"""Status of the kinds that only say whether they can be used."""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

from trainyard.api.capability import Capability, CapabilityStatus
from trainyard.api.meta import Condition
from trainyard.api.reasons import ConditionType, Reason
from trainyard.api.template import BaseModelRef, TrainingTemplate, TrainingTemplateStatus
from trainyard.decide.actions import Decision
from trainyard.decide.conditions import with_condition
from trainyard.decide.events import turned
from trainyard.decide.recipe import problem


def decide_capability(capability: Capability, now: datetime) -> Decision[CapabilityStatus]:
    """Ready, with the number of its classes for the column."""
    generation = capability.metadata.generation
    status = capability.status.model_copy(
        update={
            "observed_generation": generation,
            "classes": len(capability.spec.outputs),
            "conditions": _ready(capability.status.conditions, None, generation, now),
        }
    )
    return _told(capability.status, status)


def decide_template(template: TrainingTemplate, now: datetime) -> Decision[TrainingTemplateStatus]:
    """Ready, unless it names something that its engine does not know."""
    generation = template.metadata.generation
    status = template.status.model_copy(
        update={
            "observed_generation": generation,
            "conditions": _ready(
                template.status.conditions, problem(template.spec), generation, now
            ),
            "base": _base(template.spec.base_model),
        }
    )
    return _told(template.status, status)


S = TypeVar("S", CapabilityStatus, TrainingTemplateStatus)


def _told(old: S, new: S) -> Decision[S]:
    return Decision(new, events=turned(old.conditions, new.conditions, ConditionType.READY))


def _base(base: BaseModelRef) -> str:
    if base.weights is not None:
        return base.weights.uri.rpartition("/")[2]
    return base.architecture or base.trained_model or ""


def _ready(
    conditions: tuple[Condition, ...], wrong: str | None, generation: int, now: datetime
) -> tuple[Condition, ...]:
    return with_condition(
        conditions,
        ConditionType.READY,
        wrong is None,
        Reason.ACCEPTED if wrong is None else Reason.INVALID_TEMPLATE,
        wrong or "processes can use it",
        now=now,
        generation=generation,
    )
