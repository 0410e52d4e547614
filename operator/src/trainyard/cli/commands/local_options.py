"""Options of the commands that work without a cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def source_options(function: F) -> F:
    """Folders that stand for what a manifest names."""
    for option in (
        click.option(
            "--bucket",
            "buckets",
            multiple=True,
            metavar="NAME=FOLDER",
            help="Folder that stands for a bucket.  [default: the bucket itself]",
        ),
        click.option(
            "--volume",
            "volumes",
            multiple=True,
            metavar="CLAIM=FOLDER",
            help="Folder that stands for a volume.",
        ),
    ):
        function = option(function)
    return function


def cpu_option(function: F) -> F:
    """Train without a GPU."""
    return click.option(
        "--cpu", is_flag=True, help="Train on the CPU, whatever the template asks for."
    )(function)
