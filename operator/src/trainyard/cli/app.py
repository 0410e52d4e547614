"""`trainyard`: all commands, and the one place where errors become sentences."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from trainyard.cli.errors import INTERRUPTED, as_command_error
from trainyard.cli.options import cluster_options


@dataclass(frozen=True)
class _Entry:
    """A command: where it is, and its line in the help."""

    module: str
    name: str
    summary: str


COMMANDS = {
    "run": _Entry("run", "run", "Train on this machine what manifests describe."),
    "generate": _Entry("generate", "generate", "Make folders to work in."),
    "train": _Entry("train", "train", "Train, evaluate and export in the folder of a training."),
    "models": _Entry("models", "models", "List, show and download finished models."),
    "predict": _Entry("predict", "predict", "Ask a model about images."),
    "weights": _Entry("weights", "weights", "Store weights that trainings may start from."),
    "datasets": _Entry("datasets", "datasets", "Check, upload, split and look at labelled images."),
    "start": _Entry("processes", "start", "Start a process, or let a stopped one go on."),
    "stop": _Entry("processes", "stop", "Stop a process with a checkpoint."),
    "watch": _Entry("watch", "watch", "Watch a process until it is finished."),
    "nodes": _Entry("nodes", "nodes", "Show the target nodes: state, GPUs, holder, queue."),
    "completion": _Entry(
        "completion", "completion", "Print the script that lets a shell complete commands."
    ),
}
"""In the order of the help. Loaded when they are used: `--help` need not wait for libraries that
other commands use."""


class _Root(click.Group):
    """Finds a command when it is used, and turns what it raises into a sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- of click
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command = getattr(import_module(f"trainyard.cli.commands.{entry.module}"), entry.name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{entry.module}.{entry.name} is no command")
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        # Without reading the commands, which takes a second.
        commands = [
            CompletionItem(name, help=entry.summary)
            for name, entry in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise
        except Exception as error:
            told = as_command_error(error)
            if told is None:
                raise
            raise told from None


@click.group(
    cls=_Root,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 130 interrupted; others where "
    "a command says so.",
)
@cluster_options
@click.version_option(package_name="trainyard", message="trainyard %(version)s")
def trainyard() -> None:
    """Train vision models on your own GPU machines.

    Trainings are Kubernetes objects, which kubectl creates; these commands do what kubectl does
    not. run, generate and train work on this machine, run and predict also without any cluster.

    Each command takes the options below before or after its name; what is not given comes from
    TRAINYARD_* variables, then from a profile in ~/.config/trainyard/config.yaml, then from the
    kubeconfig.
    """


def run(arguments: Sequence[str], program: str = "trainyard") -> int:
    """Run one command and say in one sentence what went wrong; gives the exit code.

    Parameters
    ----------
    arguments
        The command line without the program.
    program
        What the person called, for the help.
    """
    try:
        result = trainyard.main(list(arguments), prog_name=program, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (as in `| head`) has seen enough; Python's own flush must not fail either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return result if isinstance(result, int) else 0
