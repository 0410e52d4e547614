"""The two images: what each is made of, and the digests that say whether it must be made again."""

import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainyard_local.errors import LocalClusterError

STAGE = re.compile(r"^FROM \$\{DEPENDENCIES\} AS image$", re.MULTILINE)
"""Where a Containerfile's dependencies end and its sources begin."""

COPY = re.compile(r"^COPY (?!--)(.+)$", re.MULTILINE)
"""A COPY from the build context."""


@dataclass(frozen=True)
class ImageSpec:
    """One image of the repository.

    Attributes
    ----------
    name : str
        As people type it.
    containerfile : str
        Path of the Containerfile below the repository.
    extra : str
        Extra of the root pyproject.toml whose locked packages the image holds.
    estimate_s : float
        Seconds that installing the dependencies takes on two cores with nothing downloaded yet.
    """

    name: str
    containerfile: str
    extra: str
    estimate_s: float

    @property
    def repository(self) -> str:
        """Name of the image without a tag."""
        return f"localhost/trainyard-{self.name}"


OPERATOR = ImageSpec("operator", "operator/Containerfile", "operator", 40)
TRAINER = ImageSpec("trainer", "trainer-image/Containerfile", "trainer", 150)
IMAGES: Mapping[str, ImageSpec] = {spec.name: spec for spec in (OPERATOR, TRAINER)}


def locked_packages(lock: Mapping[str, Any], project: str, extra: str) -> list[dict[str, Any]]:
    """Locked packages that an extra of the project brings, with all they depend on.

    Markers are not evaluated: a package for another platform may be among them, which at worst
    installs again what did not change.

    Parameters
    ----------
    lock : Mapping
        Parsed uv.lock.
    project : str
        Name of the project.
    extra : str
        One of its extras.

    Returns
    -------
    list of dict
        Package tables of the lock, as they stand there, the project left out.

    Raises
    ------
    LocalClusterError
        When the lock has no such project or the project no such extra.
    """
    by_name: dict[str, list[dict[str, Any]]] = {}
    for package in lock.get("package", []):
        by_name.setdefault(package["name"], []).append(package)
    if project not in by_name:
        raise LocalClusterError(f"uv.lock has no package {project}: run `uv lock`")
    if extra not in by_name[project][0].get("optional-dependencies", {}):
        raise LocalClusterError(f"uv.lock has no extra {extra} of {project}: run `uv lock`")
    seen: set[tuple[str, str | None]] = set()
    todo: list[tuple[str, str | None]] = [(project, None), (project, extra)]
    while todo:
        name, wanted = key = todo.pop()
        if key in seen:
            continue
        seen.add(key)
        for package in by_name.get(name, []):
            if wanted is None:
                needs = package.get("dependencies", [])
            else:
                needs = package.get("optional-dependencies", {}).get(wanted, [])
            for need in needs:
                todo += [(need["name"], None), *((need["name"], e) for e in need.get("extra", []))]
    names = {name for name, _ in seen} - {project}
    return [package for package in lock["package"] if package["name"] in names]


def dependencies_digest(spec: ImageSpec, repository: Path, base: str) -> str:
    """Digest of all that decides what an image's dependency stage holds.

    Parameters
    ----------
    spec : ImageSpec
        The image.
    repository : Path
        Root of the repository.
    base : str
        Digest of the base image.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    LocalClusterError
        When a file is missing or the Containerfile has no line between its two stages.
    """
    dependencies, _ = _stages(spec, repository)
    lock = tomllib.loads(_text(repository / "uv.lock"))
    packages = locked_packages(lock, "trainyard", spec.extra)
    return _digest(base, _instructions(dependencies), repr(packages))


def image_digest(spec: ImageSpec, repository: Path, dependencies: str) -> str:
    """Digest of all that decides what an image holds.

    Parameters
    ----------
    spec : ImageSpec
        The image.
    repository : Path
        Root of the repository.
    dependencies : str
        What `dependencies_digest` gave.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    LocalClusterError
        When a file is missing or the Containerfile has no line between its two stages.
    """
    _, image = _stages(spec, repository)
    parts = [dependencies, _instructions(image)]
    for source in copied(image):
        parts += _tree(repository, source)
    return _digest(*parts)


def copied(stage: str) -> list[str]:
    """Paths that a stage copies from the build context.

    Parameters
    ----------
    stage : str
        Text of one stage of a Containerfile.

    Returns
    -------
    list of str
        Below the repository, in order.
    """
    return [source for line in COPY.findall(stage) for source in line.split()[:-1]]


def _stages(spec: ImageSpec, repository: Path) -> tuple[str, str]:
    parts = STAGE.split(_text(repository / spec.containerfile))
    if len(parts) != 2:
        raise LocalClusterError(
            f"{spec.containerfile} needs exactly one line `FROM ${{DEPENDENCIES}} AS image`"
        )
    return parts[0], parts[1]


def _instructions(stage: str) -> str:
    # A reworded comment is no reason to install 5 GB again.
    return "\n".join(line for line in stage.splitlines() if line and not line.startswith("#"))


def _tree(repository: Path, source: str) -> Iterable[str]:
    path = repository / source
    if not path.exists():
        raise LocalClusterError(f"{path} is missing, and the image is made of it")
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in files:
        if file.suffix != ".pyc":
            yield file.relative_to(repository).as_posix()
            yield hashlib.sha256(file.read_bytes()).hexdigest()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise LocalClusterError(f"{path} is missing, and the image is made of it") from error


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
