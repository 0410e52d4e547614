"""`trainyard watch`: a process while it waits, trains and ends."""

from __future__ import annotations

import click

from trainyard.api.process import TrainingProcess
from trainyard.api.process_status import ProcessPhase
from trainyard.api.reasons import ConditionType
from trainyard.cli import options
from trainyard.cli.completing import Named, names_of
from trainyard.cli.errors import FAILED, INTERRUPTED
from trainyard.cli.following import Following
from trainyard.cli.output import note, print_metrics
from trainyard.cli.process_reading import columns_of, stopped
from trainyard.cli.watching import screen

STANDS_STILL = 3
"""Exit code of a watch whose process is stopped, or a draft."""


@click.command()
@click.argument("name", shell_complete=names_of(Named.PROCESS))
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to show it; json is one object a line.",
)
@options.cluster_options
def watch(name: str, output: str) -> None:
    """Watch a process until it is finished.

    Shows phase, stage, progress, time left, the newest metrics, and what TrainingProcess NAME
    waits for; on a terminal also its learning curves, as far as they fit. Ctrl-C ends only the
    watching: what is watched goes on.

    Exit codes: 0 it has succeeded, 1 it has failed, 3 it is stopped or a draft, 4 it was deleted.
    """
    cluster = options.connection()
    key = f"{cluster.namespace}/{name}"
    try:
        with screen(output) as shown:
            for process in Following(cluster.api, cluster.namespace, name, shown.say):
                shown.show(process)
                if _ended(process):
                    break
    except KeyboardInterrupt:
        note(
            f"not watching any more; TrainingProcess {key} goes on as before, and "
            f"`trainyard watch {name} -n {cluster.namespace}` shows it again"
        )
        raise click.exceptions.Exit(INTERRUPTED) from None
    if output == "text":
        _say_the_end(process)
    if process.status.phase is not ProcessPhase.SUCCEEDED:
        code = FAILED if process.status.phase is ProcessPhase.FAILED else STANDS_STILL
        raise click.exceptions.Exit(code)


def _ended(process: TrainingProcess) -> bool:
    phase = process.status.phase
    return stopped(process) or (phase is not None and phase.terminal)


def _say_the_end(process: TrainingProcess) -> None:
    meta, status = process.metadata, process.status
    where = f"{meta.name} -n {meta.namespace}"
    if status.phase is ProcessPhase.FAILED:
        reasons = [c.reason for c in status.conditions if c.type == ConditionType.FAILED]
        note(f"TrainingProcess {process.key} has failed: {', '.join(reasons)}")
        last = status.attempts[-1] if status.attempts else None
        if last is not None and last.log_tail:
            note(f"the end of its log:\n{last.log_tail}")
    elif status.phase is not ProcessPhase.SUCCEEDED:
        note(f"`trainyard start {where}` lets it go on")
    else:
        print_metrics(columns_of(status.evaluation))
        model = status.model or meta.name
        click.echo(f"`trainyard models download {model} -n {meta.namespace}` fetches the model")
