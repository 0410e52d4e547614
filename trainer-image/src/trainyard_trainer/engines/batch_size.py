"""The automatic size of batches on a GPU."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch

from trainyard_trainer.engines.base import TrainSettings

SHARE_OF_MEMORY = 0.6
"""What a batch may fill of the memory that is free: the library measures some sizes and draws a
line through them, and an evaluation needs room too."""
STEPS_AN_EPOCH = 10
"""A batch larger than `batchSize` leaves at least so many steps an epoch: on a large GPU, a small
dataset would be one batch, and hardly anything would be learnt in an epoch."""
MEASURED = -1
"""What tells the library to measure."""

_log = logging.getLogger("trainyard")


def is_automatic(settings: TrainSettings) -> bool:
    """Whether the size is to be measured: never on a CPU, whose memory is not all ours."""
    return settings.hyperparameters.automatic_batch_size and settings.device != "cpu"


def choose(measure: Callable[[], int], images: int, settings: TrainSettings) -> int:
    """The number of images of a batch.

    Parameters
    ----------
    measure
        The library's measurement: how many fill `SHARE_OF_MEMORY` of the GPU. At most 1,024.
    images
        Train images.
    settings
        Of the training.

    Raises
    ------
    torch.OutOfMemoryError
        If not even one image fits.
    """
    try:
        fits = measure()
    except RuntimeError as error:
        raise torch.OutOfMemoryError(str(error)) from None
    most = max(settings.hyperparameters.batch_size, images // STEPS_AN_EPOCH)
    size = max(1, min(fits, most))
    _log.info(
        "train: batches of %d: %d images fill %d%% of the GPU's memory, and of %d train images "
        "at most %d go into a batch",
        size,
        fits,
        round(100 * SHARE_OF_MEMORY),
        images,
        most,
    )
    return size
