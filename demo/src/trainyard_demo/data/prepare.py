"""Have the prepared images in the cache: fetch, cut, write, once."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from trainyard_demo.data import digits, nuclei, sources

LAYOUT = 3
"""Raise it when the images or their splits change: they are then made again."""


@dataclass(frozen=True)
class Prepared:
    """Images and labels, ready to be uploaded.

    Attributes
    ----------
    folder : Path
        `digits/<split>/...` and `nuclei/<split>/...` lie below it.
    files : tuple of str
        Their paths below `folder`, sorted.
    digest : str
        SHA-256 over paths and contents, 64 hexadecimal digits.
    """

    folder: Path
    files: tuple[str, ...]
    digest: str


def prepare(cache: Path, uv: Path, *, advance: Callable[[int], None] = lambda _: None) -> Prepared:
    """The images, made when they are not there.

    Parameters
    ----------
    cache : Path
        Folder of our own, which keeps the sources and the images.
    uv : Path
        The uv program.
    advance : callable
        Told how many files are written so far.

    Raises
    ------
    DemoError
        If the sources cannot be fetched.
    """
    folder = cache / f"images-{LAYOUT}"
    if not folder.is_dir():
        original = cache / "sources"
        sources.fetch(original, uv)
        partial = cache / f"images-{LAYOUT}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        for done, _ in enumerate(_write(original, partial), start=1):
            advance(done)
        # The name appears when all is there: a run that was interrupted leaves no half folder.
        partial.rename(folder)
    return _listed(folder)


def _write(original: Path, folder: Path) -> Iterator[Path]:
    yield from digits.write(original / sources.DIGITS.name, folder / "digits")
    yield from nuclei.write(
        original / sources.NUCLEI_IMAGE.name, original / sources.NUCLEI_MASK.name, folder / "nuclei"
    )


def _listed(folder: Path) -> Prepared:
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    total = hashlib.sha256()
    for name in files:
        total.update(
            f"{name}\0{hashlib.sha256((folder / name).read_bytes()).hexdigest()}\n".encode()
        )
    return Prepared(folder, tuple(files), total.hexdigest())
