"""What a person is told when a model is there."""

from __future__ import annotations

import os
from pathlib import Path

import click

from trainyard.api.manifest import ArtefactRole
from trainyard.api.run import RunFile
from trainyard.cli.local.attempts import Done
from trainyard.cli.output import print_metrics
from trainyard.decide.display import size

MODELS = "models"
"""Below the folder of runs: a link to the newest model of each process."""


def print_results(run: RunFile, done: Done, root: Path) -> None:
    """Say how good the model is, where it lies, and what to do next."""
    folder = _shortcut(run.name, done.folder, root)
    manifest = done.manifest
    splits = {"dev": manifest.dev, "test": manifest.test}
    click.echo(f"{run.name}: {manifest.epochs_trained} epochs, {manifest.primary_metric} decides")
    print_metrics(
        {
            f"{split.upper()} ({result.samples})": {
                name: f"{value:.4f}" for name, value in result.metrics.items()
            }
            for split, result in splits.items()
            if result is not None
        }
    )
    sizes = {file.name: file.size_bytes for file in manifest.files}
    weights, config = (manifest.roles[x] for x in (ArtefactRole.WEIGHTS, ArtefactRole.CONFIG))
    click.echo(f"\nmodel     {folder / weights} ({size(sizes[weights])}), {folder / config}")
    others = ", ".join(sorted(sizes.keys() - {weights, config}))
    click.echo(f"beside    {others}")


def _shortcut(name: str, folder: Path, root: Path) -> Path:
    """A short way to a model's folder; the folder itself where links cannot be made."""
    link = root / MODELS / name
    link.parent.mkdir(parents=True, exist_ok=True)
    target = os.path.relpath(folder, link.parent.resolve())
    try:
        fresh = link.with_name(f".{name}.new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target)
        fresh.replace(link)
    except OSError:
        return folder
    return link
