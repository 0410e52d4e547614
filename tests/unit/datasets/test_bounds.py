"""A dataset over the operator's limits ends early, and leaves nothing half-done."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.datasets.test_resume import Fragile, Killed, at, make, run_file
from tests.unit.labelled import BUCKET, image_bytes, put
from tests.unit.sources import selection
from trainyard.datasets.errors import DatasetTooLarge
from trainyard.datasets.reading import read_snapshot
from trainyard.stores import Store

SIZE = len(image_bytes(0))
"""Bytes of each image: noise of the same size."""

WHAT_TO_DO = (
    "narrow them (a longer prefix, or a filter by classes, search or limit), make several "
    "Datasets, or have the setting raised"
)


@pytest.fixture(scope="module")
def source(store: Store) -> str:
    """Thirty images, and two copies."""
    files = {f"a/{n:02}.png": image_bytes(n) for n in range(30)}
    put(store, "bounds", files | {f"a/copy-{n}.png": image_bytes(n) for n in range(2)})
    return "bounds"


def total(store: Store, source: str) -> int:
    return sum(entry.size for entry in store.list(f"s3://{BUCKET}/{source}"))


def left(store: Store, output: str) -> list[str]:
    """What is below a folder, without shards: they are named by content and shared."""
    uris = [entry.uri for entry in store.list(f"s3://{BUCKET}/{output}")]
    return [uri for uri in uris if "/shards/" not in uri]


FILTERS: dict[str, dict[str, Any]] = {
    "classes": {"classes": ["a"]},
    "search": {"search": "a/"},
    "limit": {"limit": 31, "seed": 4},
}


def test_too_many_listed_images_are_noticed_before_one_is_read(
    store: Store, source: str, prefix: str
) -> None:
    watched = Fragile(store)
    run = run_file(source, f"{prefix}-out", limits={"max_samples": 31})
    with pytest.raises(DatasetTooLarge) as caught:
        make(watched, run)
    assert str(caught.value) == (
        "the selections take 32 images, more than the 31 that the operator's setting "
        f"datasets.maxSamples allows: {WHAT_TO_DO}"
    )
    assert watched.read == []
    assert list(store.list(run.output)) == []


def test_too_many_listed_bytes_are_noticed_before_one_is_read(
    store: Store, source: str, prefix: str
) -> None:
    watched, size = Fragile(store), total(store, source)
    run = run_file(source, f"{prefix}-out", limits={"max_bytes": size - 1})
    with pytest.raises(DatasetTooLarge) as caught:
        make(watched, run)
    assert str(caught.value) == (
        f"the selections take {size} bytes of images, more than the {size - 1} that the "
        f"operator's setting datasets.maxSize allows: {WHAT_TO_DO}"
    )
    assert watched.read == []
    assert list(store.list(run.output)) == []


@pytest.mark.parametrize("wanted", [{}, *FILTERS.values()], ids=["no filter", *FILTERS])
def test_what_is_at_the_limit_is_taken(
    store: Store, source: str, prefix: str, wanted: dict[str, Any]
) -> None:
    limits = {"max_samples": 32, "max_bytes": total(store, source)}
    chosen = selection(source, filter=wanted)
    made = make(store, run_file(source, f"{prefix}-out", chosen, limits=limits))
    assert read_snapshot(store, made.location).samples == 30


@pytest.mark.parametrize("wanted", FILTERS.values(), ids=FILTERS)
@pytest.mark.parametrize("limit", ["max_samples", "max_bytes"])
def test_too_many_that_a_filter_takes_end_it_while_they_are_read(
    store: Store, source: str, prefix: str, wanted: dict[str, Any], limit: str
) -> None:
    limits = {limit: 9 if limit == "max_samples" else 9 * SIZE}
    run = run_file(source, f"{prefix}-out", selection(source, filter=wanted), limits=limits)
    setting = r"at least 10 images, .* datasets\.maxSamples"
    if limit == "max_bytes":
        setting = rf"at least \d+ bytes of images, more than the {9 * SIZE} .* datasets\.maxSize"
    with pytest.raises(DatasetTooLarge, match=f"the selections take {setting} allows: narrow"):
        make(store, run)
    assert left(store, f"{prefix}-out") == []


def test_selections_count_together(store: Store, source: str, prefix: str) -> None:
    put(store, f"{prefix}/more", {f"b/{n}.png": image_bytes(100 + n) for n in range(4)})
    both = [selection(f"{prefix}/more", filter={"search": "b"}), selection(source)]
    with pytest.raises(DatasetTooLarge, match=r"at least 34 images, more than the 33 "):
        make(store, run_file(source, f"{prefix}-out", *both, limits={"max_samples": 33}))


def test_a_killed_snapshot_counts_what_an_earlier_attempt_read(
    store: Store, source: str, prefix: str
) -> None:
    chosen = selection(source, filter={"search": "a/"})
    run = run_file(source, f"{prefix}-out", chosen, limits={"max_bytes": total(store, source) - 1})
    with pytest.raises(Killed):
        make(Fragile(store, at("upload", "/00000003.jsonl.gz")), run)
    again = Fragile(store)
    with pytest.raises(DatasetTooLarge, match=r"bytes of images, more than"):
        make(again, run)
    assert 0 < len(again.read) < 30
    assert left(store, f"{prefix}-out") == []
