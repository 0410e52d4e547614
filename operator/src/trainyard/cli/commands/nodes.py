"""`trainyard nodes`: who holds which node, and the way out of a quarantine."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import click

from trainyard.cli import node_overview, node_release, options
from trainyard.cli.completing import Named, names_of
from trainyard.cli.errors import CommandError
from trainyard.cli.node_rows import QUEUE_TITLES, TITLES, WIDE_TITLES, NodeRow
from trainyard.cli.output import Format, note, print_document, print_table

WIDE = "wide"


@click.group(invoke_without_command=True)
@click.option(
    "-o",
    "--output",
    type=click.Choice([str(Format.TABLE), WIDE, str(Format.JSON), str(Format.YAML)]),
    default=str(Format.TABLE),
    show_default=True,
    help="How to print it; wide has more columns and whole queues.",
)
@options.cluster_options
@click.pass_context
def nodes(context: click.Context, output: str) -> None:
    """Show the target nodes: state, GPUs, holder, queue.

    Without a command: one row for each node that is enabled for trainings, held by one, or waited
    for; then one for each process that waits for a node.
    """
    if context.invoked_subcommand is not None:
        return
    cluster = options.connection()
    seen = node_overview.observe(cluster.api, cluster.namespace)
    rows = node_overview.rows(seen)
    now = datetime.now(UTC)
    wide = output == WIDE
    if not wide and output != Format.TABLE:
        found = [row.document() for row in rows]
        print_document({"nodes": found, "gaps": list(seen.gaps)}, Format(output))
        return
    if rows:
        _print_tables(rows, now, wide=wide)
    elif not seen.gaps:
        note("No node is enabled for trainings: kubectl label node NODE trainyard.dev/target=true")
    for row in rows:
        if row.quarantined:
            note(f"{row.name} is in quarantine: {row.quarantined}")
    for gap in seen.gaps:
        note(gap)


def _print_tables(rows: Sequence[NodeRow], now: datetime, *, wide: bool) -> None:
    print_table(WIDE_TITLES if wide else TITLES, [row.cells(now, wide=wide) for row in rows])
    waiting = [cells for row in rows for cells in row.queue_cells(now, wide=wide)]
    if waiting:
        click.echo()
        print_table(QUEUE_TITLES, waiting)


@nodes.command()
@click.argument("node", shell_complete=names_of(Named.NODE))
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Release although the holder seems to run.")
@options.cluster_options
def release(node: str, yes: bool, force: bool) -> None:
    """Free a node whose training is certainly over.

    For a NODE in quarantine: its machine was lost while a training ran on it, and nobody could say
    whether that training has ended. Make certain that no process of it lives (the machine is off,
    was started anew, or you looked), then give your word with this command. Two trainings on one
    machine spoil each other if you are wrong.
    """
    cluster = options.connection()
    holding = node_release.look(cluster.api, node)
    for line in node_release.description(holding, datetime.now(UTC)):
        click.echo(line)
    objection = node_release.why_not(holding)
    if objection is not None and not force:
        raise CommandError(f"{objection}; --force releases it all the same")
    if not yes:
        _ask(node, holding.lock.facts.holder)
    node_release.release(cluster.api, holding)
    node_release.wait_released(cluster.api, holding, click.echo)
    click.echo(f"node {node} is free")


def _ask(node: str, holder: str) -> None:
    """Ask the person for the word; without a terminal there is nobody to ask."""
    click.echo()
    note(
        f"Release node {node} only if it is certain that no process of {holder} lives on that "
        "machine: otherwise two trainings will run on it at once."
    )
    if not sys.stdin.isatty():
        raise CommandError("there is no terminal to ask on: give --yes if it is certain")
    if not click.confirm("Is it certain?", default=False, err=True):
        raise CommandError(f"node {node} was not released")
