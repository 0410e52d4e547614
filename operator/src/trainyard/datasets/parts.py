"""What a snapshot Job has done so far, kept in the store, so that a killed one can go on.

With each finished shard a part file is written to `<output>/partial/<key>/`: what became of each
image that was read since the part before, in order. The key is a digest of everything that decides
what the parts say, the sources' listings among it: a changed source starts anew. Two Jobs with the
same input write the same parts.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import platform
import tempfile
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from trainyard.api._base import StrictModel
from trainyard.api.manifest import StoredFile
from trainyard.api.run import SnapshotRunFile
from trainyard.datasets.found import LeftOut
from trainyard.datasets.union import Place, SeenImage, labels_from_json, labels_to_json
from trainyard.stores import ObjectNotFound, Store, join

PARTIAL_FOLDER = "partial"

LIBRARIES = (
    *("defusedxml", "google-re2", "ijson", "numpy", "opencv-python-headless", "pillow", "pyarrow"),
    *("pydantic", "pyyaml"),
)
"""What reads images and labels beside our own code: another version may read them otherwise."""

_PACKAGE = Path(__file__).parent.parent

Fate = SeenImage | LeftOut
"""What became of an image of a source."""


class Mark(StrictModel):
    """The last line of a part."""

    shard: StoredFile | None
    """The shard that was finished with it; None if there was nothing to pack."""


@dataclass(frozen=True)
class Step:
    """One image of a part.

    Attributes
    ----------
    selection
        Index of its selection.
    fate
        What became of it.
    """

    selection: int
    fate: Fate


def parts_key(run: SnapshotRunFile, listings: Sequence[str]) -> str:
    """Digest of what decides the parts' content.

    Parameters
    ----------
    run
        Its selections and `group_by`.
    listings
        `Listing.digest` of each selection.
    """
    document = [
        _code_digest(_PACKAGE),
        _versions(),
        [selection.to_wire() for selection in run.selections],
        run.group_by,
        list(listings),
    ]
    text = json.dumps(document, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def _code_digest(package: Path) -> str:
    """Digest of the code that reads sources: parts that another version wrote do not count."""
    digest = hashlib.sha256()
    for folder in ("api", "datasets"):
        for path in sorted((package / folder).rglob("*.py")):
            digest.update(f"{path.relative_to(package)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


@cache
def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}


class Parts:
    """The parts of one snapshot.

    Parameters
    ----------
    store, output
        Where shards and parts go.
    key
        `parts_key`.
    """

    def __init__(self, store: Store, output: str, key: str) -> None:
        self._store, self._output = store, output
        self._folder = join(output, PARTIAL_FOLDER, key)
        self._local = tempfile.TemporaryDirectory(prefix="trainyard-parts-")
        self._count = 0
        self._open: gzip.GzipFile | None = None
        self._path = Path(self._local.name) / "part"

    def resume(self) -> Iterator[tuple[StoredFile | None, Iterator[Step]]]:
        """The parts of a killed Job in order, each with its shard and its images.

        A part counts if it is whole and its shard is in the store with its size. What is written
        from then on comes after the last one given.
        """
        while True:
            path = Path(self._local.name) / "resumed"
            try:
                self._store.download(self._uri(self._count), path)
            except ObjectNotFound:
                return
            mark = _mark_of(path)
            if mark is None or not self._has(mark.shard):
                return
            self._count += 1
            yield mark.shard, _steps(path)

    def note(self, selection: int, fate: Fate) -> None:
        """Tell what became of the next image."""
        self._write([selection, *_to_plain(fate)])

    def seal(self, shard: StoredFile | None) -> None:
        """Put what was noted into the store; the shard that was finished must be there."""
        self._write(Mark(shard=shard).to_wire())
        self._finish_file()
        self._store.upload(self._path, self._uri(self._count))
        self._path.unlink()
        self._count += 1

    def remove(self) -> None:
        """Remove all parts from the store; the last first, so that the rest can be gone on from."""
        names = [entry.uri for entry in self._store.list(self._folder)]
        for uri in reversed(names):
            self._store.delete(uri)

    def close(self) -> None:
        """Remove what is left on this machine."""
        self._finish_file()
        self._local.cleanup()

    def _finish_file(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def _uri(self, number: int) -> str:
        return join(self._folder, f"{number:08d}.jsonl.gz")

    def _write(self, line: Any) -> None:
        if self._open is None:
            # Its header would tell the time: the same lines shall give the same bytes.
            self._open = gzip.GzipFile(self._path, "wb", compresslevel=3, mtime=0)
        text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
        self._open.write(text.encode() + b"\n")

    def _has(self, shard: StoredFile | None) -> bool:
        if shard is None:
            return True
        return self._store.stat(join(self._output, shard.name)) == shard.size_bytes


def _mark_of(path: Path) -> Mark | None:
    """The last line, once all before it was read and its checksum compared; None if broken."""
    try:
        with gzip.open(path) as file:
            (last,) = deque(file, maxlen=1)
        return Mark.model_validate_json(last)
    except (OSError, EOFError, zlib.error, ValueError):
        return None


def _steps(path: Path) -> Iterator[Step]:
    with gzip.open(path) as file:
        for line in file:
            plain = json.loads(line)
            if isinstance(plain, list):
                yield Step(plain[0], _from_plain(plain[1:]))


def _to_plain(fate: Fate) -> list[Any]:
    if isinstance(fate, LeftOut):
        return [fate.name, fate.reason]
    place = None if fate.place is None else [fate.place.shard, fate.place.offset, fate.place.size]
    return [
        fate.name,
        fate.digest.hex(),
        fate.width,
        fate.height,
        fate.look.hex(),
        fate.group,
        labels_to_json(fate.labels),
        place,
    ]


def _from_plain(plain: list[Any]) -> Fate:
    if len(plain) == 2:
        return LeftOut(plain[0], plain[1])
    name, digest, width, height, look, group, labels, place = plain
    return SeenImage(
        name=name,
        digest=bytes.fromhex(digest),
        width=width,
        height=height,
        look=bytes.fromhex(look),
        group=group,
        labels=labels_from_json(labels),
        place=None if place is None else Place(*place),
    )
