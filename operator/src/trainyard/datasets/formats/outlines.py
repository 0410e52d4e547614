"""Outlines of objects: of run-length encoded masks, and one ring of several parts."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import nullcontext

import cv2
import numpy as np
import numpy.typing as npt

from trainyard.datasets.labels import MOST_POINTS

Ring = npt.NDArray[np.float64]
"""float64 [N, 2]: x and y of each point, in pixels from the left and upper edge."""

# Pixels of an image whose mask may be unpacked while others are; larger ones take turns.
_LARGE = 4_000_000
_turns = threading.Lock()
# Distances that are in memory at once.
_AT_ONCE = 1 << 20


class BadMask(Exception):
    """A mask that cannot be used; the text says what it is, and not whose."""


def outline(counts: str | Sequence[int], width: int, height: int) -> Ring | None:
    """The outline of a run-length encoded mask, `joined` of its parts; None if it is empty.

    See `mask_of` for the parameters.

    Raises
    ------
    BadMask
        If the runs do not fill the image, or the outline has too many points.
    """
    with _turns if width * height > _LARGE else nullcontext():
        parts = parts_of(mask_of(counts, width, height))
    return joined(parts) if parts else None


def mask_of(counts: str | Sequence[int], width: int, height: int) -> npt.NDArray[np.bool_]:
    """A run-length encoded mask.

    Parameters
    ----------
    counts
        Lengths of the runs that are off and on by turns, down each column from left to right;
        or the text that COCO packs them into. After `maskApi.c` of pycocotools, which does not
        check that the runs fill the image.
    width, height
        Of the image, in pixels.

    Returns
    -------
    ndarray
        bool [height, width].

    Raises
    ------
    BadMask
        If the runs do not fill the image.
    """
    runs = _unpacked(counts) if isinstance(counts, str) else list(counts)
    if any(type(run) is not int or run < 0 for run in runs):
        raise BadMask("its run lengths are not whole numbers from 0")
    if sum(runs) != width * height:
        raise BadMask(
            f"its runs cover {sum(runs)} pixels, but {width} x {height} are {width * height}"
        )
    on = np.arange(len(runs)) % 2 == 1
    return np.repeat(on, runs).reshape(width, height).T


def parts_of(mask: npt.NDArray[np.bool_]) -> list[Ring]:
    """Outer outlines of a mask's parts, on the edges of its pixels; holes are filled.

    Where the edge turns inwards the corner may be cut, so that no point of an outline is further
    than half a pixel from the mask's edge. Parts that touch at a corner are one.

    Parameters
    ----------
    mask
        bool [H, W].
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return []
    top, left = int(rows[0]), int(columns[0])
    inside = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    # The corners of pixels are points of their own: pixel (r, c) fills rows 2r to 2r + 2, so that
    # the outline, which runs over the outermost points, is the pixels' edge.
    lattice = np.zeros((2 * inside.shape[0] + 1, 2 * inside.shape[1] + 1), np.uint8)
    for down in range(3):
        for right in range(3):
            target = lattice[
                down : down + 2 * inside.shape[0] : 2, right : right + 2 * inside.shape[1] : 2
            ]
            np.bitwise_or(target, inside, out=target, casting="unsafe")
    found, _ = cv2.findContours(lattice, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    offset = np.array((left, top), np.float64)
    return [contour[:, 0, :].astype(np.float64) / 2 + offset for contour in found]


def joined(parts: Sequence[Ring]) -> Ring:
    """One ring of several: the largest, with each of the others hung in by a bridge of no width.

    The others follow by area, the largest first. A bridge connects the two points that are
    nearest to each other and is walked there and back. Filling the ring fills all parts.

    Raises
    ------
    BadMask
        If there are too many points.
    """
    if sum(map(len, parts)) > MOST_POINTS:
        raise BadMask(f"its outline has more than {MOST_POINTS} points")
    # Sorting keeps the order of equals, so that the same parts give the same ring.
    first, *others = sorted(parts, key=area, reverse=True)
    ring = first
    for part in others:
        here, there = _nearest(ring, part)
        walk = np.roll(part, -there, axis=0)
        ring = np.concatenate((ring[: here + 1], walk, walk[:1], ring[here:]))
    return ring


def _nearest(ring: Ring, part: Ring) -> tuple[int, int]:
    """Indices of the two points that are nearest to each other; of equals the first."""
    best = (np.inf, 0, 0)
    step = max(1, _AT_ONCE // len(part))
    for start in range(0, len(ring), step):
        block = ring[start : start + step]
        distances = np.square(block[:, None, :] - part[None, :, :]).sum(axis=2)
        index = int(distances.argmin())
        here, there = divmod(index, len(part))
        if distances[here, there] < best[0]:
            best = (float(distances[here, there]), start + here, there)
    return best[1], best[2]


def area(ring: Ring) -> float:
    """What the ring encloses, in square pixels."""
    x, y = ring[:, 0], ring[:, 1]
    return abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))) / 2


def _unpacked(text: str) -> list[int]:
    """Run lengths from COCO's text: six bits a character, from the third on as differences."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 30:
            raise BadMask(f"its text has {character!r}, which packs no run length")
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        # pycocotools takes the difference from two runs before, but not for the third.
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise BadMask("its text ends in the middle of a run length")
    return runs
