"""`trainyard datasets upload`."""

from __future__ import annotations

import sys
from contextlib import closing, redirect_stdout
from pathlib import Path
from typing import Any

import click

from trainyard.api.dataset import S3Source, Selection
from trainyard.cli import options
from trainyard.cli.commands.datasets.check import print_findings
from trainyard.cli.commands.datasets.common import (
    note_links,
    shape_of,
    shape_options,
    store_of,
)
from trainyard.cli.counting import counted
from trainyard.cli.data import report
from trainyard.cli.data.check import examine
from trainyard.cli.data.manifests import dataset_manifest, manifest_text, object_name
from trainyard.cli.data.opening import (
    Shape,
    folder_uri,
    open_data,
    s3_source,
    selection_of,
    understood,
)
from trainyard.cli.data.statistics import Statistics
from trainyard.cli.data.upload import local_files, upload_folder
from trainyard.cli.errors import CommandError
from trainyard.cli.output import note
from trainyard.datasets.refusals import HARMLESS
from trainyard.decide.display import size
from trainyard.stores import Store, StoreUnavailable, join


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("place", metavar="S3://BUCKET/PREFIX")
@shape_options
@click.option("--name", metavar="NAME", help="Of the Dataset.  [default: after the prefix]")
@click.option("--no-check", is_flag=True, help="Upload without reading images and labels first.")
@options.store_options
@options.cluster_options
def upload(folder: Path, place: str, name: str | None, no_check: bool, **shape: Any) -> None:
    """Upload a folder of labelled images.

    Checks FOLDER as `datasets check` does, sends its files to S3://BUCKET/PREFIX, and prints the
    manifest of a Dataset of them for `kubectl apply -f -`. Hidden files and symbolic links are left
    out. After an interruption repeat the command: a file that is there with the same size and
    content (by its ETag, the MD5 of what was sent) is not sent again.
    """
    target, form = s3_source(place), shape_of(**shape)
    uri = join(f"s3://{target.bucket}", target.prefix).rstrip("/")
    note_links(folder)
    with store_of(folder_uri(folder)) as local:
        if no_check:
            format_, _ = understood(local, folder_uri(folder), form)
            selection = selection_of(form, format_, target)
        else:
            selection = _checked(local, folder, form, target)
    default = target.prefix or target.bucket
    manifest = dataset_manifest(name or object_name(default), selection, form.group_by)
    folder = folder.resolve()
    total = sum(file.size for file in local_files(folder))
    with store_of(uri) as store, counted("uploading", total) as advance:
        try:
            done = upload_folder(store, folder, uri, advance)
        except StoreUnavailable:
            note("What was sent stays there: repeat the command to go on.")
            raise
    there = f"{report.counted(done.kept, 'file')} there already" if done.kept else ""
    sent = f"{report.counted(done.sent, 'file')} sent, {size(done.sent_bytes)}"
    note(f"{uri}: {sent}{'; ' + there if there else ''}")
    if done.others:
        more = ", ..." if done.others > len(done.other_examples) else ""
        note(
            f"{report.counted(done.others, 'other file')} there, not in {folder} "
            f"({', '.join(done.other_examples)}{more}): a Dataset of this prefix reads them too"
        )
    click.echo(manifest_text([manifest]), nl=False)


def _checked(local: Store, folder: Path, shape: Shape, target: S3Source) -> Selection:
    """The selection that the folder will be, once a snapshot of it would succeed."""
    opened = open_data(local, folder_uri(folder), shape, target, lenient=True)
    with closing(Statistics()) as statistics:
        with closing(opened.source), counted("checking", len(opened.source), "images") as advance:
            found = examine(opened.source, opened.selection.attribute, statistics, advance)
        if found.problem is not None:
            # Standard output is for the manifest, which there will not be.
            with redirect_stdout(sys.stderr):
                print_findings(opened, found)
            raise CommandError(
                f"nothing was uploaded: a snapshot of {folder} would fail: {found.problem}; "
                "--no-check uploads it all the same"
            )
        bad = [x for x in found.refused if x.reason not in HARMLESS]
        refused = "; refused: " + ", ".join(f"{x.reason} {x.count:,}" for x in bad) if bad else ""
        note(
            f"{folder}: {opened.format}, {report.counted(statistics.samples, 'image')}, "
            f"{report.counted(statistics.annotations, 'label')}{refused}"
        )
    return opened.selection
