"""The steps of a training in a folder: those of the recipe, their results where people look."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trainyard.api.documents import dump_yaml
from trainyard.api.report import LastWords
from trainyard.api.training_folder import ARGUMENTS, BEST, WEIGHTS, TrainingFolder
from trainyard_trainer.engines.base import SplitResult, Trained
from trainyard_trainer.folder import layout, record
from trainyard_trainer.folder.layout import LaidOut
from trainyard_trainer.prepare import Prepared
from trainyard_trainer.recipe import Recipe

_log = logging.getLogger("trainyard")


@dataclass
class Work:
    """A training, step by step. Each step takes what those before it made.

    Attributes
    ----------
    recipe
        The one that a pod follows too.
    places
        Where everything lies.
    known
        The data as it was laid out; None: it is not yet.
    edited
        A person changed the data since.
    """

    recipe: Recipe
    places: TrainingFolder
    known: LaidOut | None
    edited: bool

    def prepare(self) -> Prepared:
        """The data in `train`, `dev` and `test`: as it lies there, or laid out now."""
        recipe, root = self.recipe, self.places.root
        if self.known is not None:
            if self.edited:
                _log.warning(
                    "prepare: files in train, dev or test were changed since they were laid out: "
                    "the model learns and is judged from them as they are"
                )
            data = recipe.engine.finish_layout(root, len(recipe.run.capability.outputs))
            return self.known.prepared(root, data, edited=self.edited)
        self.places.laid_out.unlink(missing_ok=True)
        for name in (*layout.SPLITS, "val"):
            path = root / name
            path.unlink() if path.is_symlink() else shutil.rmtree(path, ignore_errors=True)
        prepared = recipe.prepare()
        shutil.rmtree(root / "manifests", ignore_errors=True)
        made = layout.laid_out(recipe.run, root, prepared)
        self.places.laid_out.write_text(made.model_dump_json(by_alias=True), encoding="utf-8")
        return prepared

    def train(self, data: Prepared) -> Trained:
        """Train, or go on; leaves `runs/TASK/train/weights/best.pt` and `args.yaml`."""
        recipe, folder = self.recipe, self._folder
        recipe.take_up()
        trained = recipe.train(data)
        resumed = self.places.work / "resumed" / Path(BEST).name
        if not (folder / BEST).is_file() and resumed.is_file():
            # Nothing was left to train.
            (folder / BEST).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(resumed, folder / BEST)
        if not (folder / ARGUMENTS).is_file():
            (folder / ARGUMENTS).write_text(dump_yaml(self._arguments(trained)), encoding="utf-8")
        record.add(
            self.places.record,
            self.places.root,
            folder / WEIGHTS,
            recipe.engine.checkpoint_files,
        )
        return trained

    def _arguments(self, trained: Trained) -> dict[str, object]:
        """What the library writes of its own trainings."""
        template = self.recipe.run.template
        hyper = template.hyperparameters
        return {
            "task": self.recipe.engine.task,
            "model": template.base_model.architecture,
            "imgsz": trained.image_size,
            "epochs": hyper.epochs,
            "batch": hyper.batch_size,
            "seed": hyper.seed,
        }

    def evaluate(self, data: Prepared, trained: Trained) -> dict[str, SplitResult]:
        """How good the best epoch is on dev and, once, on test."""
        return self.recipe.evaluate(data, trained)

    def export(
        self, data: Prepared, trained: Trained, results: Mapping[str, SplitResult]
    ) -> list[Path]:
        """Write model.pth, config.yaml, metrics.json and the pictures."""
        return self.recipe.export(data, trained, dict(results))

    def publish(
        self, files: list[Path], trained: Trained, results: Mapping[str, SplitResult]
    ) -> LastWords:
        """Put them into `results`, `manifest.json` last, and say what comes next."""
        words = self.recipe.publish(files, trained, dict(results))
        _log.info("the model, its metrics and pictures are in %s", shown(self.places.results))
        _log.info("next: %s", self.next_command())
        return words

    @property
    def _folder(self) -> Path:
        return self.places.engine(self.recipe.engine.kind)

    def next_command(self) -> str:
        """What evaluates the checkpoint, as it can be typed here."""
        paths = (self.places.root, self._folder / BEST, self._folder / ARGUMENTS)
        program = os.environ.get("TRAINYARD_PROGRAM") or "trainyard"
        return f"{program} train evaluate {' '.join(map(shown, paths))}"


def shown(path: Path) -> str:
    """A path as it can be typed where the person stands."""
    return shlex.quote(os.path.relpath(path))
