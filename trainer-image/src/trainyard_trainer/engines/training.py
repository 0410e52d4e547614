"""One training by ultralytics: its arguments, its callbacks, and how it goes on from a checkpoint.

Resuming is not bit-exact. The library's last.pt holds the averaged weights (EMA) in half precision,
with which both the model and its average go on; the optimiser's state, the learning-rate schedule,
the best fitness and the count of epochs without improvement go on as they were. The order of the
images and the random numbers are others than those of an undisturbed run.
"""

from __future__ import annotations

import copy
import logging
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ultralytics.nn.tasks import load_checkpoint

from trainyard.api.report import EpochReport
from trainyard.api.template import Optimizer
from trainyard_trainer.engines import batch_size
from trainyard_trainer.engines.augment import vary_pixels
from trainyard_trainer.engines.base import LAST, Resume, Saved, TrainSettings, Watcher
from trainyard_trainer.engines.divergence import check_loss, check_weights
from trainyard_trainer.engines.fine_tuning import take_over
from trainyard_trainer.engines.scoring import finite
from trainyard_trainer.engines.seen import FirstSeen

_log = logging.getLogger("trainyard")


class Varied:
    """Mixed into a trainer of the library: our augmentation, our choice of the best epoch."""

    settings: TrainSettings
    seen: FirstSeen
    fitness_key: str
    class_rows: Callable[[dict[str, Any]], frozenset[str]]
    """Names of the tensors that have a row for each class."""

    def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = True) -> Any:
        """A new model; one that starts from an earlier one begins with what that has learnt.

        With `weights` it is that of a checkpoint, which has learnt more.
        """
        make, base = super().get_model, self.settings.base  # type: ignore[misc]
        if base is None or weights is not None:
            return make(cfg, weights, verbose)
        model = make(copy.deepcopy(base.layers), None, verbose)
        take_over(model, base, self.settings.classes, self.class_rows(base.layers))
        return model

    def auto_batch(self) -> int:
        """The number of images of a batch, if it is automatic. Each batch is one step then too."""
        images = len(self.build_dataset(self.data["train"], mode="train", batch=1))  # type: ignore[attr-defined]
        size = batch_size.choose(super().auto_batch, images, self.settings)  # type: ignore[misc]
        if "nbs" not in self.settings.extra:
            self.args.nbs = size  # type: ignore[attr-defined]
        return size

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Vary the pixels of a train batch, images float [B, 3, H, W] in 0..1."""
        batch = super().preprocess_batch(batch)  # type: ignore[misc]
        varied = self.settings.variation
        batch["img"] = vary_pixels(batch["img"], varied.exposure, varied.noise)
        self.seen.look(batch)
        return batch

    def validate(self) -> tuple[dict[str, float] | None, float | None]:
        """Evaluate on dev; the best epoch is the one with the best primary metric."""
        before = self.best_fitness  # type: ignore[has-type]
        # Before the library puts numbers in the place of those that are none, and keeps them.
        check_weights(self.ema.ema, self.settings, *_moment(self))  # type: ignore[attr-defined]
        metrics, _ = super().validate()  # type: ignore[misc]
        if metrics is None:
            return None, None
        fitness = finite(metrics[self.fitness_key])
        self.best_fitness = fitness if before is None else max(before, fitness)
        return metrics, fitness

    def read_results_csv(self) -> dict[str, Any]:
        """Nothing: metrics.jsonl has it, and reading the library's table costs an import."""
        return {}

    def final_eval(self) -> None:
        """Nothing: the finished model is evaluated as it is published, by the recipe."""


