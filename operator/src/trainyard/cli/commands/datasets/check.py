"""`trainyard datasets check`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import click

from trainyard.api.meta import Json
from trainyard.cli import options
from trainyard.cli.commands.datasets.common import (
    note_links,
    shape_of,
    shape_options,
    store_of,
)
from trainyard.cli.counting import counted
from trainyard.cli.data import report
from trainyard.cli.data.check import Findings, examine
from trainyard.cli.data.opening import Opened, folder_uri, open_data
from trainyard.cli.data.statistics import Statistics
from trainyard.cli.errors import CommandError
from trainyard.cli.output import Format, output_option, print_document


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@shape_options
@output_option
@options.cluster_options
def check(folder: Path, output: str, **shape: Any) -> None:
    """Check labelled images before anything is uploaded.

    Reads all images and labels of FOLDER with the code that makes snapshots, and shows what a
    Dataset would take and what it would refuse. The exit code is 1 if there would be no snapshot:
    a label that cannot be used, or more than 5% of the files refused.
    """
    note_links(folder)
    uri = folder_uri(folder)
    with store_of(uri) as store, closing(Statistics()) as statistics:
        opened = open_data(store, uri, shape_of(**shape), lenient=True)
        with closing(opened.source), counted("checking", len(opened.source), "images") as advance:
            found = examine(opened.source, opened.selection.attribute, statistics, advance)
        if output == Format.TABLE:
            print_findings(opened, found)
        else:
            print_document(_document(opened, found), Format(output))
    if found.problem is not None:
        raise CommandError(f"a snapshot of {folder} would fail: {found.problem}")


def print_findings(opened: Opened, found: Findings) -> None:
    """All findings, for people."""
    read, statistics = found.read, found.statistics
    copies = report.counted(found.copies, "copy", "copies")
    without = f", without {copies} of them" if found.copies else ""
    report.print_facts(
        [
            ("format", opened.format),
            ("images", f"{statistics.samples:,}{without}"),
            *report.sample_facts(statistics),
        ]
    )
    report.print_classes(statistics)
    report.print_sizes(statistics)
    report.print_refused(found.refused)
    report.print_problems(read.problems)
    if found.problem is None:
        click.echo()
        click.echo(
            f"a snapshot would have {report.counted(statistics.samples, 'image')} and "
            f"{report.counted(statistics.annotations, 'label')}"
        )


def _document(opened: Opened, found: Findings) -> Json:
    return {
        "format": str(opened.selection.format),
        "guessed": opened.guess is not None,
        **report.as_document(found.statistics, found.refused),
        "cannotBeUsed": report.problems_document(found.read.problems),
        "problem": found.problem,
    }
