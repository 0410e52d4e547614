"""TrainingTemplate: the recipe of a training."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from trainyard.api._base import (
    WORD_PATTERN,
    ApiModel,
    Line,
    Name,
    Says,
    Sha256,
    Text,
    map_list,
    rule,
    rules,
    set_list,
)
from trainyard.api.meta import Condition, Resource

QUANTITY = r"^[0-9]+([.][0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$"
Quantity = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if isinstance(value, int) else value),
    StringConstraints(max_length=32, pattern=QUANTITY),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "maxLength": 32,
            "x-kubernetes-int-or-string": True,
            **rules(
                rule(
                    f"type(self) == int ? self > 0 : self.matches('{QUANTITY}')"
                    " && self.matches('[1-9]')",
                    "a quantity above zero, such as 2, 500m or 8Gi",
                )
            ),
        }
    ),
]
"""A Kubernetes resource quantity: `2`, `500m`, `8Gi`."""


ImageByDigest = Annotated[
    str,
    StringConstraints(
        max_length=512, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]*@sha256:[0-9a-f]{64}$"
    ),
    Says("an image named by its digest, NAME@sha256:DIGEST"),
]
"""A container image that cannot become another one."""


class Engine(StrEnum):
    """The training engines."""

    YOLO_DET = "yolo-det"
    YOLO_SEG = "yolo-seg"
    YOLO_CLS = "yolo-cls"
    EMBEDDER = "embedder"


class Weights(ApiModel):
    """A file of weights, named with its digest."""

    uri: Annotated[
        str,
        StringConstraints(max_length=1024, pattern=rf"^s3://{WORD_PATTERN}$"),
        Says("the place of a file in the store, s3://bucket/key, without spaces"),
    ]
    """Where the file lies in the store, `s3://bucket/key`."""
    sha256: Sha256
    """Digest of the file, which must be among `trainer.allowedWeights` of the operator's
    settings."""


class BaseModelRef(ApiModel):
    """What training starts from: exactly one of the three."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "[has(self.architecture), has(self.weights), has(self.trainedModel)]"
                ".filter(x, x).size() == 1",
                "give exactly one of architecture, weights and trainedModel",
            )
        )
    )
    architecture: (
        Annotated[
            str,
            StringConstraints(max_length=40, pattern=r"^[a-z][a-z0-9]*[nsmlx]$"),
            Says("an architecture with its size (n, s, m, l or x) at the end, such as yolo11n"),
        ]
        | None
    ) = None
    """An architecture with its size, trained from scratch, for example `yolo11n`."""
    weights: Weights | None = None
    """Weights in the store, in the format of a finished run's `model.pth`, which names its
    architecture and classes itself. Of the classes those that the capability has too are taken
    over."""
    trained_model: Name | None = None
    """A TrainedModel of this namespace, of the same engine: training goes on from its weights. A
    process waits until there is one of that name."""


class Optimizer(StrEnum):
    """Optimisers that the engines know."""

    AUTO = "auto"
    SGD = "SGD"
    ADAM = "Adam"
    ADAMW = "AdamW"
    RMSPROP = "RMSProp"


