"""Image layers out of folders: the tar archive that an image names by its digest."""

import hashlib
import os
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

BLOCK = 1 << 20


@dataclass(frozen=True)
class Layer:
    """An uncompressed layer.

    Attributes
    ----------
    digest : str
        ``sha256:`` and 64 hexadecimal digits, of the tar archive; as it is not compressed, this is
        the layer's diff ID too.
    size : int
        Bytes of the tar archive.
    """

    digest: str
    size: int


class _Writable(Protocol):
    def write(self, data: bytes, /) -> int: ...


class _Counted:
    """Hashes and counts what is written, and passes it on if there is anywhere to pass it to."""

    def __init__(self, target: _Writable | None) -> None:
        self._target = target
        self._sha256 = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes) -> int:
        self._sha256.update(data)
        self._size += len(data)
        if self._target is not None:
            self._target.write(data)
        return len(data)

    def tell(self) -> int:
        return self._size

    def layer(self) -> Layer:
        return Layer(f"sha256:{self._sha256.hexdigest()}", self._size)


def pack(folder: Path, prefix: str, target: BinaryIO | None) -> Layer:
    """Write a folder as a layer, or only find out the layer's digest.

    Names are sorted and times whole seconds, so that the same folder always gives the same digest.

    Parameters
    ----------
    folder : Path
        What is packed; owners, modes, links and times are kept.
    prefix : str
        Path of the folder in the image, as in ``opt/trainyard/venv``; empty for the root.
    target : binary file or None
        Where the archive goes; None writes nothing.

    Returns
    -------
    Layer
        Digest and size of the archive.
    """
    counted = _Counted(target)
    # mypy knows no `copybufsize`; without it every file is copied in pieces of 16 KiB.
    with tarfile.TarFile(
        fileobj=counted,  # type: ignore[arg-type]
        mode="w",
        format=tarfile.PAX_FORMAT,
        copybufsize=BLOCK,
    ) as archive:
        for parent in _parents(prefix):
            member = tarfile.TarInfo(parent)
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(member)
        for path in _walk(folder):
            inside = path.relative_to(folder).as_posix()
            name = inside if not prefix else prefix if inside == "." else f"{prefix}/{inside}"
            if name == ".":
                continue
            member = archive.gettarinfo(path, name)
            member.mtime = int(member.mtime)
            if member.isreg():
                with path.open("rb") as content:
                    archive.addfile(member, content)
            else:
                archive.addfile(member)
    return counted.layer()


def link_tree(source: Path, target: Path) -> int:
    """Copy a folder by hard links, or by copies where links cannot reach.

    Parameters
    ----------
    source : Path
        Folder whose files nobody changes from now on.
    target : Path
        Must not exist; made with the modes and times of `source`.

    Returns
    -------
    int
        Number of files.
    """
    target.mkdir(parents=True)
    count = 0
    for entry in os.scandir(source):
        copy = target / entry.name
        if entry.is_dir(follow_symlinks=False):
            count += link_tree(Path(entry.path), copy)
        else:
            try:
                os.link(entry.path, copy, follow_symlinks=False)
            except OSError:  # another file system, or more links than this one allows
                shutil.copy2(entry.path, copy, follow_symlinks=False)
            count += 1
    shutil.copystat(source, target)
    return count


def _parents(prefix: str) -> Iterator[str]:
    parts = prefix.split("/")
    for end in range(1, len(parts)):
        yield "/".join(parts[:end])


def _walk(folder: Path) -> Iterator[Path]:
    yield folder
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(path)
        else:
            yield path
