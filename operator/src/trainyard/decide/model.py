"""Status of a TrainedModel: the size of its weights, and the evaluations that the store has."""

from __future__ import annotations

from datetime import datetime

from trainyard.api.evaluation import EVALUATIONS_LISTED, EvaluatedSplit, EvaluationFile
from trainyard.api.meta import ANNOTATION_EVALUATIONS, Condition
from trainyard.api.model import (
    NamedEvaluation,
    TrainedModel,
    TrainedModelDisplay,
    TrainedModelStatus,
)
from trainyard.api.process_status import MetricSet
from trainyard.api.reasons import ConditionType, Reason
from trainyard.decide import display
from trainyard.decide.actions import Decision, Happening
from trainyard.decide.base_weights import runs_of
from trainyard.decide.conditions import with_condition
from trainyard.decide.draft import POLL
from trainyard.decide.events import turned
from trainyard.decide.facts import DecisionSettings, FoundEvaluations, ModelFacts, Unavailable
from trainyard.decide.results import metric_values

LONGEST_MARK = 64
"""Characters of the annotation that count."""
_NAMED = 5
"""Unusable files that the condition tells of."""


def unread_mark(model: TrainedModel) -> str | None:
    """The annotation for which evaluations are to be read; None if they were, or there is none."""
    given = model.metadata.annotations.get(ANNOTATION_EVALUATIONS)
    if given is None or given[:LONGEST_MARK] == model.status.observed_evaluations:
        return None
    return given[:LONGEST_MARK]


def may_be_read(model: TrainedModel, settings: DecisionSettings) -> bool:
    """Whether the model lies where its namespace may write.

    Users may make a TrainedModel that names any place, and the operator's credentials read more
    than theirs.
    """
    folder = f"{runs_of(settings, model.metadata.namespace)}/"
    return f"{model.spec.artefacts.location.rstrip('/')}/".startswith(folder)


def decide_model(facts: ModelFacts, now: datetime) -> Decision[TrainedModelStatus]:
    """Ready, with the size of its weights for the column, and its evaluations."""
    model = facts.model
    weights, generation = model.spec.artefacts.weights, model.metadata.generation
    size = "" if weights is None else display.size(weights.size_bytes)
    status = model.status.model_copy(
        update={
            "observed_generation": generation,
            "conditions": with_condition(
                model.status.conditions,
                ConditionType.READY,
                True,
                Reason.ACCEPTED,
                "processes can use it",
                now=now,
                generation=generation,
            ),
            "display": TrainedModelDisplay(size=size),
        }
    )
    mark = unread_mark(model)
    if mark is None:
        return Decision(status)
    if isinstance(facts.evaluations, Unavailable):
        told = _told(status, facts, False, Reason.STORE_UNAVAILABLE, facts.evaluations.message, now)
        # Not before the store has answered do they count as read.
        waiting = status.model_copy(update={"conditions": told})
        return Decision(waiting, events=_turned(model, waiting), look_again_at=now + POLL)
    changes: dict[str, object] = {"observed_evaluations": mark}
    if facts.evaluations is None:
        folder = runs_of(facts.settings, model.metadata.namespace)
        message = (
            f"evaluations are read below {folder}/ only, and the model lies at "
            f"{model.spec.artefacts.location}: evaluate a model that was trained or exported there"
        )
        changes["conditions"] = _told(
            status, facts, False, Reason.LOCATION_NOT_ALLOWED, message, now
        )
    else:
        changes["evaluations"] = tuple(map(_named, facts.evaluations.files))
        all_listed, reason, message = _outcome(facts.evaluations)
        changes["conditions"] = _told(status, facts, all_listed, reason, message, now)
    read = status.model_copy(update=changes)
    return Decision(read, events=_turned(model, read))


def _turned(model: TrainedModel, status: TrainedModelStatus) -> tuple[Happening, ...]:
    return turned(model.status.conditions, status.conditions, ConditionType.EVALUATIONS_READ)


def _told(
    status: TrainedModelStatus,
    facts: ModelFacts,
    all_listed: bool,
    reason: Reason,
    message: str,
    now: datetime,
) -> tuple[Condition, ...]:
    return with_condition(
        status.conditions,
        ConditionType.EVALUATIONS_READ,
        all_listed,
        reason,
        message,
        now=now,
        generation=facts.model.metadata.generation,
    )


def _outcome(found: FoundEvaluations) -> tuple[bool, Reason, str]:
    parts = list(found.unusable[:_NAMED])
    if len(found.unusable) > _NAMED:
        parts.append(f"and {len(found.unusable) - _NAMED} more")
    if found.more:
        parts.append(
            f"there are more than {EVALUATIONS_LISTED} files, of which the first by name are "
            "listed: delete those that nobody needs"
        )
    if parts:
        return False, Reason.EVALUATIONS_UNUSABLE, "; ".join(parts)
    count = len(found.files)
    noun = "evaluation is" if count == 1 else "evaluations are"
    return True, Reason.EVALUATIONS_LISTED, f"{count} {noun} listed"


def _named(file: EvaluationFile) -> NamedEvaluation:
    return NamedEvaluation(
        plan=file.plan,
        primary_metric=file.primary_metric,
        checkpoint_sha256=file.checkpoint_sha256,
        dev=_metric_set(file.dev),
        test=_metric_set(file.test),
        created_at=file.created_at.replace(microsecond=0),
    )


def _metric_set(split: EvaluatedSplit | None) -> MetricSet | None:
    if split is None:
        return None
    return MetricSet(metrics=metric_values(split.metrics), samples=split.samples)
