"""Ends a training that diverged: from a loss or weights that are no numbers nothing is learnt."""

from __future__ import annotations

import math

import torch

from trainyard.api.template import Optimizer
from trainyard_trainer.engines.base import TrainSettings
from trainyard_trainer.faults import LossNotFinite


def check_loss(loss: torch.Tensor, settings: TrainSettings, epoch: int, rate: float) -> None:
    """To be called after each step.

    Parameters
    ----------
    loss
        Of the step, one number.
    settings
        What is trained and how.
    epoch
        Number of the epoch, from 1.
    rate
        Learning rate of the step.

    Raises
    ------
    LossNotFinite
        If it is NaN or infinite.
    """
    value = float(loss.detach())
    if not math.isfinite(value):
        kind = "NaN" if math.isnan(value) else "infinite"
        raise LossNotFinite(f"the train loss became {kind} {_when(settings, epoch, rate)}")


def check_weights(model: torch.nn.Module, settings: TrainSettings, epoch: int, rate: float) -> None:
    """To be called after each epoch, for the last step of it.

    Parameters
    ----------
    model
        The weights that would be kept.
    settings, epoch, rate
        As in `check_loss`.

    Raises
    ------
    LossNotFinite
        If there is a NaN or an infinite number among them.
    """
    for tensor in model.state_dict().values():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise LossNotFinite(
                f"the weights are no numbers any more {_when(settings, epoch, rate)}"
            )


def _when(settings: TrainSettings, epoch: int, rate: float) -> str:
    hyper = settings.hyperparameters
    change = (
        "choose an optimizer other than auto and a small hyperparameters.learningRate"
        if hyper.optimizer is Optimizer.AUTO
        else "make hyperparameters.learningRate smaller or warmupEpochs longer"
    )
    precision = ", or set amp: false" if hyper.amp and settings.device != "cpu" else ""
    return f"in epoch {epoch} at the learning rate {rate:.3g}: {change}{precision}"
