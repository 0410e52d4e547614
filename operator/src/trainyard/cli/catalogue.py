"""The TrainedModels of a cluster, as people look at them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from trainyard.api.meta import Json
from trainyard.api.model import TrainedModel
from trainyard.cli.errors import CommandError
from trainyard.cli.output import age
from trainyard.cluster import parse
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.resources import MODEL
from trainyard.decide.display import size

TITLES = ("NAME", "CAPABILITY", "TYPE", "METRIC", "SIZE", "PROCESS", "AGE")


@dataclass(frozen=True)
class Catalogue:
    """Models, oldest first within their namespace.

    Attributes
    ----------
    raw
        As the API server shows them.
    models
        Those that this version can read.
    unreadable
        One sentence for each of the others.
    """

    raw: tuple[Json, ...]
    models: tuple[TrainedModel, ...]
    unreadable: tuple[str, ...]


def list_models(api: ApiServer, namespace: str | None) -> Catalogue:
    """The models of a namespace, or of all with None."""
    raw = tuple(
        sorted(
            api.list(MODEL, namespace).items,
            key=lambda item: (
                parse.metadata(item).get("namespace", ""),
                parse.metadata(item).get("creationTimestamp", ""),
                parse.metadata(item)["name"],
            ),
        )
    )
    models, unreadable = [], []
    for item in raw:
        try:
            models.append(parse.typed(TrainedModel, item))
        except parse.UnreadableObject as error:
            unreadable.append(f"TrainedModel {parse.key_of(item)} is not shown: {error}")
    return Catalogue(raw, tuple(models), tuple(unreadable))


def get_model(api: ApiServer, namespace: str, name: str) -> TrainedModel:
    """One model.

    Raises
    ------
    CommandError
        If there is none of that name, or this version cannot read it.
    """
    raw = api.get(MODEL, name, namespace)
    if raw is None:
        raise CommandError(
            f"there is no TrainedModel {name} in namespace {namespace}: "
            f"`trainyard models list -A` shows all"
        )
    try:
        return parse.typed(TrainedModel, raw)
    except parse.UnreadableObject as error:
        raise CommandError(f"TrainedModel {namespace}/{name} cannot be read: {error}") from None


def row(model: TrainedModel, now: datetime) -> tuple[str, ...]:
    """The columns of one model, as `TITLES` names them."""
    spec, weights = model.spec, model.spec.artefacts.weights
    return (
        model.metadata.name,
        spec.capability,
        spec.type,
        spec.metric,
        size(weights.size_bytes) if weights is not None else "",
        (spec.lineage.process or "") if spec.lineage is not None else "",
        age(model.metadata.creation_timestamp, now),
    )
