"""`trainyard datasets split`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import closing, redirect_stdout
from pathlib import Path
from typing import Any, TypeVar

import click

from trainyard.api.dataset import S3Source, SelectionFilter
from trainyard.cli import options
from trainyard.cli.commands.datasets.common import (
    note_links,
    shape_of,
    shape_options,
    store_of,
)
from trainyard.cli.counting import counted
from trainyard.cli.data.dealing import NO_LABELS, Dealt, Share
from trainyard.cli.data.guess import SPLIT_FILE
from trainyard.cli.data.manifests import manifest_text, object_name
from trainyard.cli.data.opening import folder_uri, open_data, s3_source
from trainyard.cli.data.split import Splitting, split_datasets, split_source
from trainyard.cli.errors import CommandError
from trainyard.cli.output import note, print_table
from trainyard.stores import join

_MANY_CLASSES = 50

F = TypeVar("F", bound=Callable[..., Any])


def _percent(name: str, default: int) -> Callable[[F], F]:
    return click.option(
        f"--{name}",
        type=click.FloatRange(0, 100),
        default=default,
        show_default=True,
        metavar="PERCENT",
        help=f"Share of the split {name}.",
    )


@click.command()
@click.argument("place", metavar="FOLDER|S3://BUCKET/PREFIX")
@_percent("train", 80)
@_percent("dev", 10)
@_percent("test", 10)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--to",
    metavar="S3://BUCKET/PREFIX",
    help="Where FOLDER is, or will be, uploaded to; needed for a folder.",
)
@click.option("--latest", is_flag=True, help="Only the latest submissions count (records).")
@click.option("--name", metavar="NAME", help="Of the Datasets.  [default: after the prefix]")
@shape_options
@options.store_options
@options.cluster_options
def split(
    place: str,
    train: float,
    dev: float,
    test: float,
    seed: int,
    to: str | None,
    latest: bool,
    name: str | None,
    **shape: Any,
) -> None:
    """Split labelled images into train, dev and test.

    Deals whole groups out (--group-by), keeps the shares of the classes alike as far as the groups
    allow, and does the same each time. Identical images never come apart. Writes a file
    trainyard-split.jsonl beside the data, which tags every image with its split, and prints three
    Datasets that choose by the tag, for `kubectl apply -f -`. Nothing is moved or copied; a second
    split of the same data replaces the file.
    """
    shares = _shares(train, dev, test)
    form = shape_of(**shape)
    uri, target = _where(place, to)
    rule = SelectionFilter(latest_submissions_only=True) if latest else None
    with store_of(uri) as store:
        opened = open_data(store, uri, form, target, rule, lenient=True)
        splitting = Splitting(opened.selection, shares, seed, form.group_by)
        with closing(opened.source), counted("reading", len(opened.source), "images") as advance:
            dealt = split_source(store, opened.source, splitting, advance)
    manifests = split_datasets(
        name or object_name(target.prefix or target.bucket), splitting, dealt
    )
    note(f"{place}: {opened.format}")
    with redirect_stdout(sys.stderr):
        _print(shares, dealt)
    note(f"wrote {join(uri, SPLIT_FILE)}")
    if to is not None:
        note(f"upload it with the images: trainyard datasets upload {place} {to}")
    click.echo(manifest_text(manifests), nl=False)


def _shares(train: float, dev: float, test: float) -> tuple[Share, ...]:
    total = train + dev + test
    if abs(total - 100) > 1e-9:
        raise click.UsageError(f"--train, --dev and --test are {total:g} together: make it 100")
    if not train or not dev:
        raise click.UsageError("--train and --dev must be above 0: a training needs both")
    named = (("train", train), ("dev", dev), ("test", test))
    return tuple(Share(name, percent) for name, percent in named if percent)


def _where(place: str, to: str | None) -> tuple[str, S3Source]:
    """Where the images are, and where the Datasets look for them."""
    if "://" in place:
        if to is not None:
            raise click.UsageError("--to is for a folder of this machine only")
        target = s3_source(place)
        return join(f"s3://{target.bucket}", target.prefix).rstrip("/"), target
    folder = Path(place)
    if not folder.is_dir():
        raise CommandError(f"there is no folder {place}: give one, or s3://bucket/prefix")
    if to is None:
        raise click.UsageError(
            "give with --to where the folder is, or will be, uploaded to: the Datasets name that "
            "place"
        )
    note_links(folder)
    return folder_uri(folder), s3_source(to)


def _print(shares: Sequence[Share], dealt: Sequence[Dealt]) -> None:
    """What each split got: images, groups, and images by class."""
    total = sum(got.samples for got in dealt)
    with_groups = any(got.units != got.samples for got in dealt)
    rows = [
        (
            share.name,
            f"{got.samples:,}",
            f"{100 * got.samples / total:.1f}%",
            *([f"{got.units:,}"] if with_groups else []),
        )
        for share, got in zip(shares, dealt, strict=True)
    ]
    print_table(("SPLIT", "IMAGES", "SHARE", *(["GROUPS"] if with_groups else [])), rows)
    names = sorted({name for got in dealt for name in got.classes})
    click.echo()
    print_table(
        ("IMAGES WITH", *(share.name.upper() for share in shares)),
        [
            (
                "no labels" if name == NO_LABELS else name,
                *(f"{got.classes[name]:,}" for got in dealt),
            )
            for name in names[:_MANY_CLASSES]
        ],
    )
    if len(names) > _MANY_CLASSES:
        click.echo(f"and {len(names) - _MANY_CLASSES} classes more")
    for name in names:
        missing = [
            share.name for share, got in zip(shares, dealt, strict=True) if not got.classes[name]
        ]
        if missing and name != NO_LABELS:
            click.echo(f"{name} is not in {' and '.join(missing)}: it is in too few groups")
