"""`trainyard datasets`: check, search, upload, split and look at labelled images."""

from __future__ import annotations

import click

from trainyard.cli.commands.datasets.check import check
from trainyard.cli.commands.datasets.search import search
from trainyard.cli.commands.datasets.show import list_, show
from trainyard.cli.commands.datasets.split import split
from trainyard.cli.commands.datasets.upload import upload


@click.group()
def datasets() -> None:
    """Check, upload, split and look at labelled images."""


for command in (check, search, upload, split, show, list_):
    datasets.add_command(command)