class Hyperparameters(ApiModel):
    """The knobs of the training."""

    epochs: Annotated[int, Field(ge=1, le=100_000)] = 100
    """Passes over the train data."""
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 16
    """Images a step."""
    automatic_batch_size: bool = False
    """On a GPU, choose the largest batch that fills 60% of its memory, instead of `batchSize`: at
    most 1024 images, and no more than `batchSize` where an epoch would have fewer than 10 steps. On
    a CPU, and after the GPU ran out of memory, `batchSize` is used all the same. The choice depends
    on the GPU, so that the same run on another one may give other numbers."""
    image_size: Annotated[int, Field(ge=32, le=4096)] = 640
    """Side of the square that images are fitted into, in pixels."""
    optimizer: Optimizer = Optimizer.AUTO
    """`auto` lets the engine choose by the length of the run."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Initial learning rate. Ignored by `optimizer: auto`, which chooses its own."""
    final_learning_rate_fraction: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Last learning rate, as a fraction of the first."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.937
    """Momentum of SGD, or beta1 of Adam."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0005
    """L2 regularisation."""
    warmup_epochs: Annotated[float, Field(ge=0, le=1000)] = 3.0
    """Epochs in which the learning rate rises to its initial value."""
    patience: Annotated[int, Field(ge=0, le=100_000)] = 100
    """Stop after this many epochs without an improvement on dev; 0 never stops early."""
    seed: Annotated[int, Field(ge=0, le=2147483647)] = 0
    """Seed of all random numbers."""
    amp: bool = True
    """Mixed precision on a GPU; without effect on a CPU."""
    workers: Annotated[int, Field(ge=0, le=64)] | None = None
    """Processes that load images; by default as many as the pod has CPUs."""
    extra: (
        dict[
            Annotated[
                str,
                StringConstraints(max_length=64, pattern=r"^[A-Za-z0-9_]+$"),
                Says(
                    "extra: the name of an engine argument has at most 64 letters, digits and '_'"
                ),
            ],
            Annotated[Line, StringConstraints(max_length=256)],
        ]
        | None
    ) = Field(default=None, max_length=64)
    """Arguments of the engine that have no field here, as strings, for example `mixup: "0.1"`;
    docs/api.md lists them. A process with one that the engine does not take, or with a value out
    of its bounds, fails before it starts. Overrides change single ones."""


class AugmentationPreset(StrEnum):
    """Named sets of augmentations."""

    ROTATIONS_EXPOSURE_NOISE = "rotations-exposure-noise"
    STRONG = "strong"
    ANY_ORIENTATION = "any-orientation"
    NONE = "none"


class Augmentation(ApiModel):
    """How train images are varied. A field given here wins over the preset's value."""

    preset: AugmentationPreset = AugmentationPreset.ROTATIONS_EXPOSURE_NOISE
    """`rotations-exposure-noise`: rotation 15 degrees, exposure 0.4, noise 0.02.

    `strong`: rotation 20, exposure 0.5, noise 0.04, flip 0.5, scale 0.3, and mosaic 1 for
    detectors: for few images and many epochs.

    `any-orientation`: flip 0.5, verticalFlip 0.5, rotation 180, exposure 0.4, noise 0.02: for
    images from above or through a microscope, which have no up and down. For yolo-det the rotation
    is 20: a turned box becomes the upright one around it, which is too large at other angles.

    `none`: images are learnt as they are."""
    rotation_degrees: Annotated[float, Field(ge=0, le=180)] | None = None
    """Images are rotated at random by up to this angle, in degrees, either way."""
    exposure: Annotated[float, Field(ge=0, le=1)] | None = None
    """Brightness is scaled at random by a factor in 1 - exposure .. 1 + exposure."""
    noise: Annotated[float, Field(ge=0, le=1)] | None = None
    """Largest standard deviation of Gaussian noise, where 1 is the full range of a pixel."""
    flip: Annotated[float, Field(ge=0, le=1)] | None = None
    """Probability of a flip that swaps left and right."""
    vertical_flip: Annotated[float, Field(ge=0, le=1)] | None = None
    """Probability of a flip that swaps top and bottom."""
    scale: Annotated[float, Field(ge=0, le=0.9)] | None = None
    """Images are scaled at random by a factor in 1 - scale .. 1 + scale."""
    mosaic: Annotated[float, Field(ge=0, le=1)] | None = None
    """Probability of joining four images into one. For detectors (yolo-det, yolo-seg); without
    effect on other engines. The last tenth of the epochs, at most 10, has whole images only."""


