"""config.yaml: all that is needed to rebuild a model and to interpret its outputs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from trainyard.api._base import StrictModel
from trainyard.api.capability import CapabilityType, Geometry, Output
from trainyard.api.manifest import SplitMetrics
from trainyard.api.template import Engine


class CropRule(StrictModel):
    """How an entity's box becomes the image that a Box element looks at: a square around it."""

    context: Annotated[float, Field(ge=0, le=1)] = 0.1
    """What is added on each side, as a fraction of the longer side of the box."""
    pad_value: Annotated[int, Field(ge=0, le=255)] = 114
    """Grey value of what lies outside of the image."""


class InputRule(StrictModel):
    """How an image becomes the model's input tensor, float32 [1, 3, size, size]."""

    crop: CropRule | None = None
    """Box elements only: each entity is cut out first."""

    size: Annotated[int, Field(ge=32)]
    """Side of the square input, in pixels."""
    resize: Literal["letterbox", "shortest-side-centre-crop"]
    """`letterbox`: the whole image, its proportions kept, padded to a square. Or: the shortest
    side becomes `size`, and the centre is cut out."""
    interpolation: Literal["bilinear"] = "bilinear"
    pad_value: Annotated[int, Field(ge=0, le=255)] | None = None
    """Grey value of the padding; letterbox only."""
    channels: Literal["RGB"] = "RGB"
    divide_by: float = 255.0
    """Pixel values are divided by this, then normalised."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


class Thresholds(StrictModel):
    """Which answers count."""

    confidence: Annotated[float, Field(ge=0, le=1)]
    """Smallest confidence of an answer."""
    iou: Annotated[float, Field(ge=0, le=1)]
    """Overlap above which two boxes count as one."""


class CapabilityNote(StrictModel):
    """What the model can do."""

    name: str
    type: CapabilityType
    geometry: Geometry | None = None


class DatasetNote(StrictModel):
    """A snapshot that was used."""

    name: str
    digest: str


class Lineage(StrictModel):
    """Where the model comes from."""

    process: str
    namespace: str
    uid: str
    attempt: int
    template: str
    fingerprint: str
    train: tuple[DatasetNote, ...]
    dev: tuple[DatasetNote, ...]
    test: tuple[DatasetNote, ...] = ()
    software: dict[str, str]
    """Versions of the libraries that trained it."""


class MetricsNote(StrictModel):
    """How good it is."""

    primary: str
    """The metric by which the best epoch was chosen."""
    best_epoch: int
    dev: SplitMetrics
    test: SplitMetrics | None = None


class ModelConfig(StrictModel):
    """The whole document. It also lies, as JSON, in the `config` entry of model.pth."""

    format_version: Literal[1] = 1
    engine: Engine
    architecture: str
    """Name of the architecture, for example yolo11n."""
    model: dict[str, Any]
    """The architecture itself, layer by layer, as the engine's library reads it."""
    classes: tuple[Output, ...]
    """Index i of the model's output is `classes[i]`."""
    input: InputRule
    thresholds: Thresholds
    capability: CapabilityNote
    metrics: MetricsNote | None = None
    lineage: Lineage
