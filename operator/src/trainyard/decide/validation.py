"""Whether everything that a process names fits together: a chain of small policies, in order.

A policy returns None when it is content, or a `Finding`: one that is `final` ends the process
(nothing that may still come can mend it), any other one waits and is named in the status.
"""

from __future__ import annotations

from collections.abc import Callable

from trainyard.api.capability import CapabilityType, Geometry
from trainyard.api.reasons import Reason
from trainyard.api.template import Engine
from trainyard.decide import base_weights, data
from trainyard.decide.facts import ProcessFacts
from trainyard.decide.finding import Finding
from trainyard.decide.recipe import problem as recipe_problem
from trainyard.decide.resolve import OverrideError, resolve_template


def validate(facts: ProcessFacts) -> Finding | None:
    """The first thing that keeps the process from starting, or None."""
    for policy in POLICIES:
        finding = policy(facts)
        if finding is not None:
            return finding
    return None


def capability_exists(facts: ProcessFacts) -> Finding | None:
    """The capability is there."""
    if facts.capability is not None:
        return None
    return Finding(
        Reason.CAPABILITY_NOT_FOUND,
        f"waiting for Capability {facts.process.spec.capability}, which does not exist in "
        f"namespace {facts.process.metadata.namespace}: apply it",
        final=False,
    )


def template_exists(facts: ProcessFacts) -> Finding | None:
    """The template is there."""
    if facts.template is not None:
        return None
    return Finding(
        Reason.TEMPLATE_NOT_FOUND,
        f"waiting for TrainingTemplate {facts.process.spec.template}, which does not exist in "
        f"namespace {facts.process.metadata.namespace}: apply it",
        final=False,
    )


def recipe_is_valid(facts: ProcessFacts) -> Finding | None:
    """Template and overrides together keep all bounds, and name nothing that the engine lacks."""
    if facts.template is None:
        return None
    try:
        recipe = resolve_template(facts.template.spec, facts.process.spec.overrides)
    except OverrideError as error:
        return Finding(Reason.INVALID_OVERRIDE, str(error), final=True)
    problem = recipe_problem(recipe)
    return None if problem is None else Finding(Reason.INVALID_OVERRIDE, problem, final=True)


def image_allowed(facts: ProcessFacts) -> Finding | None:
    """The settings allow the trainer image that the template names."""
    if facts.template is None:
        return None
    image = facts.template.spec.image
    if image is None or image in {facts.settings.image, *facts.settings.allowed_images}:
        return None
    return Finding(
        Reason.IMAGE_NOT_ALLOWED,
        f"TrainingTemplate {facts.process.spec.template}: the operator's settings do not allow "
        f"the image {image}: have an administrator add it to trainer.allowedImages, or leave "
        "image out",
        final=False,
    )


def engine_fits(facts: ProcessFacts) -> Finding | None:
    """The engine trains this type of capability."""
    if facts.template is None or facts.capability is None:
        return None
    engine, spec = facts.template.spec.engine, facts.capability.spec
    geometry = spec.geometry or Geometry.BOX
    fitting = [
        candidate
        for candidate, (types, shapes) in FITS.items()
        if spec.type in types and (spec.type is not CapabilityType.DETECTOR or geometry in shapes)
    ]
    if engine in fitting:
        return None
    what = f"{spec.type} with geometry {geometry}" if spec.geometry else str(spec.type)
    return Finding(
        Reason.ENGINE_MISMATCH,
        f"TrainingTemplate {facts.process.spec.template} has engine {engine}, which does not "
        f"train the type {what} (Capability {facts.process.spec.capability}): use a template with "
        f"engine {' or '.join(fitting)}",
        final=True,
    )


def store_secret_exists(facts: ProcessFacts) -> Finding | None:
    """The namespace has credentials for the store."""
    return None if facts.secret_present else missing_secret(facts.process.metadata.namespace)


def missing_secret(namespace: str) -> Finding:
    """The finding for a namespace without credentials; datasets use it as well."""
    return Finding(
        Reason.STORE_SECRET_MISSING,
        f"waiting for Secret trainyard-store in namespace {namespace}: create it with the keys "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        final=False,
    )


Policy = Callable[[ProcessFacts], Finding | None]

POLICIES: tuple[Policy, ...] = (
    capability_exists,
    template_exists,
    recipe_is_valid,
    engine_fits,
    image_allowed,
    base_weights.base_model_fits,
    base_weights.base_weights_allowed,
    store_secret_exists,
    data.datasets_ready,
    data.classes_present,
    data.splits_compared,
    data.splits_disjoint,
    data.groups_disjoint,
    data.classes_usable,
    data.splits_usable,
)

FITS: dict[Engine, tuple[frozenset[CapabilityType], frozenset[Geometry]]] = {
    Engine.YOLO_DET: (frozenset({CapabilityType.DETECTOR}), frozenset({Geometry.BOX})),
    Engine.YOLO_SEG: (frozenset({CapabilityType.DETECTOR}), frozenset({Geometry.POLYGON})),
    Engine.YOLO_CLS: (
        frozenset({CapabilityType.IMAGE_CLASSIFIER, CapabilityType.BOX_CLASSIFIER}),
        frozenset(),
    ),
    Engine.EMBEDDER: (frozenset({CapabilityType.BOX_EMBEDDER}), frozenset()),
}
"""Which engine trains which type of capability."""
