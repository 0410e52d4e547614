"""Fetch the sample files that packages of the Python Package Index carry."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
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
    package : str
        The package that carries it, as `REQUIREMENTS` names it.
    member : str
        Its path below the unpacked packages.
    sha256 : str
        Digest of its content, 64 hexadecimal digits.
    """

    name: str
    package: str
    member: str
    sha256: str


DIGITS = SourceFile(
    "digits.csv.gz",
    "scikit-learn",
    "sklearn/datasets/data/digits.csv.gz",
    "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22",
)
NUCLEI_IMAGE = SourceFile(
    "nuclei-image.tif",
    "stardist",
    "stardist/data/images/img2d.tif",
    "f9ccc1571b92c861ff87e28463068b43f61bd47357ed0503f711e5cd1eb97750",
)
NUCLEI_MASK = SourceFile(
    "nuclei-mask.tif",
    "stardist",
    "stardist/data/images/mask2d.tif",
    "59ad5e820b7982ca9d13e946fa6e7f64e2714899e00a2ae6c69aa79aad53d46f",
)
TREES_1 = SourceFile(
    "trees-1.png",
    "deepforest",
    "deepforest/data/2019_YELL_2_528000_4978000_image_crop2.png",
    "a9bdb0f4447fdd899d22f567e0e20ba8320c5413b2ad0cd0ac8d9f3b6e0f9767",
)
TREES_1_BOXES = SourceFile(
    "trees-1.xml",
    "deepforest",
    "deepforest/data/2019_YELL_2_528000_4978000_image_crop2.xml",
    "bd431af6a5086d721eb731b22f5ea28cd8a8eab06883efc1c665391acbc68e11",
)
TREES_2 = SourceFile(
    "trees-2.png",
    "deepforest",
    "deepforest/data/2019_YELL_2_541000_4977000_image_crop.png",
    "178e58a23cc2642226a364a30f71bd9258ddc1b012c826f12250914a90c7a131",
)
TREES_2_BOXES = SourceFile(
    "trees-2.xml",
    "deepforest",
    "deepforest/data/2019_YELL_2_541000_4977000_image_crop.xml",
    "cefe4b96888bacbf8af1674f000082e549aa707aa6590d545effb23e43f26631",
)


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


def fetch(folder: Path, uv: Path, files: Sequence[SourceFile]) -> None:
    """Have files in `folder`, byte for byte; what is there is kept.

    The packages are unpacked into a temporary folder and thrown away again: nothing of them is
    installed or run.

    Parameters
    ----------
    folder : Path
        Where the files go; made when missing.
    uv : Path
        The uv program, which fetches the packages from the index it is configured for.
    files : sequence of SourceFile
        Which ones; only their packages are fetched.

    Raises
    ------
    DemoError
        If a package cannot be fetched or a file is not the one that was published.
    """
    missing = [item for item in files if not _intact(folder / item.name, item)]
    if not missing:
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="unpacking-") as scratch:
        _unpack(uv, Path(scratch), {item.package for item in missing})
        for item in missing:
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


def _unpack(uv: Path, folder: Path, packages: set[str]) -> None:
    wanted = folder / "requirements.txt"
    # A line for each package: its digest stands on the next one.
    lines = REQUIREMENTS.read_text().replace("\\\n", "").splitlines()
    wanted.write_text("\n".join(line for line in lines if line.partition("==")[0] in packages))
    command = (
        *(str(uv), "pip", "install", "--quiet", "--no-config", "--target", str(folder)),
        *("--no-deps", "--only-binary", ":all:", "--require-hashes"),
        # The digests are those of these wheels; their sample files are the same in all of them.
        *("--python-version", "3.11", "--python-platform", "x86_64-manylinux_2_28"),
        *("--requirement", str(wanted)),
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
