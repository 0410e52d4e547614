"""One way of comparing train with dev, in a process of its own, whose memory can be told.

`python -m tests.bench.one_check WAY FOLDER` with `train.parquet` and `dev.parquet` in the folder;
prints a JSON object. The ways:

`whole`
    All that is known before a run: digests, groups, looks, and counts of labels.
`shared`
    Only what makes an error: digests and groups.
`sets`
    The same as `shared` by two Python sets each.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench.measure import peak_mib
from trainyard.datasets.columns import SplitFiles
from trainyard.datasets.held import Held, Meeting
from trainyard.datasets.parquet import open_parquet
from trainyard.datasets.splits import compare_files

ROOT = Path(__file__).parents[2]


def check(way: str, folder: Path) -> dict[str, Any]:
    """Do it in a child; what it found, and `peak_mib`: its memory above that of a bare start."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.one_check", way, str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def whole(train: Path, dev: Path) -> dict[str, Any]:
    """By `compare_files`."""
    (pair,) = compare_files({"train": SplitFiles([train]), "dev": SplitFiles([dev])}).pairs
    return {
        "images": pair.images and pair.images.count,
        "groups": pair.groups and pair.groups.count,
        "alike": getattr(pair.alike, "count", None),
    }


def shared(train: Path, dev: Path) -> dict[str, Any]:
    """By what `compare_files` is made of, without the rest."""
    files = SplitFiles([train])
    meeting = Meeting(files, Held(SplitFiles([dev]), with_looks=False), with_looks=False)
    for rows in files.rows():
        meeting.meet(rows)
    images, groups = meeting.images(), meeting.groups()
    return {"images": images and images.count, "groups": groups and groups.count}


def sets(train: Path, dev: Path) -> dict[str, Any]:
    """By Python sets of what the two columns hold."""
    found = {}
    for column, name in (("digest", "images"), ("group", "groups")):
        values = [set[Any](), set[Any]()]
        for path, into in zip((train, dev), values, strict=True):
            with open_parquet(path) as file:
                for batch in file.iter_batches(columns=[column]):
                    into.update(batch[column].to_pylist())
        found[name] = len(values[0] & values[1])
    return found


WAYS: dict[str, Callable[[Path, Path], dict[str, Any]]] = {
    "whole": whole,
    "shared": shared,
    "sets": sets,
}


if __name__ == "__main__":
    bare = peak_mib()
    result = WAYS[sys.argv[1]](
        *(Path(sys.argv[2]) / f"{split}.parquet" for split in ("train", "dev"))
    )
    print(json.dumps(result | {"peak_mib": peak_mib() - bare}))
