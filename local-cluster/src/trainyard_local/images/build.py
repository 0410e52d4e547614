"""Build an image: tools, base, dependencies, sources, each only when its inputs changed."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from trainyard_local.errors import LocalClusterError
from trainyard_local.images.base import NAME as BASE
from trainyard_local.images.base import ensure_base, known_base
from trainyard_local.images.buildah import Buildah, Tools, build_arguments, certificate_volume
from trainyard_local.images.dependencies import (
    MOUNT,
    VENV,
    Dependencies,
    ensure_dependencies,
)
from trainyard_local.images.layers import Layer
from trainyard_local.images.layout import CONFIG_TYPE, MANIFEST_TYPE, Layout, with_lowest_layer
from trainyard_local.images.spec import (
    IMAGES,
    ImageSpec,
    dependencies_digest,
    image_digest,
)
from trainyard_local.locks import exclusive
from trainyard_local.paths import REPOSITORY, Cache, cache
from trainyard_local.progress import Reporter

DISK_BYTES = 8 * 10**9
"""Free disk that a cold build of both images and their loading need (measured: 6.1 GB)."""

EARLIER = 2
"""How many earlier images of a name the nodes keep."""


@dataclass(frozen=True)
class BuiltImage:
    """An image that is ready to be loaded.

    Attributes
    ----------
    name : str
        Of its `ImageSpec`.
    reference : str
        Name with a tag that follows from the image's inputs.
    manifest : str
        Digest of its manifest.
    heavy : Layer
        The layer of its dependencies, which has no blob.
    heavy_folder : str
        Absolute path of the folder that the layer is made of.
    earlier : tuple of str
        References of what was built before, the newest first: a node keeps these, for a run that
        waits may name one of them.
    """

    name: str
    reference: str
    manifest: str
    heavy: Layer
    heavy_folder: str
    earlier: tuple[str, ...] = ()

    @property
    def pinned(self) -> str:
        """Name with the manifest's digest instead of a tag."""
        return f"{self.reference.rpartition(':')[0]}@{self.manifest}"


@dataclass(frozen=True)
class Workshop:
    """Folders of the image builds.

    Attributes
    ----------
    root : Path
        Inside the cache.
    """

    root: Path

    @property
    def layout(self) -> Layout:
        """Blobs of all images but their heavy layers."""
        return Layout(self.root / "layout")

    @property
    def dependencies(self) -> Path:
        """Folder of the dependency stages."""
        return self.root / "dependencies"

    def record(self, spec: ImageSpec) -> Path:
        """File that says what was built last.

        Parameters
        ----------
        spec : ImageSpec
            The image.
        """
        return self.root / f"{spec.name}.json"

    def built(self, spec: ImageSpec) -> BuiltImage | None:
        """Read what was built last, or None when nothing was or it is gone.

        Parameters
        ----------
        spec : ImageSpec
            The image.
        """
        path = self.record(spec)
        if not path.exists():
            return None
        fields = json.loads(path.read_bytes())
        nested = {"heavy": Layer(**fields["heavy"]), "earlier": tuple(fields["earlier"])}
        image = BuiltImage(**{**fields, **nested})
        there = self.layout.blob(image.manifest).exists() and Path(image.heavy_folder).exists()
        return image if there else None


def workshop(place: Cache | None = None) -> Workshop:
    """Folders of the image builds in the cache.

    Parameters
    ----------
    place : Cache or None
        None: the cache of this machine and user.
    """
    return Workshop((place or cache()).root / "images")


@contextmanager
def locked(reporter: Reporter) -> Iterator[Workshop]:
    """Have the image builds for oneself.

    Parameters
    ----------
    reporter : Reporter
        Told when another process must be waited for.
    """
    place = cache()
    with exclusive(place.locks / "images.lock", reporter.say):
        yield workshop(place)


def build(
    names: Sequence[str], reporter: Reporter, repository: Path = REPOSITORY
) -> list[BuiltImage]:
    """Build images whose inputs changed since they were built last.

    Parameters
    ----------
    names : sequence of str
        Of `IMAGES`; empty for all.
    reporter : Reporter
        Told what takes long.
    repository : Path
        Root of the repository.

    Returns
    -------
    list of BuiltImage
        In the order of `names`.

    Raises
    ------
    LocalClusterError
        When a name is unknown, the disk is too full, or a step fails.
    """
    with locked(reporter) as place:
        return [_build_one(spec, place, repository, reporter) for spec in chosen(names)]


