"""A TrainingProcess of a cluster and its data, fetched to this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from trainyard.api.capability import Capability
from trainyard.api.dataset import Dataset
from trainyard.api.manifest import SNAPSHOT_NAME
from trainyard.api.meta import Resource
from trainyard.api.model import TrainedModel
from trainyard.api.process import TrainingProcess
from trainyard.api.template import TrainingTemplate
from trainyard.cli.connection import Connection
from trainyard.cli.counting import counted
from trainyard.cli.errors import CommandError
from trainyard.cli.local.check import checked, settings_for, with_cpu
from trainyard.cluster import parse
from trainyard.cluster.resources import (
    CAPABILITY,
    DATASET,
    MODEL,
    PROCESS,
    TEMPLATE,
    ResourceType,
)
from trainyard.datasets.reading import read_snapshot
from trainyard.decide.data import standing
from trainyard.decide.facts import ProcessFacts
from trainyard.stores import Store, StoreError, Uri, join, parent

R = TypeVar("R", bound=Resource)


def facts_from(cluster: Connection, name: str, root: str, *, cpu: bool) -> ProcessFacts:
    """The process with what it names.

    Raises
    ------
    CommandError
        If something is missing, has no snapshot yet, or does not fit.
    """
    process = _get(cluster, PROCESS, TrainingProcess, name)
    spec = process.spec
    template = _get(cluster, TEMPLATE, TrainingTemplate, spec.template)
    base = template.spec.base_model.trained_model
    model = None if base is None else _get(cluster, MODEL, TrainedModel, base)
    names = (*spec.datasets.train, *spec.datasets.dev, *spec.datasets.test)
    facts = ProcessFacts(
        process=with_cpu(process, cpu=cpu),
        settings=settings_for(root, template, () if model is None else (model,)),
        capability=_get(cluster, CAPABILITY, Capability, spec.capability),
        template=template,
        datasets={each: _get(cluster, DATASET, Dataset, each) for each in dict.fromkeys(names)},
        base_model=model,
    )
    for dataset in facts.datasets.values():
        if dataset.status.snapshot is None:
            raise CommandError(f"Dataset {dataset.key} has no snapshot: {standing(dataset)}")
    return checked(facts, before_data=True)


def fetch_snapshot(source: Store, dataset: Dataset, store: Store, root: str) -> Dataset:
    """Copy a dataset's snapshot, every file verified; gives the dataset that names the copy.

    Parameters
    ----------
    source, store
        Where it is, and where it goes.
    root
        URI of the folder for all snapshots.

    Raises
    ------
    CommandError
        If a file is missing or damaged, or the store does not answer.
    """
    snapshot = dataset.status.snapshot
    if snapshot is None:
        raise CommandError(f"Dataset {dataset.key} has no snapshot")
    try:
        manifest = read_snapshot(source, snapshot.uri)
        total = manifest.manifest.size_bytes + sum(x.size_bytes for x in manifest.shards)
        target = join(root, snapshot.digest)
        with counted(f"Dataset {dataset.metadata.name}: fetching", total) as advance:
            for file, place, aim in (
                (manifest.manifest, snapshot.uri, target),
                *((shard, parent(snapshot.uri), root) for shard in manifest.shards),
            ):
                path = Path(Uri.parse(join(aim, file.name)).key)
                if not path.exists():
                    source.download(join(place, file.name), path, file.sha256)
                advance(file.size_bytes)
        data = source.read_bytes(join(snapshot.uri, SNAPSHOT_NAME))
        store.write_bytes(join(target, SNAPSHOT_NAME), data)
    except StoreError as error:
        raise CommandError(f"Dataset {dataset.key}: {error}") from None
    here = snapshot.model_copy(update={"uri": target})
    status = dataset.status.model_copy(update={"snapshot": here})
    return dataset.model_copy(update={"status": status})


def _get(cluster: Connection, type_: ResourceType, model: type[R], name: str) -> R:
    raw = cluster.api.get(type_, name, cluster.namespace)
    if raw is None:
        raise CommandError(f"there is no {type_.kind} {name} in namespace {cluster.namespace}")
    try:
        return parse.typed(model, raw)
    except parse.UnreadableObject as error:
        raise CommandError(
            f"{type_.kind} {cluster.namespace}/{name} cannot be read: {error}"
        ) from None
