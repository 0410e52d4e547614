"""`trainyard datasets search`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic import ValidationError

from trainyard.api.dataset import Selection, SelectionFilter
from trainyard.api.meta import Json
from trainyard.cli import catalogue, options
from trainyard.cli.commands.datasets.common import (
    shape_of,
    shape_options,
    sheet_options,
    store_of,
)
from trainyard.cli.counting import counted
from trainyard.cli.data import report
from trainyard.cli.data.manifests import object_name
from trainyard.cli.data.opening import Shape, folder_uri, s3_source, selection_of, understood
from trainyard.cli.data.search import Found, Matches
from trainyard.cli.data.statistics import Statistics
from trainyard.cli.data.wanted import Wanted, datasets_of, wanted_of
from trainyard.cli.errors import CommandError
from trainyard.cli.output import Format, note, output_option, print_document
from trainyard.datasets.filters import ImageFilter
from trainyard.datasets.pictures import Legend, draw_sheet
from trainyard.datasets.problems import Problems
from trainyard.datasets.refusals import HARMLESS
from trainyard.datasets.source import Source
from trainyard.stores import Store, join

F = TypeVar("F", bound=Callable[..., Any])

# Fields of a filter that are lists, and the option that says one of them.
_SAID_ONE_BY_ONE = {"classes": "class", "tags": "tag"}


def _filter_options(function: F) -> F:
    """Options that are a selection's filter."""
    for option in (
        click.option("--seed", type=int, default=0, help="Of the choice that --limit makes."),
        click.option("--limit", type=int, help="At most so many, chosen at random."),
        click.option("--latest", is_flag=True, help="Only the latest submissions (records)."),
        click.option("--submitted-before", metavar="TIME", help="Said before (records)."),
        click.option("--submitted-after", metavar="TIME", help="Said then or later (records)."),
        click.option("--search", metavar="TEXT", help="In the image's path or tags."),
        click.option("--tag", "tags", multiple=True, help="Images with all of these (records)."),
        click.option("--class", "classes", multiple=True, help="Images with one of these classes."),
    ):
        function = option(function)
    return function


@click.command()
@click.argument("name", required=False)
@click.option(
    "-f",
    "--file",
    type=click.File(),
    metavar="FILE",
    help="Manifests of Datasets; - is standard input.",
)
@click.option("--bucket", metavar="NAME", help="Search in a bucket, with the filter below.")
@click.option("--prefix", metavar="PATH", default="", help="Of --bucket.  [default: all of it]")
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Search in a folder of this machine, with the filter below.",
)
@_filter_options
@shape_options
@sheet_options
@output_option
@options.store_options
@options.cluster_options
def search(
    name: str | None,
    file: Any,
    bucket: str | None,
    prefix: str,
    folder: Path | None,
    out: Path | None,
    count: int,
    output: str,
    **said: Any,
) -> None:
    """Show what a dataset would take.

    Counts what the selections of a Dataset find, before there is a snapshot: of Dataset NAME in the
    cluster (a draft, say), of manifests (-f), or of a filter given here for a --bucket or a
    --folder. With --out also a contact sheet. Labels are read and no images but those on the sheet,
    so that copies and broken images are still among the matches.
    """
    if sum(x is not None for x in (name, file, bucket, folder)) != 1:
        raise click.UsageError("give one of NAME, --file, --bucket and --folder")
    wanted = _wanted(name, file, bucket, prefix, folder, said)
    documents, problems = [], []
    for place, one in enumerate(wanted):
        if place and output == Format.TABLE:
            click.echo()
        sheet = out if out is None or len(wanted) == 1 else out.with_stem(f"{out.stem}-{one.name}")
        document, problem = _search(one, sheet, count, Format(output))
        documents.append(document)
        problems += [problem] if problem else []
    if output != Format.TABLE:
        print_document(
            documents[0] if len(documents) == 1 else {"items": documents}, Format(output)
        )
    if problems:
        raise CommandError("\n".join(problems))


def _wanted(
    name: str | None,
    file: Any,
    bucket: str | None,
    prefix: str,
    folder: Path | None,
    said: dict[str, Any],
) -> list[Wanted]:
    shape = shape_of(
        **{key: said.pop(key) for key in ("format_", "attribute", "class_names", "group_by")}
    )
    if bucket is None and folder is None:
        if any(said.values()) or shape != Shape():
            raise click.UsageError("filter and format of a Dataset stand in it: give no others")
        if file is not None:
            return [wanted_of(dataset) for dataset in datasets_of(file.read(), file.name)]
        cluster = options.connection()
        dataset = catalogue.get_object(
            cluster.api, catalogue.DATASETS, cluster.namespace, str(name)
        )
        return [wanted_of(dataset)]
    place = s3_source(f"s3://{bucket}/{prefix}") if bucket is not None else None
    uri = folder_uri(folder) if folder is not None else join(f"s3://{bucket}", prefix).rstrip("/")
    rule = _rule(said)
    with store_of(uri) as store:
        format_, guess = understood(store, uri, shape)
    selection = selection_of(shape, format_, place, rule)
    title = str(folder or uri)
    return [Wanted(title, object_name(title), ((uri, selection),), shape.group_by, guess)]


