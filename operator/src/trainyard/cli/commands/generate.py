"""`trainyard generate`: the folder of a training, which a person can read, edit and run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from trainyard.api.dataset import Dataset
from trainyard.api.run import StoreLocation
from trainyard.api.template import Engine
from trainyard.api.training_folder import TrainingFolder
from trainyard.cli import options
from trainyard.cli.commands.local_options import cpu_option, source_options
from trainyard.cli.data.opening import folder_uri
from trainyard.cli.local.check import NAMESPACE, facts_of
from trainyard.cli.local.cluster_source import facts_from, fetch_snapshot
from trainyard.cli.local.generating import check_engine, check_free
from trainyard.cli.local.generating import generate as generate_folder
from trainyard.cli.local.snapshots import Snapshots
from trainyard.cli.local.sources import Folders, folders, store_for
from trainyard.cli.local.trainer import look_for_trainer
from trainyard.cli.local.typed import program, typed
from trainyard.cli.manifests.reading import read_manifests
from trainyard.cli.store_access import find_store
from trainyard.decide.dataset import snapshot_root
from trainyard.decide.facts import ProcessFacts
from trainyard.stores import Store, open_store

Datasets = dict[str, Dataset]


@click.group()
def generate() -> None:
    """Make folders to work in."""


@generate.command("training-run")
@click.argument("name")
@click.argument("type_", metavar="TYPE", type=click.Choice([str(engine) for engine in Engine]))
@click.argument(
    "folder",
    metavar="[DIR]",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("ml_training"),
)
@click.option(
    "-f",
    "--file",
    "manifests",
    type=click.Path(exists=True, path_type=Path),
    metavar="FOLDER",
    help="Manifests (folder or file) that stand for the cluster.",
)
@source_options
@cpu_option
@options.store_options
@options.cluster_options
def training_run(
    name: str,
    type_: str,
    folder: Path,
    manifests: Path | None,
    volumes: tuple[str, ...],
    buckets: tuple[str, ...],
    cpu: bool,
) -> None:
    """Make a folder to train in: DIR/NAME.

    It has everything that TrainingProcess NAME is made of.

    TYPE is the engine of its template: yolo-det, yolo-seg, yolo-cls or embedder. The process and
    its snapshots are fetched from the cluster; with -f they are made of manifests and of the data
    that those name. DIR is ./ml_training if it is not given.
    """
    look_for_trainer()
    place = folder / name
    check_free(place)
    root = folder_uri(TrainingFolder(place.absolute()).store)
    if manifests is None:
        facts, store, with_snapshots = _of_cluster(name, root, cpu)
    else:
        given = Folders(folders("--volume", volumes), folders("--bucket", buckets))
        facts, store, with_snapshots = _of_manifests(manifests, name, root, given, cpu)
    check_engine(facts, Engine(type_))
    made = generate_folder(facts, place, store, with_snapshots)
    click.echo(f"made {place}: run.yaml, train.py, README.md and the data in train, dev and test")
    click.echo(f"next: {program()} train start {typed(made.root)}")


def _of_manifests(
    place: Path, name: str, root: str, given: Folders, cpu: bool
) -> tuple[ProcessFacts, Store, Callable[[Datasets], Datasets]]:
    manifests = read_manifests(place)
    facts = facts_of(manifests, manifests.process(name), root, cpu=cpu)
    given.check(facts.datasets.values())
    store = store_for(facts.datasets.values(), given, options.target())
    return facts, store, Snapshots(store, root, NAMESPACE, given).of_all


def _of_cluster(
    name: str, root: str, cpu: bool
) -> tuple[ProcessFacts, Store, Callable[[Datasets], Datasets]]:
    cluster = options.connection()
    facts = facts_from(cluster, name, root, cpu=cpu)
    access = find_store(cluster.api, options.target(), cluster.namespace)
    store = open_store(StoreLocation())
    folder = snapshot_root(root, cluster.namespace)

    def fetched(datasets: Datasets) -> Datasets:
        return {
            name: fetch_snapshot(access.store, dataset, store, folder)
            for name, dataset in datasets.items()
        }

    return facts, store, fetched
