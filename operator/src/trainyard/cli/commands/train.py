"""`trainyard train`: train, evaluate and export in the folder of a training."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic import ValidationError

from trainyard.api.documents import DocumentError, first_problem, load_yaml
from trainyard.api.evaluation import EvaluationFile
from trainyard.api.run import RunFile, StoreLocation
from trainyard.api.training_folder import ARGUMENTS, BEST, TrainingFolder
from trainyard.cli import options
from trainyard.cli.errors import CommandError
from trainyard.cli.local import publishing
from trainyard.cli.local.attempts import done
from trainyard.cli.local.results import print_evaluation, print_results
from trainyard.cli.local.trainer import call, look_for_trainer, trainer_command
from trainyard.cli.local.typed import PROGRAM, program, typed
from trainyard.cli.locked import only_one
from trainyard.stores import open_store

PLAN = "default"
F = TypeVar("F", bound=Callable[..., Any])


@click.group()
def train() -> None:
    """Train, evaluate and export in the folder of a training."""


_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _checkpoint_arguments(function: F) -> F:
    """[DIR] CHECKPOINT CONFIG: the first may be left out."""
    for decorate in (
        click.argument(
            "paths",
            nargs=-1,
            required=True,
            metavar="[DIR] CHECKPOINT CONFIG",
            type=click.Path(exists=True, path_type=Path),
        ),
        click.option(
            "--trust",
            is_flag=True,
            help="Open a best.pt that was not trained here: opening it runs its code.",
        ),
    ):
        function = decorate(function)
    return function


def _split(paths: tuple[Path, ...]) -> tuple[Path, Path, Path]:
    if len(paths) == 2:
        paths = (Path(), *paths)
    if len(paths) != 3:
        raise click.UsageError("give [DIR] CHECKPOINT CONFIG, for example . best.pt args.yaml")
    folder, checkpoint, config = paths
    if not folder.is_dir():
        raise click.UsageError(f"{folder} is no folder: give [DIR] CHECKPOINT CONFIG")
    return folder, checkpoint, config


@train.command()
@click.argument("folder", metavar="[DIR]", type=_FOLDER, default=Path())
@options.cluster_options
def start(folder: Path) -> None:
    """Prepare, train and evaluate.

    Runs DIR/train.py (of the present folder, if DIR is not given), which leaves
    runs/TASK/train/weights/best.pt and args.yaml, and in results the model, its metrics and
    pictures. Ctrl-C stops it with a checkpoint; the same command goes on.
    """
    look_for_trainer()
    places, run = _opened(folder)
    if not places.script.is_file():
        raise CommandError(f"{places.script} is not there: it has the steps of the training")
    with _held(places) as handle:
        call(
            [sys.executable, str(places.script)],
            folder=places.state,
            environ={PROGRAM: program()},
            inherited=(handle,),
            going_on="the same command goes on",
        )
    store = open_store(StoreLocation())
    print_results(run.name, done(store, places.uri(places.results)), _short(places.results))
    engine = places.engine(run.template.engine)
    paths = " ".join(map(typed, (places.root, engine / BEST, engine / ARGUMENTS)))
    click.echo(f"next      {program()} train evaluate {paths}")


@train.command()
@_checkpoint_arguments
@click.option("--plan", metavar="NAME", default=PLAN, show_default=True, help="Name of the plan.")
@click.option("--create", is_flag=True, help="Record it in the store and on the TrainedModel.")
@click.option(
    "--model",
    metavar="NAME",
    help="With --create: the TrainedModel.  [default: called as the process]",
)
@options.store_options
@options.cluster_options
def evaluate(
    paths: tuple[Path, ...], trust: bool, plan: str, create: bool, model: str | None
) -> None:
    """Measure a checkpoint on the data of DIR.

    CHECKPOINT is a best.pt or a .pth, CONFIG its args.yaml or config.yaml. The metrics are written
    to DIR/evaluations/PLAN.json. --create records them as the evaluation of that name of the
    TrainedModel, so that several can be compared (`trainyard models show NAME`); it makes no model.
    """
    look_for_trainer()
    folder, checkpoint, config = _split(paths)
    places, run = _opened(folder)
    # Before minutes are spent: is there a model to record it on, and a store?
    target = publishing.evaluated_model(model or run.name) if create else None
    with _held(places):
        words = call(
            trainer_command(
                "evaluate", places.root, checkpoint, config, "--plan", plan, *_trusted(trust)
            ),
            folder=places.state,
        )
    place = Path(words.location or places.evaluations / f"{plan}.json")
    print_evaluation(EvaluationFile.model_validate_json(place.read_bytes()), _short(place))
    if target is not None:
        click.echo(publishing.record_evaluation(target, place, plan))
    command = " ".join(map(typed, (places.root, checkpoint, config)))
    click.echo(f"next      {program()} train export {command}")


@train.command()
@_checkpoint_arguments
@click.option("--name", metavar="NAME", help="Of the TrainedModel.  [default: that of the process]")
@options.store_options
@options.cluster_options
def export(paths: tuple[Path, ...], trust: bool, name: str | None) -> None:
    """Make a model of a checkpoint, upload it and register it.

    Writes model.pth, config.yaml, metrics and pictures to DIR/exported, uploads them to the store
    of the cluster, makes a TrainedModel of them and prints their URLs.
    """
    look_for_trainer()
    folder, checkpoint, config = _split(paths)
    places, run = _opened(folder)
    target = publishing.new_model(name or run.name)
    with _held(places):
        call(
            trainer_command("export", places.root, checkpoint, config, *_trusted(trust)),
            folder=places.state,
        )
    made = done(open_store(StoreLocation()), places.uri(places.exported))
    print_results(run.name, made, _short(places.exported))
    for line in publishing.register(target, run, made):
        click.echo(line)


def _opened(folder: Path) -> tuple[TrainingFolder, RunFile]:
    places = TrainingFolder(folder.resolve())
    try:
        run = RunFile.model_validate(load_yaml(places.run.read_bytes(), str(places.run)))
        run.verify(str(places.run))
    except FileNotFoundError:
        raise CommandError(
            f"{folder} has no run.yaml: make such a folder with `trainyard generate training-run "
            "NAME TYPE`"
        ) from None
    except DocumentError as error:
        raise CommandError(str(error)) from None
    except ValidationError as error:
        raise CommandError(f"{places.run}: {first_problem(error)}") from None
    places.state.mkdir(exist_ok=True)
    return places, run


def _held(places: TrainingFolder) -> Any:
    busy = f"another command works in {_short(places.root)}: wait for it"
    return only_one(places.state, busy)


def _trusted(trust: bool) -> tuple[str, ...]:
    return ("--trust",) if trust else ()


def _short(path: Path) -> Path:
    return Path(os.path.relpath(path))
