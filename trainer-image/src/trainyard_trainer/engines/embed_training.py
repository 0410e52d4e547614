"""The training loop of the embedder.

The library has none for vectors. Everything random in an epoch follows from the seed and the
number of the epoch, and a checkpoint holds weights and optimiser in full precision: a run that goes
on from one gives what it would have given without the stop, on the same machine.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import Compose
from ultralytics.utils.autobatch import check_train_batch_size

from trainyard.api.report import EpochReport
from trainyard.api.template import Hyperparameters, Optimizer
from trainyard_trainer.engines import batch_size
from trainyard_trainer.engines.augment import vary_pixels
from trainyard_trainer.engines.base import BEST, LAST, Resume, Saved, Seen, TrainSettings, Watcher
from trainyard_trainer.engines.divergence import check_loss, check_weights
from trainyard_trainer.engines.embedding import ArcFace, EmbeddingNetwork
from trainyard_trainer.engines.seen import FirstSeen, whole_images
from trainyard_trainer.saving import save

_AUTO_RATE = 0.002
"""Learning rate of `optimizer: auto`, which takes AdamW."""
_LONGEST_GRADIENT = 10.0
"""Gradients are shortened to this length, as the library does."""


@dataclass
class Progress:
    """How far a training is; part of its checkpoints."""

    epoch: int = 0
    best: float = -math.inf
    best_epoch: int = 0

    def note(self, epoch: int, value: float) -> bool:
        """An epoch is done; says whether it is the best. Of equally good ones the last is."""
        self.epoch = epoch
        better = value >= self.best
        if better:
            self.best, self.best_epoch = value, epoch
        return better


def device_of(settings: TrainSettings) -> torch.device:
    """Where a network is trained and judged."""
    return torch.device("cpu" if settings.device == "cpu" else f"cuda:{settings.device}")


class Training:
    """Trains a network in place; its folder then holds the last epoch and the best.

    Parameters
    ----------
    network
        With random weights, on the CPU.
    settings
        What to train and how.
    images
        A folder of folders, one an identity.
    transforms
        From a PIL image to float [3, H, W] in 0..1.
    folder
        For LAST and BEST.
    """

    def __init__(
        self,
        network: EmbeddingNetwork,
        settings: TrainSettings,
        images: Path,
        transforms: Compose,
        folder: Path,
    ) -> None:
        hyper = settings.hyperparameters
        self._settings, self._hyper, self._folder = settings, hyper, folder
        self._device = device_of(settings)
        torch.set_num_threads(settings.threads)
        self._layout = memory_format(self._device)
        self._network = network.to(self._device, memory_format=self._layout)
        loss = ArcFace(len(settings.classes), network.identities.shape[1])
        # What goes on from an earlier model knows where some identities lie; the rest is zero.
        known = network.identities.norm(dim=1) > 0
        loss.weight.data[known] = network.identities[known]
        self._loss = loss.to(self._device)
        self._optimiser = _optimiser(hyper, [*network.parameters(), *loss.parameters()])
        self._loader = _loader(images, transforms, settings, network)
        self._rate = _schedule(hyper, len(self._loader))
        self._progress = Progress()
        self._seen = FirstSeen(settings, whole_images)

    @property
    def seen(self) -> tuple[Seen, ...]:
        """The first images, as they were varied."""
        return tuple(self._seen.images)

    def go_on(self, resume: Resume) -> None:
        """Take up a checkpoint."""
        content = _read(resume.folder / LAST)
        self._network.load_state_dict(content["network"])
        self._loss.load_state_dict(content["loss"])
        self._optimiser.load_state_dict(content["optimiser"])
        self._progress = Progress(content["epoch"], content["best"], content["best_epoch"])
        shutil.copyfile(resume.folder / BEST, self._folder / BEST)

    def run(self, watcher: Watcher, judge: Callable[[EmbeddingNetwork], dict[str, float]]) -> int:
        """Train to the end; gives the number of epochs, over all attempts.

        Parameters
        ----------
        watcher
            Told about every step; may raise.
        judge
            Metrics on dev.
        """
        watcher.started(len(self._loader))
        finished = False
        while not finished:
            began, number = time.monotonic(), self._progress.epoch + 1
            loss, rate = self._epoch(number, watcher)
            check_weights(self._network, self._settings, number, rate)
            self._network.identities.copy_(self._loss.directions().detach())
            metrics = judge(self._network)
            value = metrics[self._settings.primary_metric]
            best = self._progress.note(number, value)
            idle = number - self._progress.best_epoch
            finished = number >= self._hyper.epochs or 0 < self._hyper.patience <= idle
            self._save(best=best)
            watcher.epoch(
                EpochReport(
                    epoch=number,
                    learning_rate=rate,
                    train_loss=loss if math.isfinite(loss) else None,
                    dev_accuracy=value,
                    metrics=metrics,
                    seconds=time.monotonic() - began,
                ),
                Saved((self._folder / LAST, self._folder / BEST), finished),
            )
        return self._progress.epoch

    def _epoch(self, number: int, watcher: Watcher) -> tuple[float, float]:
        """One pass over the train data; its mean loss, and the learning rate at its end."""
        torch.manual_seed(self._hyper.seed + number)
        self._network.train()
        varied, rate = self._settings.variation, 0.0
        total = torch.zeros((), device=self._device)
        for step, (images, truth) in enumerate(self._loader, (number - 1) * len(self._loader)):
            rate = self._rate(step)
            for group in self._optimiser.param_groups:
                group["lr"] = rate
            batch = images.to(self._device, memory_format=self._layout, non_blocking=True)
            batch = vary_pixels(batch, varied.exposure, varied.noise)
            self._seen.look({"img": batch, "cls": truth})
            with autocast(self._hyper.amp, self._device):
                vectors = self._network(batch)
            loss = self._loss(vectors, truth.to(self._device))
            self._optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self._network.parameters(), _LONGEST_GRADIENT)
            self._optimiser.step()
            check_loss(loss, self._settings, number, rate)
            total += loss.detach()
            watcher.step()
        return float(total) / len(self._loader), rate

    def _save(self, *, best: bool) -> None:
        state = {"epoch": self._progress.epoch, "network": self._network.state_dict()}
        if best:
            save(state, self._folder / BEST)
        state |= {
            "best": self._progress.best,
            "best_epoch": self._progress.best_epoch,
            "loss": self._loss.state_dict(),
            "optimiser": self._optimiser.state_dict(),
        }
        save(state, self._folder / LAST)


def best_of(path: Path) -> tuple[int, dict[str, torch.Tensor]]:
    """The epoch and the tensors of a BEST; raises whatever reading it raises."""
    content = _read(path)
    return content["epoch"], content["network"]


def epoch_of(path: Path) -> int:
    """The epoch that a file of a checkpoint is of; raises whatever reading it raises."""
    return int(_read(path)["epoch"])


def _read(path: Path) -> dict[str, Any]:
    """Tensors and numbers only: no code is in these files."""
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return content


def _loader(
    images: Path, transforms: Compose, settings: TrainSettings, network: EmbeddingNetwork
) -> DataLoader[Any]:
    dataset = ImageFolder(str(images), transforms)
    size = settings.hyperparameters.batch_size
    if batch_size.is_automatic(settings):
        size = batch_size.choose(
            partial(_measure, network, settings.hyperparameters), len(dataset), settings
        )
    return DataLoader(
        dataset,
        batch_size=size,
        shuffle=True,
        num_workers=0 if settings.device == "cpu" else settings.workers,
        pin_memory=settings.device != "cpu",
        # A batch of one has no statistics to normalise by.
        drop_last=len(dataset) % size == 1 and len(dataset) > 1,
    )


def _measure(network: EmbeddingNetwork, hyper: Hyperparameters) -> int:
    """Images that fill the GPU; what follows the backbone is small."""
    found: int = check_train_batch_size(
        network.backbone,
        imgsz=hyper.image_size,
        amp=torch.bfloat16 if hyper.amp and torch.cuda.is_bf16_supported() else False,
        batch=batch_size.SHARE_OF_MEMORY,
    )
    return found


def _optimiser(hyper: Hyperparameters, parameters: list[torch.nn.Parameter]) -> Any:
    rate, decay = hyper.learning_rate, hyper.weight_decay
    match hyper.optimizer:
        case Optimizer.SGD:
            return torch.optim.SGD(
                parameters, rate, hyper.momentum, weight_decay=decay, nesterov=hyper.momentum > 0
            )
        case Optimizer.ADAM:
            return torch.optim.Adam(parameters, rate, (hyper.momentum, 0.999), weight_decay=decay)
        case Optimizer.RMSPROP:
            return torch.optim.RMSprop(
                parameters, rate, momentum=hyper.momentum, weight_decay=decay
            )
        case _:
            return torch.optim.AdamW(parameters, rate, (hyper.momentum, 0.999), weight_decay=decay)


def _schedule(hyper: Hyperparameters, steps: int) -> Callable[[int], float]:
    """The learning rate of each step: it rises while warming up, then falls in a line."""
    first = _AUTO_RATE if hyper.optimizer is Optimizer.AUTO else hyper.learning_rate
    last = hyper.final_learning_rate_fraction
    whole = max(1, hyper.epochs * steps)
    # Not longer than a third of the run: a short one would end before it reached its rate.
    warm = min(hyper.warmup_epochs, hyper.epochs / 3) * steps

    def rate(step: int) -> float:
        falling = first * ((1 - step / whole) * (1 - last) + last)
        return falling * min(1.0, (step + 1) / warm) if warm >= 1 else falling

    return rate


def memory_format(device: torch.device) -> torch.memory_format:
    """How images lie in memory: on a GPU pixel by pixel, which its tensor cores are made for."""
    return torch.channels_last if device.type == "cuda" else torch.contiguous_format


def autocast(wanted: bool, device: torch.device) -> Any:
    """Mixed precision on a GPU that has bfloat16."""
    if wanted and device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", torch.bfloat16)
    return nullcontext()
