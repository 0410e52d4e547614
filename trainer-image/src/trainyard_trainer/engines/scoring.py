"""What the scores of all kinds of models share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from trainyard_trainer.engines.base import Curve

RECALLS = np.linspace(0, 1, 101)
"""Where the precision of a curve is given."""

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def finite(value: float) -> float:
    """`value`, or 0 where the library divides nothing by nothing."""
    number = float(value)
    return number if math.isfinite(number) else 0.0


def curve_of(recalls: Floats, precisions: Floats) -> Curve:
    """Precision at `RECALLS`, of a curve of the library, given at rising recalls.

    Its last point is 0 whatever was found, to close the area: the one before it is taken.
    """
    at = np.minimum(RECALLS, recalls[-2])
    return tuple(round(finite(p), 4) for p in np.interp(at, recalls, precisions))


def joined(arrays: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """One array of those of all images; there may be none."""
    return np.concatenate(arrays) if arrays else np.zeros(0, dtype=np.int64)
