"""`trainyard start` and `trainyard stop`."""

from __future__ import annotations

import click

from trainyard.api.process_status import ProcessPhase
from trainyard.cli import options, suspension
from trainyard.cli.errors import INTERRUPTED
from trainyard.cli.output import note


@click.command()
@click.argument("name")
@options.cluster_options
def start(name: str) -> None:
    """Start a process, or let a stopped one go on.

    TrainingProcess NAME waits for its turn on its node, and goes on from its last checkpoint if it
    has one. A finished process is never started again.
    """
    cluster = options.connection()
    click.echo(suspension.start(cluster.api, cluster.namespace, name).sentence)


@click.command()
@click.argument("name")
@click.option("--wait", is_flag=True, help="Wait until it has stopped; Ctrl-C stops the waiting.")
@options.cluster_options
def stop(name: str, wait: bool) -> None:
    """Stop a process with a checkpoint.

    The trainer of TrainingProcess NAME writes a checkpoint, uploads it and ends; then its node is
    free. A process that waits leaves the queue. `trainyard start NAME` lets it go on.
    """
    cluster = options.connection()
    told = suspension.stop(cluster.api, cluster.namespace, name)
    click.echo(told.sentence)
    phase = told.process.status.phase
    if not wait or (phase is not None and phase.terminal):
        return
    try:
        ended = suspension.wait_stopped(cluster.api, told.process, click.echo)
    except KeyboardInterrupt:
        note(f"not waiting any more; {told.process.key} goes on stopping")
        raise click.exceptions.Exit(INTERRUPTED) from None
    if ended.status.phase is ProcessPhase.SUCCEEDED:
        click.echo(f"TrainingProcess {ended.key} succeeded before it was stopped")
