"""The objects of a cluster, as people look at them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from trainyard.api.dataset import Dataset
from trainyard.api.meta import Json, Resource
from trainyard.api.model import TrainedModel
from trainyard.cli.errors import CommandError
from trainyard.cli.output import age, print_table
from trainyard.cluster import parse
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.resources import DATASET, MODEL, ResourceType
from trainyard.decide.display import size

R = TypeVar("R", bound=Resource)


@dataclass(frozen=True)
class Catalogue(Generic[R]):
    """Objects of a kind, oldest first within their namespace.

    Attributes
    ----------
    raw
        As the API server shows them.
    objects
        Those that this version can read.
    unreadable
        One sentence for each of the others.
    """

    raw: tuple[Json, ...]
    objects: tuple[R, ...]
    unreadable: tuple[str, ...]


@dataclass(frozen=True)
class Kind(Generic[R]):
    """A kind that is listed.

    Attributes
    ----------
    type_, model
        Its place in the API, and what it is.
    command
        Of the command line.
    titles, row
        Its columns, and those of one object now.
    """

    type_: ResourceType
    model: type[R]
    command: str
    titles: tuple[str, ...]
    row: Callable[[R, datetime], tuple[str, ...]]


def list_objects(api: ApiServer, kind: Kind[R], namespace: str | None) -> Catalogue[R]:
    """The objects of a namespace, or of all with None."""
    raw = tuple(
        sorted(
            api.list(kind.type_, namespace).items,
            key=lambda item: (
                parse.metadata(item).get("namespace", ""),
                parse.metadata(item).get("creationTimestamp", ""),
                parse.metadata(item)["name"],
            ),
        )
    )
    objects, unreadable = [], []
    for item in raw:
        try:
            objects.append(parse.typed(kind.model, item))
        except parse.UnreadableObject as error:
            unreadable.append(f"{kind.type_.kind} {parse.key_of(item)} is not shown: {error}")
    return Catalogue(raw, tuple(objects), tuple(unreadable))


def get_object(api: ApiServer, kind: Kind[R], namespace: str, name: str) -> R:
    """One object.

    Raises
    ------
    CommandError
        If there is none of that name, or this version cannot read it.
    """
    raw = api.get(kind.type_, name, namespace)
    if raw is None:
        raise CommandError(
            f"there is no {kind.type_.kind} {name} in namespace {namespace}: "
            f"`trainyard {kind.command} list -A` shows all"
        )
    try:
        return parse.typed(kind.model, raw)
    except parse.UnreadableObject as error:
        raise CommandError(
            f"{kind.type_.kind} {namespace}/{name} cannot be read: {error}"
        ) from None


def print_catalogue(
    kind: Kind[R], objects: Sequence[R], now: datetime, *, with_namespace: bool
) -> None:
    """A table of objects."""
    rows = [kind.row(item, now) for item in objects]
    titles = kind.titles
    if with_namespace:
        titles = ("NAMESPACE", *titles)
        rows = [(item.metadata.namespace, *row) for item, row in zip(objects, rows, strict=True)]
    print_table(titles, rows)


def _model_row(model: TrainedModel, now: datetime) -> tuple[str, ...]:
    spec, weights = model.spec, model.spec.artefacts.weights
    return (
        model.metadata.name,
        spec.capability,
        spec.type,
        spec.metric,
        str(len(model.status.evaluations) or ""),
        size(weights.size_bytes) if weights is not None else "",
        (spec.lineage.process or "") if spec.lineage is not None else "",
        age(model.metadata.creation_timestamp, now),
    )


def _dataset_row(dataset: Dataset, now: datetime) -> tuple[str, ...]:
    status = dataset.status
    snapshot, progress = status.snapshot, status.progress
    phase = str(status.phase or "")
    return (
        dataset.metadata.name,
        f"{phase} {progress.percent}%" if progress is not None and snapshot is None else phase,
        f"{snapshot.samples:,}" if snapshot is not None else "",
        str(len(snapshot.classes)) if snapshot is not None else "",
        size(snapshot.size_bytes) if snapshot is not None else "",
        age(dataset.metadata.creation_timestamp, now),
    )


MODELS = Kind(
    MODEL,
    TrainedModel,
    "models",
    ("NAME", "CAPABILITY", "TYPE", "METRIC", "EVALUATIONS", "SIZE", "PROCESS", "AGE"),
    _model_row,
)
DATASETS = Kind(
    DATASET,
    Dataset,
    "datasets",
    ("NAME", "PHASE", "SAMPLES", "CLASSES", "SIZE", "AGE"),
    _dataset_row,
)