def _rule(said: dict[str, Any]) -> SelectionFilter:
    said = said | {"latest_submissions_only": said["latest"]}
    try:
        return SelectionFilter(
            **{key: value for key, value in said.items() if value is not None and key != "latest"}
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = str(first["loc"][0])
        option = _SAID_ONE_BY_ONE.get(field) or field.replace("_", "-")
        raise CommandError(
            f"--{option} cannot be {str(first['input'])[:80]!r}: {first['msg']}"
        ) from None


def _search(
    wanted: Wanted, out: Path | None, count: int, format_: Format
) -> tuple[Json, str | None]:
    """Search one Dataset and print what was found; gives it for programs, and what is wrong."""
    with ExitStack() as stack:
        store = stack.enter_context(store_of(wanted.selections[0][0]))
        statistics = stack.enter_context(closing(Statistics()))
        matches = stack.enter_context(closing(Matches()))
        found = [
            _search_selection(store, uri, selection, wanted.group_by, matches, statistics)
            for uri, selection in wanted.selections
        ]
        if format_ is Format.TABLE:
            _print(wanted, found, statistics)
        if out is not None and statistics.samples:
            subtitle = (
                f"{report.counted(statistics.samples, 'match', 'matches')}, "
                f"{report.counted(statistics.annotations, 'label')}; here are "
                f"{min(count, statistics.samples):,}"
            )
            legend = Legend(wanted.title, subtitle, report.classes(statistics))
            draw_sheet(matches.pictures(store, count), min(count, statistics.samples), legend, out)
            note(f"wrote {out}")
        elif out is not None:
            note(f"{out} was not written: there is nothing to show")
        document = _document(wanted, found, statistics)
    problems = Problems(lenient=True)
    for each in found:
        problems.add_all(each.problems)
    if not problems.count:
        return document, None
    return document, f"a snapshot of {wanted.title} would fail: {problems.said()}"


def _search_selection(
    store: Store,
    uri: str,
    selection: Selection,
    group_by: str | None,
    matches: Matches,
    statistics: Statistics,
) -> Found:
    with (
        closing(Source(store, selection, uri=uri, group_by=group_by, lenient=True)) as source,
        counted("searching", len(source), "images") as advance,
    ):
        return matches.search(source, selection, statistics, advance)


def _print(wanted: Wanted, found: list[Found], statistics: Statistics) -> None:
    """What was found, for people: by selection if there are several, and together."""
    click.echo(f"{wanted.title}: {report.counted(statistics.samples, 'match', 'matches')}")
    total = report.sample_facts(statistics)
    for index, ((uri, selection), each) in enumerate(zip(wanted.selections, found, strict=True)):
        if len(found) > 1:
            click.echo(f"\nselection {index}")
        limit = f", {each.taken:,} with the limit" if each.taken != each.matches else ""
        guess = f" (guessed: {wanted.guess.because})" if wanted.guess is not None else ""
        report.print_facts(
            [
                ("source", uri),
                ("format", f"{selection.format}{guess}"),
                ("filter", ImageFilter(selection).describe() or "none"),
                ("matches", f"{each.matches:,} of {report.counted(each.images, 'image')}{limit}"),
                *(total if len(found) == 1 else ()),
            ]
        )
        report.print_refused([x for x in each.refused.counts() if x.reason not in HARMLESS])
        report.print_problems(each.problems)
    if len(found) > 1:
        click.echo("\ntogether, an image that is found twice counted twice")
        report.print_facts(total)
    report.print_classes(statistics)


def _document(wanted: Wanted, found: list[Found], statistics: Statistics) -> Json:
    return {
        "title": wanted.title,
        "selections": [
            {
                "source": uri,
                "format": str(selection.format),
                "filter": selection.filter.to_wire() if selection.filter is not None else {},
                "images": each.images,
                "matches": each.matches,
                "taken": each.taken,
                "refused": [entry.to_wire() for entry in each.refused.counts()],
                "cannotBeUsed": report.problems_document(each.problems),
            }
            for (uri, selection), each in zip(wanted.selections, found, strict=True)
        ],
        **report.as_document(statistics, ()),
    }