def chosen(names: Sequence[str]) -> list[ImageSpec]:
    """Images by name.

    Parameters
    ----------
    names : sequence of str
        Of `IMAGES`; empty for all.

    Raises
    ------
    LocalClusterError
        When there is no such image.
    """
    if unknown := [name for name in names if name not in IMAGES]:
        raise LocalClusterError(
            f"there is no image {', '.join(unknown)}; there are {', '.join(IMAGES)}"
        )
    return [IMAGES[name] for name in names or IMAGES]


def not_built(spec: ImageSpec) -> LocalClusterError:
    """Error of a command that needs a built image.

    Parameters
    ----------
    spec : ImageSpec
        The image.
    """
    return LocalClusterError(
        f"the {spec.name} image is not built: run `images build {spec.name}` first"
    )


def _build_one(
    spec: ImageSpec, place: Workshop, repository: Path, reporter: Reporter
) -> BuiltImage:
    before, known = place.built(spec), known_base(place.root / "base")
    if before and known:
        inputs = image_digest(spec, repository, dependencies_digest(spec, repository, known))
        if before.reference == f"{spec.repository}:{inputs[:12]}":
            return before
    _check_disk(place)
    tools = Tools(place.root / "tools")
    with reporter.step("looking for buildah and debootstrap", 20):
        tools.ensure()
        buildah = Buildah(tools, place.root / "buildah", place.root / "logs")
        buildah.prepare()
    base = ensure_base(buildah, place.root / "base", reporter)
    digest = dependencies_digest(spec, repository, base)
    dependencies = ensure_dependencies(
        spec,
        digest,
        buildah=buildah,
        folder=place.dependencies,
        repository=repository,
        reporter=reporter,
    )
    inputs = image_digest(spec, repository, digest)
    with reporter.step(f"adding the sources to the {spec.name} image", 8):
        image = _add_sources(spec, inputs, dependencies, buildah, place, repository)
    _remove_old(spec, dependencies, buildah, place)
    return image


def _add_sources(
    spec: ImageSpec,
    inputs: str,
    dependencies: Dependencies,
    buildah: Buildah,
    place: Workshop,
    repository: Path,
) -> BuiltImage:
    reference = f"{spec.repository}:{inputs[:12]}"
    arguments = build_arguments(
        containerfile=spec.containerfile,
        target="image",
        tag=reference,
        arguments={"BASE": BASE, "DEPENDENCIES": dependencies.image},
        # Read-only: the layer's digest is already known.
        policy=buildah.policy,
        volumes={dependencies.folder: f"{MOUNT}:ro", **certificate_volume()},
    )
    buildah.call(f"{spec.name}-sources", arguments, cwd=repository)
    layout = place.layout
    target = f"oci:{layout.root}:{spec.name}"
    push = ["push", *buildah.policy, "--disable-compression", "--quiet", reference, target]
    buildah.call(f"{spec.name}-push", push)
    buildah.call(f"{spec.name}-push", ["rmi", reference])
    manifest = layout.read(layout.tagged(spec.name))
    config, layers = with_lowest_layer(
        layout.read(manifest["config"]["digest"]),
        manifest,
        dependencies.layer,
        f"{spec.containerfile}: {VENV}",
    )
    described = layout.write(config, CONFIG_TYPE)
    whole = layout.write({**manifest, "config": described, "layers": layers}, MANIFEST_TYPE)
    before = place.built(spec)
    earlier = (before.reference, *before.earlier)[:EARLIER] if before else ()
    image = BuiltImage(
        name=spec.name,
        reference=reference,
        manifest=str(whole["digest"]),
        heavy=dependencies.layer,
        heavy_folder=str(dependencies.venv),
        earlier=earlier,
    )
    place.record(spec).write_text(json.dumps(asdict(image), indent=2), encoding="utf-8")
    return image


def _remove_old(
    spec: ImageSpec, dependencies: Dependencies, buildah: Buildah, place: Workshop
) -> None:
    for folder in place.dependencies.glob(f"{spec.name}-*"):
        if folder != dependencies.folder:
            shutil.rmtree(folder)
    buildah.remove_others(f"{spec.repository}-deps", dependencies.image)
    images = [place.built(other) for other in IMAGES.values()]
    place.layout.remove_unused(image.manifest for image in images if image)


def _check_disk(place: Workshop) -> None:
    place.root.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(place.root).free
    # What is there already needs no room again; 2 GB is what a change of dependencies costs.
    needed = 2 * 10**9 if any(place.dependencies.glob("*/layer.json")) else DISK_BYTES
    if free < needed:
        raise LocalClusterError(
            f"building the images needs {needed / 1e9:.0f} GB of disk, but {place.root} has "
            f"{free / 1e9:.1f} GB free: free some, or point TRAINYARD_CACHE to a larger disk"
        )
