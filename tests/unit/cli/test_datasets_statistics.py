"""Numbers about many samples, in memory that does not grow with them."""

from __future__ import annotations

import random
from contextlib import closing

import numpy as np
import pytest

from trainyard.cli.data import statistics
from trainyard.cli.data.statistics import LEVELS, Quantiles, Statistics
from trainyard.datasets.labels import Label


def test_quantiles_of_few_numbers_are_exact() -> None:
    values = [random.Random(1).gauss(10, 3) for _ in range(999)]
    quantiles = Quantiles()
    for value in values:
        quantiles.add(value)
    assert quantiles.told() == pytest.approx(np.quantile(values, LEVELS), rel=1e-5)


def test_quantiles_of_very_many_are_close_and_their_ends_exact(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(statistics, "EXACT_UP_TO", 2_000)
    quantiles = Quantiles()
    # In rising order: a reservoir that kept the first ones would be far off.
    for value in range(100_000):
        quantiles.add(value)
    least, low, middle, high, most = quantiles.told()
    assert (least, most) == (0, 99_999)
    assert low == pytest.approx(5_000, abs=2_000)
    assert middle == pytest.approx(50_000, abs=4_000)
    assert high == pytest.approx(95_000, abs=2_000)


def test_no_numbers_have_no_quantiles() -> None:
    assert Quantiles().told() == ()


def test_sizes_of_boxes_and_polygons_are_those_of_what_surrounds_them() -> None:
    with closing(Statistics()) as counted:
        box = Label("class", "cat", "box", (0.1, 0.2, 0.6, 0.4))
        polygon = Label("class", "dog", "polygon", (0.1, 0.2, 0.6, 0.2, 0.3, 0.4))
        counted.add(200, 100, [box, polygon, Label("class", "cat", "image")], "a")
        counted.add(200, 100, [], None)
        assert counted.box_width.told() == pytest.approx([100] * 5)
        assert counted.box_height.told() == pytest.approx([20] * 5)
        assert counted.box_area.told() == pytest.approx([0.1] * 5)
        assert counted.labels == {("class", "cat"): 2, ("class", "dog"): 1}
        assert counted.images == {("class", "cat"): 1, ("class", "dog"): 1}
        assert (counted.samples, counted.without_labels, counted.annotations) == (2, 1, 3)
        groups = counted.groups()
        assert (groups.count, groups.largest, groups.without) == (1, ("a", 1), 1)
