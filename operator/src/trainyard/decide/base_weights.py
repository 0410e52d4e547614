"""What training starts from, where that is no bare architecture: policies of `validation`."""

from __future__ import annotations

from trainyard.api.model import TrainedModel
from trainyard.api.reasons import Reason
from trainyard.api.run import BaseWeights
from trainyard.api.template import BaseModelRef
from trainyard.decide.facts import DecisionSettings, ProcessFacts
from trainyard.decide.finding import Finding


def base_model_fits(facts: ProcessFacts) -> Finding | None:
    """The TrainedModel that training goes on from is there, of the same engine, with weights."""
    if facts.template is None or facts.template.spec.base_model.trained_model is None:
        return None
    template, model = facts.process.spec.template, facts.base_model
    name, engine = facts.template.spec.base_model.trained_model, facts.template.spec.engine
    if model is None:
        return Finding(
            Reason.BASE_MODEL_NOT_FOUND,
            f"waiting for TrainedModel {name}, from which TrainingTemplate {template} starts and "
            f"which does not exist in namespace {facts.process.metadata.namespace}: train or "
            "apply it",
            final=False,
        )
    if model.spec.engine is not engine:
        return Finding(
            Reason.ENGINE_MISMATCH,
            f"TrainedModel {name} is of engine {model.spec.engine}, and TrainingTemplate "
            f"{template}, which starts from it, has engine {engine}: start from a model of the "
            "same engine",
            final=True,
        )
    if model.spec.artefacts.weights is None:
        return Finding(
            Reason.BASE_MODEL_UNUSABLE,
            f"TrainedModel {name}, from which TrainingTemplate {template} starts, names no "
            "artefacts.weights: start from another model",
            final=True,
        )
    return None


def base_weights_allowed(facts: ProcessFacts) -> Finding | None:
    """The settings allow the digest; a TrainedModel of the namespace's own runs needs none."""
    if facts.template is None:
        return None
    base = base_weights(facts.template.spec.base_model, facts.base_model)
    if base is None or base.sha256 in facts.settings.allowed_weights:
        return None
    namespace = facts.process.metadata.namespace
    own = f"{runs_of(facts.settings, namespace)}/"
    if facts.template.spec.base_model.trained_model is not None and base.uri.startswith(own):
        return None
    return Finding(
        Reason.WEIGHTS_NOT_ALLOWED,
        f"the weights {base.uri} that TrainingTemplate {facts.process.spec.template} starts from "
        f"have the SHA-256 {base.sha256}, which the operator's settings do not allow: have an "
        "administrator add it to trainer.allowedWeights, or start from an architecture or from a "
        f"model that was trained in namespace {namespace}",
        final=False,
    )


def base_weights(base: BaseModelRef, model: TrainedModel | None) -> BaseWeights | None:
    """The file that training starts from; None if it starts from scratch, or there is none.

    Parameters
    ----------
    base
        What the recipe says.
    model
        The TrainedModel that it names, if there is one.
    """
    if base.weights is not None:
        return BaseWeights(uri=base.weights.uri, sha256=base.weights.sha256)
    if base.trained_model is None or model is None or model.spec.artefacts.weights is None:
        return None
    weights = model.spec.artefacts.weights
    return BaseWeights(uri=weights.uri, sha256=weights.sha256)


def runs_of(settings: DecisionSettings, namespace: str) -> str:
    """The folder that only the runs of a namespace, and who has their credentials, write to."""
    return f"{settings.store_root}/runs/{namespace}"
