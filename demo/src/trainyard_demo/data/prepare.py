"""Have the prepared images in the cache: fetch, cut, write, once."""

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from trainyard_demo.data import sources
from trainyard_demo.data.sets import SETS, SHOWN

LAYOUT = 3
"""Raise it when the images or their splits change: they are then made again."""


@dataclass(frozen=True)
class Prepared:
    """Images and labels, ready to be uploaded.

    Attributes
    ----------
    folder : Path
        `<set>/<split>/...` lie below it, and maybe other sets.
    files : tuple of str
        Their paths below `folder`, sorted.
    digest : str
        SHA-256 over paths and contents, 64 hexadecimal digits.
    """

    folder: Path
    files: tuple[str, ...]
    digest: str


def prepare(
    cache: Path,
    uv: Path,
    names: Sequence[str] = SHOWN,
    *,
    advance: Callable[[int], None] = lambda _: None,
) -> Prepared:
    """Sets of images, made when they are not there.

    Parameters
    ----------
    cache : Path
        Folder of our own, which keeps the sources and the images.
    uv : Path
        The uv program.
    names : sequence of str
        The sets, of `SETS`; by default those of the demo.
    advance : callable
        Told how many files are written so far.

    Raises
    ------
    DemoError
        If the sources cannot be fetched.
    """
    folder, original = cache / f"images-{LAYOUT}", cache / "sources"
    missing = [name for name in names if not (folder / name).is_dir()]
    sources.fetch(original, uv, [file for name in missing for file in SETS[name].files])
    done = count(1)
    for name in missing:
        partial = folder / f"{name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        for _ in SETS[name].write(original, partial):
            advance(next(done))
        # The name appears when all is there: a run that was interrupted leaves no half folder.
        partial.rename(folder / name)
    return _listed(folder, names)


def _listed(folder: Path, names: Sequence[str]) -> Prepared:
    files = sorted(
        path.relative_to(folder).as_posix()
        for name in names
        for path in (folder / name).rglob("*")
        if path.is_file()
    )
    total = hashlib.sha256()
    for file in files:
        total.update(
            f"{file}\0{hashlib.sha256((folder / file).read_bytes()).hexdigest()}\n".encode()
        )
    return Prepared(folder, tuple(files), total.hexdigest())
