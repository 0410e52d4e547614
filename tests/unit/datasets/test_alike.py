"""Looks that are near are all found, and nothing else: against comparing each with each."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from trainyard.datasets import alike
from trainyard.datasets.alike import DISTANCE, FEWEST_BITS, Looks
from trainyard.datasets.columns import Rows, Words


def rows(looks: Words, start: int = 0) -> Rows:
    """Rows of train with these looks."""
    keys = np.zeros((len(looks), 2), np.uint64)
    groups = pa.nulls(len(looks), pa.string())
    return Rows(start, keys, groups, looks, np.ones(len(looks), np.bool_))


def clusters(generator: np.random.Generator, count: int, centres: Words) -> Words:
    """Looks around `centres`, with 0 to 12 bits flipped at any places."""
    bits = np.unpackbits(centres.view(np.uint8).reshape(-1, 32), axis=1)
    chosen = bits[generator.integers(0, len(centres), count)]
    for row, flips in zip(chosen, generator.integers(0, 13, count), strict=True):
        row[generator.choice(256, flips, replace=False)] ^= 1
    return np.packbits(chosen, axis=1).view(np.uint64)


@pytest.mark.parametrize("seed", range(5))
def test_the_same_are_found_as_by_comparing_each_with_each(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alike, "_AT_ONCE", 50)
    generator = np.random.default_rng(seed)
    # Few bits set, so that they agree in many bands by chance, as real looks do.
    bits = generator.random((40, 256)) < 0.15
    centres = np.packbits(bits, axis=1).view(np.uint64)
    held, train = (clusters(generator, count, centres) for count in (300, 700))
    looked = generator.random(300) < 0.9
    but = generator.random(300) < 0.1

    looks = Looks(held, looked)
    for start in range(0, 700, 100):
        looks.compare(rows(train[start : start + 100], start))
    found = looks.near(but)
    assert not isinstance(found, alike.NotLookedFor)

    def telling(words: Words) -> np.ndarray:
        return np.bitwise_count(words).sum(axis=1) >= FEWEST_BITS

    distances = np.bitwise_count(held[:, None] ^ train[None]).sum(axis=2).astype(int)
    distances[~(looked & telling(held))] = 999
    distances[:, ~telling(train)] = 999
    nearest, least = distances.argmin(axis=1), distances.min(axis=1)
    expected = [row for row in np.argsort(least, kind="stable") if least[row] <= DISTANCE]
    expected = [row for row in expected if not but[row]]
    assert 50 < len(expected) < 290
    assert found[0].tolist() == expected
    assert found[1].tolist() == nearest[expected].tolist()


def test_many_that_are_all_alike_are_compared_a_bounded_number_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alike, "_AT_ONCE", 7)
    look = np.random.default_rng(1).integers(0, 2**63, (1, 4)).astype(np.uint64)
    looks = Looks(np.repeat(look, 20, axis=0), np.ones(20, np.bool_))
    looks.compare(rows(np.repeat(look, 30, axis=0)))
    found = looks.near(np.zeros(20, np.bool_))
    assert not isinstance(found, alike.NotLookedFor)
    assert found[0].tolist() == list(range(20))
    assert set(found[1].tolist()) == {0}


def test_nothing_is_near_where_nothing_is() -> None:
    none = np.zeros((0, 4), np.uint64)
    looks = Looks(none, np.zeros(0, np.bool_))
    looks.compare(rows(none))
    found = looks.near(np.zeros(0, np.bool_))
    assert not isinstance(found, alike.NotLookedFor)
    assert (found[0].tolist(), found[1].tolist()) == ([], [])
