"""What a person is told when a model is there."""

from __future__ import annotations

import os
from pathlib import Path

import click

from trainyard.api.evaluation import EvaluationFile
from trainyard.api.manifest import ArtefactRole
from trainyard.api.meta import Json
from trainyard.cli.local.attempts import Done
from trainyard.cli.output import print_metrics
from trainyard.decide.display import size

MODELS = "models"
"""Below the folder of runs: a link to the newest model of each process."""


def print_results(name: str, done: Done, folder: Path) -> None:
    """Say how good the model is, and where it lies.

    Parameters
    ----------
    name
        Of the TrainingProcess.
    folder
        The way to the model's folder, as people go it.
    """
    manifest = done.manifest
    splits = {"dev": manifest.dev, "test": manifest.test}
    click.echo(f"{name}: {manifest.epochs_trained} epochs, {manifest.primary_metric} decides")
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


def results_document(name: str, done: Done, folder: Path) -> Json:
    """As `print_results`, for programs."""
    manifest = done.manifest
    document: Json = {
        "name": name,
        "folder": str(folder),
        "weights": str(folder / manifest.roles[ArtefactRole.WEIGHTS]),
        "config": str(folder / manifest.roles[ArtefactRole.CONFIG]),
        "epochs": manifest.epochs_trained,
        "primaryMetric": manifest.primary_metric,
    }
    for split, result in (("dev", manifest.dev), ("test", manifest.test)):
        if result is not None:
            document[split] = {"samples": result.samples, "metrics": dict(result.metrics)}
    return document


def shortcut(name: str, folder: Path, root: Path) -> Path:
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


def print_evaluation(file: EvaluationFile, place: Path) -> None:
    """Say what was measured, and where it is written."""
    click.echo(f"plan {file.plan}: {file.primary_metric} decides")
    print_metrics(
        {
            f"{split.upper()} ({result.samples})": {
                name: f"{value:.4f}" for name, value in result.metrics.items()
            }
            for split, result in (("dev", file.dev), ("test", file.test))
            if result is not None
        }
    )
    click.echo(f"\nmetrics   {place}, {place.with_name(f'{place.stem}-metrics.json')}")
