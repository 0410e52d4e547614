"""What the snapshots of a run hold, and what its splits have in common: one reading of each.

Memory is bounded by the smaller side: dev and test are held with about 40 bytes a sample (and 113
more while looks are compared), train is read a batch of rows at a time and leaves 8 bytes a sample
if it has several snapshots. The manifests lie on this machine's disk meanwhile.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from trainyard.api.comparison import (
    AlikeImages,
    Comparison,
    NotLookedFor,
    SplitContent,
    SplitName,
    SplitPair,
)
from trainyard.datasets.alike import MOST_COMPARED_WITH, MOST_ROWS
from trainyard.datasets.columns import SplitFiles
from trainyard.datasets.held import Held, Meeting
from trainyard.datasets.reading import download_samples
from trainyard.stores.base import Store


def compare_splits(store: Store, splits: Mapping[SplitName, Sequence[str]]) -> Comparison:
    """Compare train with dev and with test, and dev with test.

    Parameters
    ----------
    splits
        Folders of the snapshots of each split; train has at least one.

    Raises
    ------
    StoreError
        If a snapshot cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="trainyard-splits-") as folder:
        files = _fetch(store, splits, Path(folder))
        return compare_files(files)


def compare_files(files: Mapping[SplitName, SplitFiles]) -> Comparison:
    """The same for manifests that lie on this machine."""
    train = files["train"]
    others: list[SplitName] = [name for name in ("dev", "test") if name in files]
    reason = _too_many(files)
    held = {name: Held(files[name], with_looks=not reason) for name in others}
    meetings = {name: Meeting(train, held[name], with_looks=not reason) for name in others}
    keys = np.empty(len(train) if train.united else 0, np.uint64)
    for rows in train.rows():
        if train.united:
            keys[rows.start : rows.start + len(rows)] = rows.keys[:, 0]
        for meeting in meetings.values():
            meeting.meet(rows)
    samples = {name: len(files[name]) - int(held[name].repeated.sum()) for name in others}
    samples["train"] = len(np.unique(keys)) if train.united else len(train)
    pairs = [
        _pair("train", name, meeting, NotLookedFor(reason) if reason else meeting.alike())
        for name, meeting in meetings.items()
    ]
    if len(others) == 2:
        meeting = Meeting(files["dev"], held["test"], with_looks=False)
        for rows in files["dev"].rows():
            meeting.meet(rows)
        pairs.append(_pair("dev", "test", meeting, None))
    return Comparison(
        {name: SplitContent(samples[name], files[name].labels()) for name in files},
        tuple(pair for pair in pairs if pair.images or pair.groups or pair.alike),
    )


def _pair(
    first: SplitName, second: SplitName, meeting: Meeting, alike: AlikeImages | NotLookedFor | None
) -> SplitPair:
    return SplitPair(first, second, meeting.images(), meeting.groups(), alike)


def _too_many(files: Mapping[SplitName, SplitFiles]) -> str:
    """Why looks are not compared; empty: they are."""
    held = sum(len(files[name]) for name in files if name != "train")
    if held > MOST_ROWS:
        return f"more than {MOST_ROWS:,} images in dev and test"
    if len(files["train"]) > MOST_COMPARED_WITH:
        return f"more than {MOST_COMPARED_WITH:,} images in train"
    return ""


def _fetch(
    store: Store, splits: Mapping[SplitName, Sequence[str]], folder: Path
) -> dict[SplitName, SplitFiles]:
    """Download each manifest once, also one that is of two splits."""
    paths: dict[str, Path] = {}
    for uris in splits.values():
        for uri in uris:
            if uri not in paths:
                paths[uri] = folder / f"{len(paths)}.parquet"
                download_samples(store, uri, paths[uri])
    return {name: SplitFiles([paths[uri] for uri in uris]) for name, uris in splits.items() if uris}
