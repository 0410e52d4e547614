"""`trainyard datasets show` and `list`: what is in the cluster and in the store."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from trainyard.api.dataset import Dataset, DatasetPhase
from trainyard.api.manifest import SAMPLES_NAME, SnapshotManifest
from trainyard.cli import catalogue, options
from trainyard.cli.commands.datasets.common import (
    sheet_options,
    store_of,
)
from trainyard.cli.commands.listing import print_all
from trainyard.cli.completing import Named, names_of
from trainyard.cli.data import report
from trainyard.cli.data.show import choose_samples, count_samples, read_pictures
from trainyard.cli.data.statistics import Statistics
from trainyard.cli.errors import CommandError
from trainyard.cli.output import Format, note, output_option, print_document
from trainyard.datasets.pictures import Legend, draw_sheet
from trainyard.datasets.reading import download_samples
from trainyard.decide.data import standing
from trainyard.decide.display import size
from trainyard.stores import Store


@click.command("list")
@click.option("-A", "--all-namespaces", is_flag=True, help="Datasets of all namespaces.")
@output_option
@options.cluster_options
def list_(all_namespaces: bool, output: str) -> None:
    """List datasets."""
    print_all(
        catalogue.DATASETS,
        all_namespaces=all_namespaces,
        output=output,
        hint="`trainyard datasets upload` prints one to apply",
    )


@dataclass(frozen=True)
class _Shown:
    """A snapshot that is shown.

    Attributes
    ----------
    title
        What the person called it.
    uri
        Its folder.
    samples
        Its manifest.parquet, on this machine.
    """

    title: str
    uri: str
    manifest: SnapshotManifest
    samples: Path
    statistics: Statistics


@click.command()
@click.argument("name", required=False, shell_complete=names_of(Named.DATASET))
@click.option("--uri", metavar="URI", help="Folder of a snapshot in the store, instead of NAME.")
@click.option("--class", "value", metavar="NAME", help="Only images with this class on the sheet.")
@sheet_options
@output_option
@options.store_options
@options.cluster_options
def show(
    name: str | None, uri: str | None, value: str | None, out: Path | None, count: int, output: str
) -> None:
    """Show what is in a dataset.

    Classes, sizes of images and boxes, groups, and what was left out of the snapshot of Dataset
    NAME; with --out also a contact sheet of some of its images. The same snapshot always shows the
    same images, spread over all of it.
    """
    if uri is None:
        if name is None:
            raise click.UsageError("give the NAME of a Dataset, or the --uri of a snapshot")
        cluster = options.connection()
        uri = _snapshot_uri(
            catalogue.get_object(cluster.api, catalogue.DATASETS, cluster.namespace, name)
        )
    elif name is not None:
        raise click.UsageError("give either the NAME of a Dataset or the --uri of a snapshot")
    with (
        store_of(uri) as store,
        closing(Statistics()) as statistics,
        TemporaryDirectory(prefix="trainyard-show-") as folder,
    ):
        samples = Path(folder) / SAMPLES_NAME
        manifest = download_samples(store, uri, samples)
        count_samples(samples, statistics)
        shown = _Shown(name or uri, uri, manifest, samples, statistics)
        if output == Format.TABLE:
            _print(shown)
        else:
            document = report.as_document(statistics, manifest.refused)
            head = {"uri": uri, "digest": manifest.digest, "sizeBytes": manifest.size_bytes}
            print_document(head | document, Format(output))
        if out is not None:
            _draw(store, shown, value, count, out)
    if out is not None:
        note(f"wrote {out}")


def _snapshot_uri(dataset: Dataset) -> str:
    status = dataset.status
    if status.snapshot is not None:
        return status.snapshot.uri
    if status.phase is DatasetPhase.DRAFT:
        raise CommandError(
            f"Dataset {dataset.key} is a draft and has no snapshot: `trainyard datasets search "
            f"{dataset.metadata.name}` shows what it would take"
        )
    raise CommandError(f"Dataset {dataset.key} has no snapshot: {standing(dataset)}")


def _print(shown: _Shown) -> None:
    manifest = shown.manifest
    report.print_facts(
        [
            ("snapshot", shown.uri),
            ("digest", manifest.digest),
            ("created", f"{manifest.created_at.astimezone():%Y-%m-%d %H:%M:%S %Z}"),
            ("images", f"{manifest.samples:,}, {size(manifest.size_bytes)}"),
            *report.sample_facts(shown.statistics),
        ]
    )
    report.print_classes(shown.statistics)
    report.print_sizes(shown.statistics)
    report.print_refused(manifest.refused)


def _draw(store: Store, shown: _Shown, value: str | None, count: int, out: Path) -> None:
    chosen = choose_samples(shown.samples, count, value)
    if not chosen:
        raise CommandError(f"no image of {shown.title} has the class {value!r}")
    statistics = shown.statistics
    which = "" if value is None else f" with {value}"
    subtitle = (
        f"{report.counted(statistics.samples, 'image')}, "
        f"{report.counted(statistics.annotations, 'label')}; here are {len(chosen):,}{which}"
    )
    legend = Legend(shown.title, subtitle, report.classes(statistics))
    draw_sheet(read_pictures(store, shown.uri, shown.manifest, chosen), len(chosen), legend, out)
