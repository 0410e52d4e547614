"""`trainyard completion`: what a shell needs to complete commands, options and names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from trainyard.cli import options

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@options.cluster_options
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that lets a shell complete commands.

    \b
    bash: source <(trainyard completion bash)          in ~/.bashrc
    zsh:  source <(trainyard completion zsh)           in ~/.zshrc
    fish: trainyard completion fish > ~/.config/fish/completions/trainyard.fish

    Names of processes, models and datasets are completed where the cluster answers within a second.
    """  # noqa: D301 -- click takes \b for: keep these lines
    root = context.find_root()
    made = get_completion_class(shell)
    assert made is not None  # noqa: S101 -- it has all of SHELLS
    click.echo(made(root.command, {}, "trainyard", "_TRAINYARD_COMPLETE").source())
