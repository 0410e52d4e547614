"""Fetch the sample files that two packages of the Python Package Index carry."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trainyard_demo.errors import DemoError

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
"""The packages with their versions and digests."""


@dataclass(frozen=True)
class SourceFile:
    """One file inside a package.

    Attributes
    ----------
    name : str
        What we call it.
    member : str
        Its path below the unpacked packages.
    sha256 : str
        Digest of its content, 64 hexadecimal digits.
    """

    name: str
    member: str
    sha256: str


DIGITS = SourceFile(
    "digits.csv.gz",
    "sklearn/datasets/data/digits.csv.gz",
    "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22",
)
NUCLEI_IMAGE = SourceFile(
    "nuclei-image.tif",
    "stardist/data/images/img2d.tif",
    "f9ccc1571b92c861ff87e28463068b43f61bd47357ed0503f711e5cd1eb97750",
)
NUCLEI_MASK = SourceFile(
    "nuclei-mask.tif",
    "stardist/data/images/mask2d.tif",
    "59ad5e820b7982ca9d13e946fa6e7f64e2714899e00a2ae6c69aa79aad53d46f",
)
FILES = (DIGITS, NUCLEI_IMAGE, NUCLEI_MASK)


def find_uv(environ: Mapping[str, str], repository: Path) -> Path:
    """The uv program.

    Parameters
    ----------
    environ : Mapping
        Environment variables; `UV` is set by `uv run`.
    repository : Path
        Root of the clone, where `make setup` leaves a uv of its own.

    Raises
    ------
    DemoError
        If there is none.
    """
    found = shutil.which("uv", path=environ.get("PATH", os.defpath))
    candidates = (environ.get("UV"), str(repository / ".cache/uv-tool/bin/uv"), found)
    for candidate in candidates:
        if candidate and Path(candidate).is_file():
            return Path(candidate)
    raise DemoError("uv is missing, and it fetches the sample images: run `make setup`")


def fetch(folder: Path, uv: Path) -> None:
    """Have the files of `FILES` in `folder`, byte for byte; what is there is kept.

    The packages are unpacked into a temporary folder and thrown away again: nothing of them is
    installed or run.

    Parameters
    ----------
    folder : Path
        Where the files go; made when missing.
    uv : Path
        The uv program, which fetches the packages from the index it is configured for.

    Raises
    ------
    DemoError
        If a package cannot be fetched or a file is not the one that was published.
    """
    if all(_intact(folder / item.name, item) for item in FILES):
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="unpacking-") as scratch:
        _unpack(uv, Path(scratch))
        for item in FILES:
            unpacked = Path(scratch) / item.member
            if not _intact(unpacked, item):
                raise DemoError(
                    f"{item.member} is missing from its package or differs from the published file "
                    f"(SHA-256 {item.sha256}): run `{uv} cache clean` and try again"
                )
            # A copy, for what uv unpacks are hard links into its cache.
            partial = folder / f"{item.name}.partial"
            shutil.copyfile(unpacked, partial)
            partial.replace(folder / item.name)


def _unpack(uv: Path, folder: Path) -> None:
    command = (
        *(str(uv), "pip", "install", "--quiet", "--no-config", "--target", str(folder)),
        *("--no-deps", "--only-binary", ":all:", "--require-hashes"),
        # The digests are those of these wheels; their sample files are the same in all of them.
        *("--python-version", "3.11", "--python-platform", "x86_64-manylinux_2_28"),
        *("--requirement", str(REQUIREMENTS)),
    )
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = done.stderr.strip() or f"exit status {done.returncode}"
        raise DemoError(
            "the packages with the sample images cannot be fetched from the Python Package Index: "
            f"check the network (or UV_INDEX_URL, for a mirror) and try again\n{reason}"
        )


def _intact(path: Path, item: SourceFile) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == item.sha256
