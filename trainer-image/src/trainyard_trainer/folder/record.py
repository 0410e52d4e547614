"""Which checkpoints the trainings of a folder wrote: those are opened, even pickles."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from trainyard.api._base import Sha256, StrictModel
from trainyard.stores.digests import sha256_of


class Written(StrictModel):
    """A checkpoint that was written here."""

    sha256: Sha256
    path: str
    """Below the folder."""


class Record(StrictModel):
    """All of them."""

    checkpoints: tuple[Written, ...] = ()

    def knows(self, sha256: str) -> bool:
        """Whether a training of this folder wrote a file of that digest."""
        return any(item.sha256 == sha256 for item in self.checkpoints)


def read(path: Path) -> Record:
    """The record of a folder; an empty one if there is none that can be read."""
    try:
        return Record.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return Record()


def add(path: Path, root: Path, folder: Path, names: Iterable[str]) -> None:
    """Note the checkpoints that a training wrote just now.

    Parameters
    ----------
    path, root
        Of the record, and the folder that it is of.
    folder, names
        Where the training wrote, and what the engine calls its files. Whatever else lies there
        somebody put there.
    """
    known = read(path)
    files = [folder / name for name in names if (folder / name).is_file()]
    fresh = tuple(
        Written(sha256=sha256_of(file), path=file.relative_to(root).as_posix()) for file in files
    )
    kept = tuple(item for item in known.checkpoints if not any(x == item for x in fresh))
    path.write_text(
        Record(checkpoints=(*kept, *fresh)).model_dump_json(by_alias=True, indent=2) + "\n",
        encoding="utf-8",
    )