def arguments(settings: TrainSettings, suffix: str, data: Path, folder: Path) -> dict[str, Any]:
    """What the library is told for a training.

    Parameters
    ----------
    settings
        What to train and how.
    suffix
        What the library appends to the name of an architecture.
    data, folder
        The dataset as the library reads it, and where it writes.
    """
    hyper, variation = settings.hyperparameters, settings.variation
    return {
        "model": f"{settings.architecture}{suffix}.yaml",
        "data": str(data),
        "project": str(folder),
        "name": "train",
        "exist_ok": True,
        "device": settings.device,
        "workers": settings.workers,
        "epochs": hyper.epochs,
        "batch": batch_size.MEASURED if batch_size.is_automatic(settings) else hyper.batch_size,
        # Each batch is one step: without this, gradients are summed up to 64 images.
        "nbs": hyper.batch_size,
        "imgsz": hyper.image_size,
        "optimizer": hyper.optimizer.value,
        "lr0": hyper.learning_rate,
        "lrf": hyper.final_learning_rate_fraction,
        "momentum": hyper.momentum,
        "weight_decay": hyper.weight_decay,
        "warmup_epochs": hyper.warmup_epochs,
        "patience": hyper.patience,
        "seed": hyper.seed,
        "deterministic": True,
        "amp": _precision(hyper.amp, settings.device),
        "pretrained": False,
        "conf": settings.confidence,
        "iou": settings.iou,
        "plots": False,
        "verbose": False,
        "cache": False,
        "degrees": variation.rotation_degrees,
        "scale": variation.scale,
        "fliplr": variation.flip,
        "flipud": variation.vertical_flip,
        "mosaic": variation.mosaic,
        # The library's 10 would leave nothing of it in a short run.
        "close_mosaic": min(10, hyper.epochs // 10),
        # What a template does not ask for does not happen.
        **dict.fromkeys(_OTHER_VARIATIONS, 0.0),
        "auto_augment": None,
        **settings.extra,
    }


_OTHER_VARIATIONS = (
    "hsv_h",
    "hsv_s",
    "hsv_v",
    "translate",
    "shear",
    "perspective",
    "bgr",
    "mixup",
    "cutmix",
    "copy_paste",
    "erasing",
)


def go_on(trainer: Any, resume: Resume) -> None:
    """Have a new trainer of the library go on from a checkpoint.

    The library's own `resume=PATH` takes all arguments from the checkpoint, but for a list of its
    own that lacks `nbs`: a smaller batch would not be a step of its own any more. So the trainer
    is made with the arguments of this run, and only its model is the checkpoint.

    Both files are pickles. They are loaded (here and by the library) from where they were put
    after their SHA-256 was found to be the one that the operator named.
    """
    for path in (trainer.last, trainer.best):
        shutil.copyfile(resume.folder / path.name, path)
    trainer.model = str(trainer.last)
    trainer.resume = True


def arguments_of(resume: Resume, settings: TrainSettings) -> dict[str, Any]:
    """Arguments that a training which goes on takes from what was before.

    What `optimizer: auto` chose depends on the number of steps, which another batch size changes;
    another optimiser could not go on with the state of the first. The seed moves on, so that a
    run stopped often does not see the same variations of the images again and again.
    """
    chosen: dict[str, Any] = {"seed": settings.hyperparameters.seed + len(resume.history)}
    if settings.hyperparameters.optimizer is Optimizer.AUTO:
        # Verified: see `go_on`.
        _, content = load_checkpoint(resume.folder / LAST)
        made = content["train_args"]
        chosen |= {name: made[name] for name in ("optimizer", "lr0", "warmup_bias_lr")}
    return chosen


class Reports:
    """Turns the library's end of an epoch into a report, once an epoch.

    Parameters
    ----------
    metrics, primary
        Our names of metrics -> the library's; the one that the best epoch is chosen by.
    history
        The epochs that were done before.
    watcher
        Who is told.
    """

    def __init__(
        self,
        metrics: Mapping[str, str],
        primary: str,
        history: Sequence[EpochReport],
        watcher: Watcher,
    ) -> None:
        self._metrics, self._primary, self._watcher = metrics, primary, watcher
        self._best = -math.inf
        self.best_epoch = 0
        self.last_epoch = 0
        for report in history:
            self._note(report.epoch, report.dev_accuracy or 0.0)

    def _note(self, epoch: int, value: float) -> None:
        self.last_epoch = epoch
        # The library keeps the last of equally good epochs.
        if value >= self._best:
            self._best, self.best_epoch = value, epoch

    def __call__(self, trainer: Any) -> None:
        """To be called by the library when an epoch and its evaluation are over."""
        epoch = trainer.epoch + 1
        if epoch <= self.last_epoch:
            return
        found = trainer.metrics
        metrics = {name: finite(found[key]) for name, key in self._metrics.items() if key in found}
        losses = trainer.label_loss_items(trainer.tloss)
        value = metrics.get(self._primary, 0.0)
        self._note(epoch, value)
        loss = sum(losses.values())
        self._watcher.epoch(
            EpochReport(
                epoch=epoch,
                learning_rate=float(next(iter(trainer.lr.values()))),
                train_loss=loss if math.isfinite(loss) else None,
                dev_accuracy=value,
                metrics=metrics,
                seconds=max(0.0, trainer.epoch_time or 0.0),
            ),
            # This comes after the library saved the epoch and before it begins the next.
            Saved((trainer.last, trainer.best), bool(trainer.stop)),
        )


def _precision(wanted: bool, device: str) -> bool | str:
    """Mixed precision. Plain `True` would download a model to check it, bfloat16 does not."""
    if not wanted or device == "cpu":
        return False
    if torch.cuda.is_bf16_supported():
        return "bf16"
    _log.warning("this GPU has no bfloat16: training in full precision")
    return False


def started(trainer: Any, settings: TrainSettings, watcher: Watcher) -> None:
    """The first batch comes next."""
    torch.set_num_threads(settings.threads)
    watcher.started(len(trainer.train_loader))


def stepped(trainer: Any, settings: TrainSettings, watcher: Watcher) -> None:
    """A step is done; the library itself would try the epoch again, and again."""
    check_loss(trainer.loss, settings, *_moment(trainer))
    watcher.step()


def _moment(trainer: Any) -> tuple[int, float]:
    """Number of the epoch and the learning rate."""
    return trainer.epoch + 1, float(trainer.optimizer.param_groups[0]["lr"])


def keep_batch_size(trainer: Any) -> None:
    """After running out of memory, fail: a silently smaller batch is another training."""
    trainer._oom_retries = 3
