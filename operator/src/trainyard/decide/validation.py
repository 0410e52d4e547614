"""Whether everything that a process names fits together: a chain of small policies, in order.

A policy returns None when it is content, or a `Finding`: one that is `final` ends the process
(nothing that may still come can mend it), any other one waits and is named in the status.
"""

from __future__ import annotations

from collections.abc import Callable

from trainyard.api.capability import CapabilityType, Geometry
from trainyard.api.reasons import Reason
from trainyard.api.template import Engine
from trainyard.decide import data, support
from trainyard.decide.facts import ProcessFacts
from trainyard.decide.finding import Finding
from trainyard.decide.resolve import OverrideError, resolve_template


def validate(facts: ProcessFacts) -> Finding | None:
    """The first thing that keeps the process from starting, or None."""
    for policy in POLICIES:
        finding = policy(facts)
        if finding is not None:
            return finding
    return None


def fields_act(facts: ProcessFacts) -> Finding | None:
    """Fields that do not act yet are refused by name rather than ignored."""
    checks = [
        (
            "TrainingProcess",
            facts.process.metadata.name,
            support.unsupported_in_process(facts.process.spec),
        )
    ]
    if facts.template is not None:
        checks.append(
            (
                "TrainingTemplate",
                facts.template.metadata.name,
                support.unsupported_in_template(facts.template.spec),
            )
        )
    if facts.capability is not None:
        checks.append(
            (
                "Capability",
                facts.capability.metadata.name,
                support.unsupported_in_capability(facts.capability.spec),
            )
        )
    for kind, name, field in checks:
        if field is not None:
            return Finding(
                Reason.NOT_YET_SUPPORTED,
                f"{kind} {name}: {field} is not supported yet: remove it",
                final=True,
            )
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
    """Template and overrides together keep all bounds, and the metric is one of the engine's."""
    if facts.template is None:
        return None
    try:
        recipe = resolve_template(facts.template.spec, facts.process.spec.overrides)
    except OverrideError as error:
        return Finding(Reason.INVALID_OVERRIDE, str(error), final=True)
    metric = recipe.evaluation.primary_metric
    allowed = METRICS[recipe.engine]
    if metric is not None and metric not in allowed:
        return Finding(
            Reason.INVALID_OVERRIDE,
            f"evaluation.primaryMetric: {metric!r} is not a metric of engine {recipe.engine}: "
            f"use one of {', '.join(allowed)}",
            final=True,
        )
    return None


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
    fields_act,
    capability_exists,
    template_exists,
    recipe_is_valid,
    engine_fits,
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

_BOX_METRICS = ("mAP50-95", "mAP50", "precision", "recall")
METRICS: dict[Engine, tuple[str, ...]] = {
    Engine.YOLO_DET: _BOX_METRICS,
    Engine.YOLO_SEG: (*(f"mask-{name}" for name in _BOX_METRICS), *_BOX_METRICS),
    Engine.YOLO_CLS: ("top-1", "top-5"),
    Engine.EMBEDDER: ("recall-at-1", "recall-at-5", "mAP"),
}
"""Metrics by which an engine can choose its best epoch; the first is the default."""
