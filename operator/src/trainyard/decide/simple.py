"""Status of the kinds that only say whether they can be used."""

from __future__ import annotations

from datetime import datetime

from trainyard.api.capability import Capability, CapabilityStatus
from trainyard.api.meta import Condition
from trainyard.api.model import TrainedModel, TrainedModelDisplay, TrainedModelStatus
from trainyard.api.reasons import ConditionType, Reason
from trainyard.api.template import TrainingTemplate, TrainingTemplateStatus
from trainyard.decide import display, support
from trainyard.decide.actions import Decision
from trainyard.decide.conditions import with_condition


def decide_capability(capability: Capability, now: datetime) -> Decision[CapabilityStatus]:
    """Ready, unless a field is set that does not act yet."""
    field = support.unsupported_in_capability(capability.spec)
    generation = capability.metadata.generation
    status = capability.status.model_copy(
        update={
            "observed_generation": generation,
            "classes": len(capability.spec.outputs),
            "conditions": _ready(capability.status.conditions, field, generation, now),
        }
    )
    return Decision(status)


def decide_template(template: TrainingTemplate, now: datetime) -> Decision[TrainingTemplateStatus]:
    """Ready, unless a field is set that does not act yet."""
    field = support.unsupported_in_template(template.spec)
    generation = template.metadata.generation
    status = template.status.model_copy(
        update={
            "observed_generation": generation,
            "conditions": _ready(template.status.conditions, field, generation, now),
        }
    )
    return Decision(status)


def decide_model(model: TrainedModel, now: datetime) -> Decision[TrainedModelStatus]:
    """Ready, with the size of its weights for the column."""
    weights = model.spec.artefacts.weights
    generation = model.metadata.generation
    size = "" if weights is None else display.size(weights.size_bytes)
    status = model.status.model_copy(
        update={
            "observed_generation": generation,
            "conditions": _ready(model.status.conditions, None, generation, now),
            "display": TrainedModelDisplay(size=size),
        }
    )
    return Decision(status)


def _ready(
    conditions: tuple[Condition, ...], unsupported: str | None, generation: int, now: datetime
) -> tuple[Condition, ...]:
    if unsupported is None:
        reason, message = Reason.ACCEPTED, "processes can use it"
    else:
        reason, message = Reason.NOT_YET_SUPPORTED, f"{unsupported} is not supported yet: remove it"
    return with_condition(
        conditions,
        ConditionType.READY,
        unsupported is None,
        reason,
        message,
        now=now,
        generation=generation,
    )
