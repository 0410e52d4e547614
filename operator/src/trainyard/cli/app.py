"""`trainyard`: all commands, and the one place where errors become sentences."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import click

from trainyard.cli.commands.models import models
from trainyard.cli.commands.nodes import nodes
from trainyard.cli.commands.processes import start, stop
from trainyard.cli.errors import INTERRUPTED, as_command_error
from trainyard.cli.options import cluster_options

HELP_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class _Root(click.Group):
    """Turns what a command raises into one sentence and an exit code."""

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
    context_settings=HELP_SETTINGS,
    epilog="Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 130 interrupted.",
)
@cluster_options
@click.version_option(version("trainyard"), prog_name="trainyard", message="%(prog)s %(version)s")
def trainyard() -> None:
    """Train vision models on your own GPU machines.

    Trainings are Kubernetes objects: kubectl creates and watches them. These commands do what
    kubectl does not. Each takes the options below before or after its name; what is not given
    comes from TRAINYARD_* variables, then from a profile in ~/.config/trainyard/config.yaml, then
    from the kubeconfig.
    """


for _command in (models, start, stop, nodes):
    trainyard.add_command(_command)


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
