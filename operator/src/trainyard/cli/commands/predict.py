"""`trainyard predict`: asking a finished model about images, on this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from trainyard.cli import options
from trainyard.cli.answers import print_answers
from trainyard.cli.completing import Named, names_of
from trainyard.cli.local.models import (
    ModelFiles,
    cache_folder,
    is_file,
    of_cluster,
    of_files,
)
from trainyard.cli.local.trainer import TrainerFailed, call, look_for_trainer, trainer_command
from trainyard.cli.output import note, working
from trainyard.cli.progress import shown_progress
from trainyard.cli.store_access import find_store

CORNERS = 4


class _Box(click.ParamType[list[float]]):
    """`x,y,x,y`: left, top, right and bottom in 0..1."""

    name = "x,y,x,y"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[float]:
        try:
            box = [float(part) for part in str(value).split(",")]
        except ValueError:
            box = []
        if len(box) != CORNERS or not all(0 <= number <= 1 for number in box):
            self.fail(
                f"{value!r} is not left, top, right and bottom in 0..1 of the image's sides, such "
                "as 0.1,0.2,0.5,0.6",
                param,
                ctx,
            )
        return box


@click.command()
@click.argument("model", shell_complete=names_of(Named.MODEL, or_files=True))
@click.argument("images", nargs=-1, required=True, metavar="IMAGES...")
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="config.yaml of a FILE.pth.  [default: the one beside it]",
)
@click.option(
    "--entities",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="JSON with the boxes that a Box element is asked about.",
)
@click.option(
    "--boxes", "boxes", type=_Box(), multiple=True, help="Such a box, in 0..1; as often as needed."
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.png",
    help="Picture to draw, of up to 12 images.",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How to print the answers.",
)
@options.store_options
@options.cluster_options
def predict(
    model: str,
    images: tuple[str, ...],
    config: Path | None,
    entities: Path | None,
    boxes: tuple[list[float], ...],
    out: Path | None,
    output: str,
) -> None:
    """Ask a model about images.

    MODEL is the name of a TrainedModel, whose files are fetched, verified and kept in
    ~/.cache/trainyard/models; or a FILE.pth of this machine, for which no cluster is needed.
    IMAGES are files and folders.

    A Box element is asked about boxes: those of --entities or --boxes, else those that labels
    beside the images mark, else the image as a whole.
    """
    look_for_trainer()
    if entities is not None and boxes:
        raise click.UsageError("give --entities or --boxes, not both")
    if out is not None and out.suffix.lower() != ".png":
        raise click.BadParameter(f"{out} does not end in .png", param_hint="--out")
    files = _files(model, config)
    with tempfile.TemporaryDirectory(prefix="trainyard-predict-") as name:
        folder = Path(name)
        if boxes:
            entities = folder / "boxes.json"
            entities.write_text(json.dumps(boxes))
        answers = folder / "answers.json"
        arguments: list[str | Path] = ["predict", "--weights", files.weights]
        arguments += ["--config", files.config, "--json", answers]
        arguments += ["--out", out] if out is not None else []
        arguments += ["--entities", entities] if entities is not None else []
        failure = None
        try:
            with working(f"asking {files.weights.name}"):
                call(
                    trainer_command(*arguments, "--data", *images),
                    folder=folder,
                    environ={"TRAINYARD_WORKDIR": str(folder / "work")},
                    lines_to=subprocess.DEVNULL,
                )
        except TrainerFailed as error:
            failure = error
        # Of several images some may have been answered all the same.
        if answers.exists() and output == "json":
            with answers.open(encoding="utf-8") as file:
                shutil.copyfileobj(file, sys.stdout)
        elif answers.exists():
            useless, asked = print_answers(answers)
            if useless and failure is not None:
                said = f"{useless} of {asked} images cannot be used"
                raise TrainerFailed(said, failure.exit_code) from None
        if failure is not None:
            raise failure
    if out is not None:
        note(f"wrote {out}")


def _files(model: str, config: Path | None) -> ModelFiles:
    if is_file(model):
        return of_files(Path(model), config)
    if config is not None:
        raise click.UsageError("--config belongs to a FILE.pth; a TrainedModel has its own")
    cluster = options.connection()
    found = of_cluster(cluster, model)
    access = find_store(cluster.api, options.target(), cluster.namespace)
    with shown_progress(beside=True) as progress:
        return found.fetch(access, cache_folder(os.environ), progress)
