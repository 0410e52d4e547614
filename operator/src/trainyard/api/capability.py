"""Capability: what a model takes in and gives out."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from trainyard.api._base import ApiModel, Label, Text, map_list, rule, rules, set_list
from trainyard.api.meta import Condition, Resource


class CapabilityType(StrEnum):
    """The four kinds of element a model can be."""

    DETECTOR = "DetectorElement"
    IMAGE_CLASSIFIER = "ImageClassifierElement"
    BOX_CLASSIFIER = "BoxClassifierElement"
    BOX_EMBEDDER = "BoxEmbedderElement"


class Geometry(StrEnum):
    """The shape a detector draws around what it finds."""

    BOX = "box"
    POLYGON = "polygon"


class InterfaceInput(StrEnum):
    """What a model is given."""

    IMAGE = "image"
    ENTITIES = "entities"


class InterfaceOutput(StrEnum):
    """What a model returns."""

    ENTITIES = "entities"


class Interface(ApiModel):
    """Inputs and outputs; derived from the type, and refused when it contradicts it."""

    inputs: Annotated[
        tuple[InterfaceInput, ...], Field(min_length=1, max_length=2, json_schema_extra=set_list())
    ]
    """`[image]` for detectors and image classifiers, `[image, entities]` for the Box elements."""
    outputs: Annotated[
        tuple[InterfaceOutput, ...],
        Field(min_length=1, max_length=1, json_schema_extra=set_list()),
    ]
    """Always `[entities]`."""


class Output(ApiModel):
    """One class of the model: an attribute with a value, at a position of a head."""

    attribute: Label
    """What is said about an entity, for example `class` or `species`."""
    value: Label
    """The value that this output stands for, for example `cat`."""
    head: Annotated[int, Field(ge=0)] = 0
    """Index of the model's head. Only 0 for now."""
    position: Annotated[int, Field(ge=0, le=4999)]
    """Index of the output in its head; positions are 0..n-1 in the order of the list."""


class Embedding(ApiModel):
    """Size of the vectors that an embedder returns."""

    dimensions: Annotated[int, Field(ge=2, le=4096)] = 128
    """Length of the embedding vector, in numbers."""


class InferenceParameters(ApiModel):
    """Defaults for using the model; copied into config.yaml and used by serving."""

    confidence: Annotated[float, Field(ge=0, le=1)] | None = None
    """Smallest confidence (0..1) of an answer that is returned."""
    iou: Annotated[float, Field(ge=0, le=1)] | None = None
    """Overlap (intersection over union, 0..1) above which two boxes count as one."""


TEXT_OF_OUTPUTS = rule(
    "self.map(o, size(o.attribute) + size(o.value)).sum() <= 200000",
    "all attributes and values together have more than 200000 characters: shorten them",
)
"""Keeps a capability, and the run file that carries it, well below 1 MiB."""

_BOX_TYPES = "['BoxClassifierElement', 'BoxEmbedderElement']"


class CapabilitySpec(ApiModel):
    """What a model takes in and gives out. Immutable: a changed capability is a new one."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("self == oldSelf", "a Capability is immutable: create a new one instead"),
            rule(
                "!has(self.geometry) || self.type == 'DetectorElement'",
                "geometry is for a DetectorElement only: remove it",
                ".geometry",
            ),
            rule(
                "!has(self.embedding) || self.type == 'BoxEmbedderElement'",
                "embedding is for a BoxEmbedderElement only: remove it",
                ".embedding",
            ),
            rule(
                "!has(self.interface) || (self.type in "
                + _BOX_TYPES
                + " ? self.interface.inputs == ['image', 'entities']"
                " : self.interface.inputs == ['image'])",
                "interface.inputs contradicts the type: detectors and image classifiers take "
                "[image], the Box elements take [image, entities]; or leave interface out",
                ".interface",
            ),
        )
    )

    display_name: Text | None = None
    """Name for people."""
    description: Text | None = None
    """What the model is for."""
    type: CapabilityType
    """`DetectorElement` finds entities in an image, `ImageClassifierElement` says what an image
    shows, `BoxClassifierElement` says what a box shows, `BoxEmbedderElement` turns a box into a
    vector in which similar entities are near."""
    geometry: Geometry | None = None
    """`box` (default) or `polygon`; DetectorElement only."""
    interface: Interface | None = None
    """Optional: derived from the type, and refused when it contradicts it."""
    outputs: Annotated[
        tuple[Output, ...],
        Field(
            min_length=1,
            max_length=5000,
            json_schema_extra=map_list("attribute", "value")
            | rules(
                rule(
                    "self.all(i, o, o.position == i)",
                    "positions must be 0..n-1 in the order of the list, without a gap or a repeat",
                ),
                rule(
                    "self.all(o, o.head == 0)",
                    "head must be 0: models with several heads are not supported yet",
                ),
                TEXT_OF_OUTPUTS,
            ),
        ),
    ]
    """The classes, unique by attribute and value. What the capability does not name is left out
    of the data before training."""
    embedding: Embedding | None = None
    """BoxEmbedderElement only."""
    parameters: InferenceParameters | None = None
    """Defaults for using the model."""


def usable_geometries(spec: CapabilitySpec) -> frozenset[str]:
    """The geometries of the annotations that a model of this capability learns from.

    A polygon serves as the box around it; a box says nothing about an outline.
    """
    if spec.type is CapabilityType.IMAGE_CLASSIFIER:
        return frozenset({"image"})
    if spec.geometry is Geometry.POLYGON:
        return frozenset({"polygon"})
    return frozenset({"box", "polygon"})


class CapabilityStatus(ApiModel):
    """What the operator says about the capability."""

    observed_generation: int | None = None
    """The metadata.generation that this status is about."""
    conditions: Annotated[
        tuple[Condition, ...], Field(max_length=16, json_schema_extra=map_list("type"))
    ] = ()
    """`Ready`: processes can use the capability."""
    classes: int | None = None
    """Number of outputs."""


class Capability(Resource):
    """What a model takes in and gives out: its type and its classes."""

    kind: str = "Capability"
    spec: CapabilitySpec
    status: CapabilityStatus = CapabilityStatus()