class Evaluation(ApiModel):
    """How the model is judged."""

    confidence_threshold: Annotated[float, Field(ge=0, le=1)] = 0.001
    """Answers below this confidence are left out when precision and recall are computed."""
    iou_threshold: Annotated[float, Field(ge=0, le=1)] = 0.7
    """Boxes that overlap more than this count as one (non-maximum suppression).
    A model is judged as it is used: the capability's `parameters.iou`, if it has one, counts
    instead."""
    primary_metric: (
        Annotated[
            str,
            StringConstraints(max_length=32, pattern=r"^[A-Za-z0-9-]+$"),
            Says("the name of a metric has letters, digits and '-' only, such as mAP50-95"),
        ]
        | None
    ) = None
    """The metric by which the best epoch is chosen and which the METRIC column shows. Of boxes:
    mAP50-95 (default of yolo-det), mAP50, precision, recall; yolo-seg has the same of its outlines
    (mask-mAP50-95, its default, mask-mAP50, ...); yolo-cls: top-1 (default), top-5; embedder:
    recall-at-1 (default), recall-at-5, mAP."""


class ExportFormat(StrEnum):
    """File formats a finished model can be exported to."""

    ONNX = "onnx"
    TORCHSCRIPT = "torchscript"


class Resources(ApiModel):
    """What the training pod asks of its machine."""

    gpus: Annotated[int, Field(ge=0, le=1)] = 1
    """GPUs; 0 trains on the CPU, and only 0 does."""
    cpu: Quantity = "2"
    """CPUs requested, as a Kubernetes quantity."""
    memory: Quantity = "8Gi"
    """Memory requested, which is also the limit."""
    shared_memory: Quantity = "1Gi"
    """Size of /dev/shm, which loader processes use to hand over images."""


class TrainingTemplateSpec(ApiModel):
    """The recipe. A process takes a copy when it starts, so later edits touch later runs only."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.baseModel.architecture) || self.engine == 'embedder' || "
                "self.baseModel.architecture.startsWith('yolo')",
                "baseModel.architecture does not fit the engine: the yolo engines take "
                "architectures such as yolo11n",
                ".baseModel",
            )
        )
    )
    display_name: Annotated[
        str,
        StringConstraints(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9._-]+$"),
        Says("displayName has letters, digits, '-', '_' and '.' only"),
    ]
    """Name for people: letters, digits, `-`, `_` and `.` only."""
    description: Text | None = None
    """What the recipe is good for."""
    engine: Engine
    """`yolo-det` finds boxes, `yolo-seg` outlines (polygons), `yolo-cls` classifies whole images or
    what boxes show, `embedder` turns what boxes show into vectors."""
    base_model: BaseModelRef
    """What training starts from."""
    hyperparameters: Hyperparameters = Hyperparameters()
    """The knobs of the training."""
    augmentation: Augmentation = Augmentation()
    """How train images are varied."""
    evaluation: Evaluation = Evaluation()
    """How the model is judged."""
    exports: Annotated[
        tuple[ExportFormat, ...], Field(max_length=4, json_schema_extra=set_list())
    ] = ()
    """Formats to export besides .pth."""
    resources: Resources = Resources()
    """What the training pod asks of its machine."""
    image: ImageByDigest | None = None
    """Another trainer image, by digest, which must be among `trainer.allowedImages` of the
    operator's settings."""


class TrainingTemplateStatus(ApiModel):
    """What the operator says about the template."""

    observed_generation: int | None = None
    """The metadata.generation that this status is about."""
    conditions: Annotated[
        tuple[Condition, ...], Field(max_length=16, json_schema_extra=map_list("type"))
    ] = ()
    """`Ready`: processes can use the template."""
    base: str = ""
    """What training starts from, for the column."""


class TrainingTemplate(Resource):
    """The recipe of a training: engine, base model, hyperparameters, augmentation."""

    kind: str = "TrainingTemplate"
    spec: TrainingTemplateSpec
    status: TrainingTemplateStatus = TrainingTemplateStatus()
