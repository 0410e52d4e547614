"""What commands print: tables, documents, ages."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trainyard.api.documents import dump_yaml
from trainyard.api.meta import Json

F = TypeVar("F", bound=Callable[..., Any])

WIDE = 100_000
"""Columns of a table that no terminal shows: a program that reads it wants whole lines."""


class Format(StrEnum):
    """How a listing is printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def output_option(function: F) -> F:
    """Option `-o`: how what was found is printed."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice([str(format_) for format_ in Format]),
        default=str(Format.TABLE),
        show_default=True,
        help="How to print it.",
    )(function)


RESULT_JSON = "json"


def result_option(function: F) -> F:
    """Option `-o` of a command that says what it did."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["text", RESULT_JSON]),
        default="text",
        show_default=True,
        help="How to print what was done.",
    )(function)


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table the way kubectl does: no lines, columns as wide as they need to be."""
    console = Console(highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDE, color_system=None)
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        # As Text, so that brackets in a name are no markup.
        table.add_row(*(Text(cell) for cell in row))
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


def print_metrics(columns: Mapping[str, Mapping[str, str]]) -> None:
    """Print metrics, one a row; nothing if there are none.

    Parameters
    ----------
    columns
        By title, for example the split: values by the name of the metric.
    """
    names = dict.fromkeys(name for values in columns.values() for name in values)
    if names:
        rows = [(name, *(values.get(name, "") for values in columns.values())) for name in names]
        print_table(("METRIC", *columns), rows)


def print_objects(objects: Sequence[Json], format_: Format) -> None:
    """Print API objects as the List that kubectl prints."""
    listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    if format_ is Format.JSON:
        click.echo(json.dumps(listed, indent=2, ensure_ascii=False))
    else:
        click.echo(dump_yaml(listed), nl=False)


def print_document(document: Json, format_: Format) -> None:
    """A finding for programs."""
    if format_ is Format.JSON:
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        click.echo(dump_yaml(document), nl=False)


def note(sentence: str) -> None:
    """Say something beside the result, on standard error."""
    click.echo(sentence, err=True)


def working(doing: str) -> AbstractContextManager[object]:
    """Show that something is done whose end nobody knows, if a person watches."""
    console = Console(stderr=True, highlight=False)
    return console.status(doing) if console.is_terminal else nullcontext()


def age(since: datetime | None, now: datetime) -> str:
    """Time since then, in at most two units: `45s`, `12m`, `5h`, `3d4h`."""
    if since is None:
        return ""
    seconds = max(0, int((now - since).total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if minutes < 2:
        return f"{seconds}s"
    if hours < 2:
        return f"{minutes}m"
    if days < 2:
        return f"{hours}h"
    if days < 8:
        rest = hours - 24 * days
        return f"{days}d{rest}h" if rest else f"{days}d"
    return f"{days}d"
