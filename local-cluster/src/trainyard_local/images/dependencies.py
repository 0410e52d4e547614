"""The dependency stage of an image: its virtual environment in a folder of this machine.

The build sees the folder as ``/opt/trainyard`` beside uv's cache, so that uv hard-links what it has
downloaded: a bind mount of either alone would make it copy gigabytes.
"""

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from trainyard_local.errors import LocalClusterError
from trainyard_local.images.base import NAME as BASE
from trainyard_local.images.buildah import Buildah, build_arguments, certificate_volume
from trainyard_local.images.layers import Layer, link_tree, pack
from trainyard_local.images.spec import ImageSpec
from trainyard_local.progress import Reporter

MOUNT = "/opt/trainyard"
VENV = f"{MOUNT}/venv"
UV_CACHE = f"{MOUNT}/uv-cache"


@dataclass(frozen=True)
class Dependencies:
    """The built dependency stage.

    Attributes
    ----------
    folder : Path
        Seen by builds as ``/opt/trainyard``; holds ``venv`` only.
    image : str
        buildah's name of the rest of the stage.
    layer : Layer
        The folder's virtual environment as a layer of the image.
    """

    folder: Path
    image: str
    layer: Layer

    @property
    def venv(self) -> Path:
        """The virtual environment; its files are shared with other folders, so nobody writes."""
        return self.folder / "venv"


def ensure_dependencies(
    spec: ImageSpec,
    digest: str,
    *,
    buildah: Buildah,
    folder: Path,
    repository: Path,
    reporter: Reporter,
) -> Dependencies:
    """Install an image's locked dependencies unless they are there.

    Parameters
    ----------
    spec : ImageSpec
        The image.
    digest : str
        Of the stage's inputs.
    buildah : Buildah
        With the base image in its storage.
    folder : Path
        Folder of all dependency stages and of the cache that they share.
    repository : Path
        Root of the repository.
    reporter : Reporter
        Told what takes long.

    Returns
    -------
    Dependencies
        Whole, however often earlier tries were killed.

    Raises
    ------
    LocalClusterError
        When the build fails.
    """
    place = folder / f"{spec.name}-{digest[:12]}"
    image = f"{spec.repository}-deps:{digest[:12]}"
    record = place / "layer.json"
    if record.exists() and buildah.has(image):
        return Dependencies(place, image, Layer(**json.loads(record.read_bytes())))
    _rescue_cache(folder)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    with reporter.step(f"installing the {spec.name} image's dependencies", spec.estimate_s):
        seed(user_cache(), folder / "uv-cache")
        (folder / "uv-cache").rename(place / "uv-cache")
        arguments = build_arguments(
            containerfile=spec.containerfile,
            target="dependencies",
            tag=image,
            arguments={"BASE": BASE, "UV_CACHE_DIR": UV_CACHE},
            policy=buildah.policy,
            volumes={place: f"{MOUNT}:rw", **certificate_volume()},
        )
        buildah.call(f"{spec.name}-dependencies", arguments, cwd=repository)
        (place / "uv-cache").rename(folder / "uv-cache")
    if not (place / "venv" / "pyvenv.cfg").is_file():
        raise LocalClusterError(
            f"{spec.containerfile} made no virtual environment at {VENV}: its dependency stage must"
        )
    with reporter.step(f"hashing the {spec.name} image's dependencies", spec.estimate_s / 10):
        layer = pack(place / "venv", VENV.lstrip("/"), None)
    record.write_text(json.dumps(asdict(layer)), encoding="utf-8")
    return Dependencies(place, image, layer)


def user_cache() -> Path:
    """Download cache of uv for this user, where uv looks for it."""
    if named := os.environ.get("UV_CACHE_DIR"):
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "uv"


def seed(source: Path, target: Path) -> None:
    """Hard-link the downloaded wheels of one uv cache into another.

    uv may be writing the source meanwhile: it renames whole entries into ``archive-v*`` before it
    points to them from ``wheels-v*``, so pointers are taken first.

    Parameters
    ----------
    source : Path
        A cache, or nothing.
    target : Path
        A cache that no uv uses now; made when missing.
    """
    target.mkdir(parents=True, exist_ok=True)
    for bucket in sorted(source.glob("wheels-v*")):
        _add(bucket, target / bucket.name)
    for bucket in sorted(source.glob("archive-v*")):
        (target / bucket.name).mkdir(exist_ok=True)
        for entry in bucket.iterdir():
            whole = target / bucket.name / entry.name
            if entry.name.startswith(".") or whole.exists():
                continue
            unfinished = whole.with_name(f".{entry.name}.unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            link_tree(entry, unfinished)
            unfinished.rename(whole)


def _add(source: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    for entry in os.scandir(source):
        copy = target / entry.name
        if entry.is_dir(follow_symlinks=False):
            _add(Path(entry.path), copy)
        elif not os.path.lexists(copy):
            shutil.copy2(entry.path, copy, follow_symlinks=False)


def _rescue_cache(folder: Path) -> None:
    """Put back the cache that a killed build had taken into its folder."""
    for taken in folder.glob("*/uv-cache"):
        if (folder / "uv-cache").exists():
            shutil.rmtree(taken)
        else:
            taken.rename(folder / "uv-cache")
