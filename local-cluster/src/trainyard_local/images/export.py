"""Write a built image as one archive, for nodes of another cluster and for registries.

An image that was built here has no blob of its heaviest layer: the archive gets it straight from
the folder that the layer is made of.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from trainyard_local.errors import LocalClusterError
from trainyard_local.images.build import BuiltImage, chosen, locked, not_built
from trainyard_local.images.dependencies import VENV
from trainyard_local.images.layers import Layer, pack
from trainyard_local.images.layout import Layout, write_archive
from trainyard_local.progress import Reporter

BYTES_A_SECOND = 100e6
"""What reading, hashing and writing together do on an ordinary disk."""


def archive_name(image: BuiltImage) -> str:
    """File name of an image's archive, as in ``trainyard-operator-0123abcd.tar``.

    Parameters
    ----------
    image : BuiltImage
        The image.
    """
    return f"{image.reference.rpartition('/')[2].replace(':', '-')}.tar"


def export_images(names: Sequence[str], folder: Path, reporter: Reporter) -> list[Path]:
    """Write built images as OCI archives, each whole or not at all.

    Parameters
    ----------
    names : sequence of str
        Of `spec.IMAGES`; empty for all.
    folder : Path
        Where they go; made when missing.
    reporter : Reporter
        Told what takes long.

    Returns
    -------
    list of Path
        The archives in the order of `names`. `ctr images import`, podman, skopeo and docker read
        them.

    Raises
    ------
    LocalClusterError
        When an image is not built, or what it is made of has changed since.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with locked(reporter) as place:
        for spec in chosen(names):
            image = place.built(spec)
            if image is None:
                raise not_built(spec)
            target = folder / archive_name(image)
            size = image.heavy.size
            what = f"writing the {image.name} image ({size / 1e9:.1f} GB) to {target}"
            with reporter.step(what, size / BYTES_A_SECOND):
                _export(image, place.layout, target)
            written.append(target)
    return written


def _export(image: BuiltImage, layout: Layout, target: Path) -> None:
    unfinished = target.with_name(f".{target.name}.unfinished")
    try:
        with unfinished.open("wb") as archive, _packed(image) as (stream, found):
            blob = (image.heavy.digest, image.heavy.size, stream)
            write_archive(layout, image.manifest, [image.reference], (), archive, blob)
        if found != [image.heavy]:
            raise LocalClusterError(
                f"{image.heavy_folder} is not what the {image.name} image was built of: delete the "
                "folder and build again (images build)"
            )
        unfinished.rename(target)
    except OSError as error:
        raise LocalClusterError(f"{target} could not be written: {error}") from None
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def _packed(image: BuiltImage) -> Iterator[tuple[BinaryIO, list[Layer]]]:
    """The heavy layer as a stream, and what it turned out to be once it was read."""
    reading, writing = os.pipe()
    found: list[Layer] = []

    def write() -> None:
        # A reader that gave up, or one that took no more than the layer's size, closes its end.
        try:
            with os.fdopen(writing, "wb") as target:
                found.append(pack(Path(image.heavy_folder), VENV.lstrip("/"), target))
        except OSError:
            found.clear()

    thread = threading.Thread(target=write, name="layer")
    thread.start()
    try:
        with os.fdopen(reading, "rb") as stream:
            yield stream, found
    finally:
        thread.join()
