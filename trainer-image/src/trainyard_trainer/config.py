"""config.yaml: all that is needed to rebuild a model and to interpret its outputs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from trainyard.api._base import Sha256, StrictModel
from trainyard.api.capability import CapabilityType, Geometry, Output
from trainyard.api.manifest import SplitMetrics
from trainyard.api.template import Engine, ExportFormat


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
    antialias: bool = False
    """Whether the interpolation averages over all pixels when it makes an image smaller, as Pillow
    and torchvision do; or takes the four around each place, as OpenCV does."""
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
    max_detections: Annotated[int, Field(ge=1)] = 300
    """Detectors: so many answers an image at most."""


class OutputTensor(StrictModel):
    """One tensor that the exported model gives, float32."""

    name: str
    shape: tuple[int | Literal["batch"], ...]
    meaning: str
    """What it holds, axis by axis."""


class Exported(StrictModel):
    """A form of the model beside model.pth."""

    file: str
    input: str
    """Name of its one input, float32 [batch, 3, size, size]; the outputs are those of `outputs`."""
    opset: int | None = None
    """Version of ONNX's operators; model.onnx only."""
    largest_difference: float
    """Of any number of its outputs to that of model.pth, on held-out images."""
    images: int
    """On so many."""


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


class Origin(StrictModel):
    """The file that weights from elsewhere were converted from."""

    file: str
    sha256: Sha256


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
    outputs: tuple[OutputTensor, ...] = ()
    """What the model gives for an input, and what that means."""
    thresholds: Thresholds
    exports: dict[ExportFormat, Exported] = {}
    """The other forms of the model that lie beside this file."""
    capability: CapabilityNote
    metrics: MetricsNote | None = None
    lineage: Lineage | None = None
    """None: no run of Trainyard trained it."""
    converted_from: Origin | None = None
    """Weights that were trained elsewhere only."""
