"""`trainyard start` and `trainyard stop`."""

from __future__ import annotations

import click

from trainyard.api.process_status import ProcessPhase
from trainyard.cli import options, suspension
from trainyard.cli.completing import Named, names_of
from trainyard.cli.errors import INTERRUPTED
from trainyard.cli.output import RESULT_JSON, Format, note, print_document, result_option
from trainyard.cli.watching import document


@click.command()
@click.argument("name", shell_complete=names_of(Named.PROCESS))
@result_option
@options.cluster_options
def start(name: str, output: str) -> None:
    """Start a process, or let a stopped one go on.

    TrainingProcess NAME waits for its turn on its node, and goes on from its last checkpoint if it
    has one. A finished process is never started again.
    """
    cluster = options.connection()
    _say(suspension.start(cluster.api, cluster.namespace, name), output)


@click.command()
@click.argument("name", shell_complete=names_of(Named.PROCESS))
@click.option("--wait", is_flag=True, help="Wait until it has stopped; Ctrl-C stops the waiting.")
@result_option
@options.cluster_options
def stop(name: str, wait: bool, output: str) -> None:
    """Stop a process with a checkpoint.

    The trainer of TrainingProcess NAME writes a checkpoint, uploads it and ends; then its node is
    free. A process that waits leaves the queue. `trainyard start NAME` lets it go on.
    """
    cluster = options.connection()
    told = suspension.stop(cluster.api, cluster.namespace, name)
    phase = told.process.status.phase
    if not wait or (phase is not None and phase.terminal):
        _say(told, output)
        return
    say = note if output == RESULT_JSON else click.echo
    say(told.sentence)
    try:
        ended = suspension.wait_stopped(cluster.api, told.process, say)
    except KeyboardInterrupt:
        note(f"not waiting any more; {told.process.key} goes on stopping")
        raise click.exceptions.Exit(INTERRUPTED) from None
    succeeded = ended.status.phase is ProcessPhase.SUCCEEDED
    how = "succeeded before it was stopped" if succeeded else "is stopped"
    if succeeded or output == RESULT_JSON:
        _say(suspension.Told(ended, f"TrainingProcess {ended.key} {how}"), output)


def _say(told: suspension.Told, output: str) -> None:
    """The sentence, or with it the process as `trainyard watch --output json` has it."""
    if output == RESULT_JSON:
        print_document(document(told.process) | {"message": told.sentence}, Format.JSON)
    else:
        click.echo(told.sentence)
