"""Images that look nearly the same, found exactly and without comparing each with each."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from trainyard.api.comparison import NotLookedFor
from trainyard.datasets.columns import Rows, Words

DISTANCE = 8
"""Bits of 256 in which two looks may differ and still count as nearly the same.

Measured on real images. Of 22,000 pairs of different tiles of aerial and microscope images none is
within 52. JPEGs of quality 75 are within 8 of their originals in 90% to 100% of the cases, copies
of half the size in 90% at 640 pixels a side, 64% at 320 and 22% at 200; with a border of 2% cut
off, in 33% at best: this finds what was written anew, not what was cropped. Digits of 8 x 8 pixels,
which all look alike, have 144 such pairs in 1.6 million: 21 of 299 are like one of 1,199 others.
"""
FEWEST_BITS = 24
"""A look with fewer bits set, or with fewer that are not, says too little: the image is flat, or
one slope."""
MOST_ROWS = 1_000_000
"""Looks that are held in memory, of dev and test together, at 113 bytes each."""
MOST_COMPARED_WITH = 10_000_000
"""Rows of train."""
MOST_CANDIDATES = 100_000_000
"""Pairs that are compared in full, at about 0.1 microseconds each. 60,000 handwritten digits and
10,000 others, which all look alike, have 1.6 million."""

_BANDS = DISTANCE + 1
_AT_ONCE = 1 << 18
_LOOK_BITS = 256
_NONE = np.iinfo(np.uint8).max
# Odd numbers without a pattern: the fractional parts of the square roots of 2, 3, 5 and 7.
_FACTORS = np.array(
    [0x6A09E667F3BCC909, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1], np.uint64
)


class Looks:
    """The looks of a split, to be compared with those of train.

    Two looks that differ in at most `DISTANCE` bits agree in at least one of `DISTANCE + 1` bands
    (the pigeonhole principle): only rows that agree in a band are compared in full. A band takes
    every ninth bit, for neighbouring bits say nearly the same.

    Parameters
    ----------
    looks
        uint64 [N, 4].
    looked
        bool [N]: whether there is one.
    """

    def __init__(self, looks: Words, looked: npt.NDArray[np.bool_]) -> None:
        self._looks = looks
        self._rows = np.flatnonzero(looked & _telling(looks)).astype(np.int32)
        self._bands: list[tuple[npt.NDArray[np.uint32], npt.NDArray[np.int32]]] = []
        for keys in _band_keys(looks[self._rows]):
            order = np.argsort(keys, kind="stable")
            self._bands.append((keys[order], self._rows[order]))
        self._candidates = 0
        self._distance = np.full(len(looks), _NONE, np.uint8)
        self._nearest = np.full(len(looks), -1, np.int64)

    def compare(self, train: Rows) -> None:
        """Look for rows of train that are near."""
        rows = np.flatnonzero(train.looked & _telling(train.looks))
        if not len(self._rows) or not len(rows):
            return
        looks = train.looks[rows]
        for (keys, held), unsorted in zip(self._bands, _band_keys(looks), strict=True):
            # Sorted, neighbouring look-ups touch neighbouring memory.
            order = np.argsort(unsorted)
            wanted = unsorted[order]
            first = np.searchsorted(keys, wanted)
            found = np.flatnonzero(keys[np.minimum(first, len(keys) - 1)] == wanted)
            first = first[found]
            count = np.searchsorted(keys, wanted[found], "right") - first
            self._candidates += int(count.sum())
            if self._candidates > MOST_CANDIDATES:
                return
            for mine, index in _pairs(order[found], first, count):
                self._note(held[index], looks[mine], train.start + rows[mine])

    def near(
        self, but: npt.NDArray[np.bool_]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | NotLookedFor:
        """Rows that have a near one in train, the nearest first, and the row of train of each.

        Parameters
        ----------
        but
            bool [N]: rows that do not count.
        """
        if self._candidates > MOST_CANDIDATES:
            return NotLookedFor("too many that look a little alike")
        rows = np.flatnonzero((self._distance <= DISTANCE) & ~but)
        rows = rows[np.argsort(self._distance[rows], kind="stable")]
        return rows, self._nearest[rows]

    def _note(
        self, held: npt.NDArray[np.int32], looks: Words, train: npt.NDArray[np.int64]
    ) -> None:
        """Keep the nearest of train for each row; of equally near ones the first."""
        different = np.bitwise_count(self._looks[held] ^ looks).sum(axis=1, dtype=np.uint16)
        near = np.flatnonzero(different <= DISTANCE)
        held, distance, train = held[near], different[near].astype(np.uint8), train[near]
        order = np.lexsort((train, distance, held))
        held, distance, train = held[order], distance[order], train[order]
        first = np.flatnonzero(np.r_[True, held[1:] != held[:-1]][: len(held)])
        held, distance, train = held[first], distance[first], train[first]
        known, nearest = self._distance[held], self._nearest[held]
        better = (distance < known) | ((distance == known) & (train < nearest))
        self._distance[held[better]] = distance[better]
        self._nearest[held[better]] = train[better]


def _telling(looks: Words) -> npt.NDArray[np.bool_]:
    """Whether looks have enough to say."""
    bits = np.bitwise_count(looks).sum(axis=1, dtype=np.uint16)
    telling: npt.NDArray[np.bool_] = (bits >= FEWEST_BITS) & (bits <= _LOOK_BITS - FEWEST_BITS)
    return telling


def _band_keys(looks: Words) -> Iterator[npt.NDArray[np.uint32]]:
    """Each band of each look as a number, uint32 [N] a band.

    The 28 or 29 bits of a band are hashed to 32 (multiply and add, the upper half): looks that
    agree in the band have the same number, and of those that do not hardly any.
    """
    for masks in _MASKS:
        mixed = np.zeros(len(looks), np.uint64)
        for column, (mask, factor) in enumerate(zip(masks, _FACTORS, strict=True)):
            mixed += (looks[:, column] & mask) * factor
        yield (mixed >> np.uint64(32)).astype(np.uint32)


def _masks() -> Words:
    """Which bits of a look are in each band: uint64 [bands, 4]."""
    bits = np.arange(_LOOK_BITS) % _BANDS == np.arange(_BANDS)[:, None]
    return np.packbits(bits, axis=1).view(np.uint64)


_MASKS = _masks()


def _pairs(
    mine: npt.NDArray[np.int64], first: npt.NDArray[np.int64], count: npt.NDArray[np.int64]
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Each of `mine` with each of its `count` neighbours from `first` on, a bounded number a time.

    One of `mine` may have more neighbours than that; then they come in several parts.
    """
    ends = np.cumsum(count)
    total = int(ends[-1]) if len(ends) else 0
    for start in range(0, total, _AT_ONCE):
        places = np.arange(start, min(start + _AT_ONCE, total))
        owner = np.searchsorted(ends, places, "right")
        within = places - (ends[owner] - count[owner])
        yield mine[owner], first[owner] + within
