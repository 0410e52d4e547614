"""TrainedModel: a finished model, which outlives the process that made it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from trainyard.api._base import ApiModel, Line, Name, Sha256, Text, map_list, rule, rules
from trainyard.api.capability import TEXT_OF_OUTPUTS, CapabilityType, Output
from trainyard.api.meta import Condition, Resource
from trainyard.api.process_status import Artefacts, MetricSet
from trainyard.api.template import Engine


class Lineage(ApiModel):
    """Where the model comes from."""

    process: Annotated[Line, StringConstraints(max_length=253)] | None = None
    """Name of the TrainingProcess."""
    process_uid: Annotated[Line, StringConstraints(max_length=253)] | None = None
    """Its UID."""
    template: Annotated[Line, StringConstraints(max_length=253)] | None = None
    """Name of the TrainingTemplate."""
    node: Annotated[Line, StringConstraints(max_length=253)] | None = None
    """Where it was trained."""
    finished_at: datetime | None = None
    """When the training ended."""


class TrainedModelSpec(ApiModel):
    """A finished model. Immutable."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("self == oldSelf", "a TrainedModel is immutable: create a new one instead")
        )
    )
    display_name: Text | None = None
    """Name for people."""
    capability: Name
    """Name of the Capability it was trained for."""
    type: CapabilityType
    """The kind of element it is."""
    engine: Engine
    """The engine that trained it."""
    classes: Annotated[
        tuple[Output, ...],
        Field(
            min_length=1,
            max_length=5000,
            json_schema_extra=map_list("attribute", "value") | rules(TEXT_OF_OUTPUTS),
        ),
    ]
    """Its outputs in the order of their positions."""
    artefacts: Artefacts
    """Its files."""
    fingerprint: Annotated[Line, StringConstraints(max_length=64)] | None = None
    """SHA-256 over the inputs of the training."""
    lineage: Lineage | None = None
    """Where it comes from."""
    metric: Annotated[Line, StringConstraints(max_length=64)] = ""
    """The primary metric at the end of the training, for the METRIC column."""


class NamedEvaluation(ApiModel):
    """Metrics of this model under a named plan, as the operator found them in the store."""

    plan: str
    """Name of the plan."""
    primary_metric: str
    """The metric that plans are compared by."""
    checkpoint_sha256: Sha256
    """Digest of the file of weights that was measured."""
    dev: MetricSet | None = None
    """On the data that the best epoch was chosen on."""
    test: MetricSet | None = None
    """On held-out data."""
    created_at: datetime
    """When it was measured."""


class TrainedModelDisplay(ApiModel):
    """Strings for the columns of kubectl."""

    size: str = ""
    """Size of the weights, for people."""


class TrainedModelStatus(ApiModel):
    """What was found out about the model later."""

    observed_generation: int | None = None
    """The metadata.generation that this status is about."""
    conditions: Annotated[
        tuple[Condition, ...], Field(max_length=16, json_schema_extra=map_list("type"))
    ] = ()
    """`Ready`: the model can be used. `EvaluationsRead`: whether all of its evaluations in the
    store could be listed; set once somebody asked for it."""
    evaluations: Annotated[
        tuple[NamedEvaluation, ...], Field(max_length=100, json_schema_extra=map_list("plan"))
    ] = ()
    """Evaluations by plan, as `trainyard train evaluate --create` left them in the store."""
    observed_evaluations: str | None = None
    """The annotation trainyard.dev/evaluations that they were read for."""
    display: TrainedModelDisplay | None = None
    """Strings for the columns."""


class TrainedModel(Resource):
    """A finished model, which outlives the process that made it."""

    kind: str = "TrainedModel"
    spec: TrainedModelSpec
    status: TrainedModelStatus = TrainedModelStatus()
