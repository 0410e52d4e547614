"""TrainingProcess: one training on one node."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import ConfigDict, Field, StringConstraints, create_model

from trainyard.api._base import (
    WORD_PATTERN,
    ApiModel,
    Name,
    Says,
    rule,
    rules,
    set_list,
    unchanged,
)
from trainyard.api.meta import Resource
from trainyard.api.process_status import TrainingProcessStatus
from trainyard.api.template import (
    Augmentation,
    Evaluation,
    Hyperparameters,
    Resources,
)


def _without_defaults(model: type[ApiModel]) -> type[ApiModel]:
    """`model` with every field optional and none defaulted, so that one override is one field."""
    fields: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        annotation = info.annotation
        for extra in info.metadata:
            annotation = Annotated[annotation, extra]  # type: ignore[assignment]
        fields[name] = (
            annotation | None if annotation is not None else None,
            Field(default=None, description=info.description),
        )
    made: type[ApiModel] = create_model(f"{model.__name__}Overrides", __base__=ApiModel, **fields)
    made.__doc__ = f"Fields of {model.__name__} that this run changes."
    return made


HyperparametersOverrides = _without_defaults(Hyperparameters)
AugmentationOverrides = _without_defaults(Augmentation)
EvaluationOverrides = _without_defaults(Evaluation)
ResourcesOverrides = _without_defaults(Resources)


class Overrides(ApiModel):
    """Fields of the template that this run changes; what is left out keeps its value."""

    hyperparameters: HyperparametersOverrides | None = None  # type: ignore[valid-type]
    """Knobs of the training."""
    augmentation: AugmentationOverrides | None = None  # type: ignore[valid-type]
    """How train images are varied."""
    evaluation: EvaluationOverrides | None = None  # type: ignore[valid-type]
    """How the model is judged."""
    resources: ResourcesOverrides | None = None  # type: ignore[valid-type]
    """What the training pod asks of its machine."""


DatasetNames = Annotated[tuple[Name, ...], Field(max_length=64, json_schema_extra=set_list())]


class Splits(ApiModel):
    """The datasets by their use. No image may be in train and in dev or test."""

    train: Annotated[
        tuple[Name, ...], Field(min_length=1, max_length=64, json_schema_extra=set_list())
    ]
    """Datasets that the model learns from."""
    dev: Annotated[
        tuple[Name, ...], Field(min_length=1, max_length=64, json_schema_extra=set_list())
    ]
    """Datasets that the best epoch is chosen on."""
    test: DatasetNames = ()
    """Datasets that the finished model is measured on, once."""


Email = Annotated[
    str,
    StringConstraints(
        max_length=254,
        pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$",
    ),
    Says("an e-mail address, one, such as team@example.org, without a name or line breaks"),
]
WebhookUrl = Annotated[
    str,
    StringConstraints(max_length=1024, pattern=rf"^https?://{WORD_PATTERN}$"),
    Says("a URL that starts with https:// or http://, without spaces"),
]


class Notifications(ApiModel):
    """Who is told how the run ended, and nobody else."""

    email: Annotated[tuple[Email, ...], Field(max_length=50, json_schema_extra=set_list())] = ()
    """E-mail addresses."""
    webhooks: Annotated[
        tuple[WebhookUrl, ...], Field(max_length=10, json_schema_extra=set_list())
    ] = ()
    """URLs that are sent a JSON document."""


class Retry(ApiModel):
    """What happens after a failed attempt; an attempt that was stopped or evicted is none."""

    limit: Annotated[int, Field(ge=0, le=10)] = 0
    """Attempts after the first."""
    shrink_batch_on_out_of_memory: bool = False
    """Halve the batch size of the next attempt when the GPU ran out of memory."""


class OnExistingRun(StrEnum):
    """What to do when a verified model of the same inputs is there already."""

    TRAIN = "Train"
    REUSE = "Reuse"


Seconds = Annotated[int, Field(ge=1, le=31_536_000)]


class TrainingProcessSpec(ApiModel):
    """One training of one capability by one template on one node."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            *(
                item | {"message": item["message"] + ": create a new TrainingProcess"}
                for item in unchanged(
                    "capability",
                    "template",
                    "overrides",
                    "datasets",
                    "targetNode",
                    "retry",
                    "startDeadlineSeconds",
                    "activeDeadlineSeconds",
                    "stallTimeoutSeconds",
                    "onExistingRun",
                )
            ),
            rule(
                "self.datasets.train.all(t, !(t in self.datasets.dev) && "
                "(!has(self.datasets.test) || !(t in self.datasets.test)))",
                "a Dataset cannot be in datasets.train and also in datasets.dev or datasets.test",
                ".datasets",
            ),
        )
    )
    suspend: bool = False
    """True at creation: a draft that does not start. False: start. True again: stop with a
    checkpoint, from which it goes on when this is false again."""
    capability: Name
    """Name of the Capability: what the model must output."""
    template: Name
    """Name of the TrainingTemplate: the recipe."""
    overrides: Overrides | None = None
    """Fields of the template that this run changes."""
    datasets: Splits
    """The datasets by their use."""
    target_node: Annotated[
        str,
        StringConstraints(
            min_length=1, max_length=253, pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"
        ),
        Says("the name of a node has lower-case letters, digits, '-' and '.' only"),
    ]
    """Name of the node that the training runs on; it must carry the label
    trainyard.dev/target=true."""
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0
    """Higher runs first among those that wait for the same node; then the older."""
    notifications: Notifications | None = None
    """Who is told how the run ended; empty: nobody. Without it the default of the namespace or the
    operator. Who is added after the end is not told."""
    retry: Retry | None = None
    """What happens after a failed attempt; an attempt that was stopped or evicted is none."""
    start_deadline_seconds: Seconds | None = None
    """Fail when no attempt has run this long after the process was started."""
    active_deadline_seconds: Seconds | None = None
    """Fail when its attempts took this long together; waiting and suspension do not count."""
    stall_timeout_seconds: Seconds | None = None
    """End the attempt when the trainer reports nothing for this long."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=31_536_000)] | None = None
    """Remove Job and pods this long after the end, never the process."""
    on_existing_run: OnExistingRun = OnExistingRun.TRAIN
    """`Train` always trains. `Reuse` succeeds at once where the namespace has a TrainedModel of the
    same inputs (`status.resolved.fingerprint`) whose files the store still has as they were: an
    object that is restored or synchronised again does not train again."""


class TrainingProcess(Resource):
    """One training on one node."""

    kind: str = "TrainingProcess"
    spec: TrainingProcessSpec
    status: TrainingProcessStatus = TrainingProcessStatus()
