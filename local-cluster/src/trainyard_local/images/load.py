"""Put a built image into the nodes' containerd.

The heavy layer is not imported: its snapshot is filled with hard links to the folder that the build
left, and its blob in the content store is a hole of the right size. containerd reads a layer's blob
only to unpack or to push it, and refuses the hole for both: it does not have the layer's digest.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

from trainyard_local.errors import LocalClusterError
from trainyard_local.images.build import BuiltImage, chosen, locked, not_built
from trainyard_local.images.containerd import (
    SNAPSHOTTER,
    Containerd,
    outdated,
    snapshot_folder,
)
from trainyard_local.images.dependencies import VENV
from trainyard_local.images.layers import link_tree
from trainyard_local.images.layout import Layout, write_archive
from trainyard_local.progress import Reporter

ROOT = "containerd.io/gc.root"
"""Label of what is never collected as garbage."""

REFERENCE = "containerd.io/gc.ref.content.heavy"
"""Label that keeps another blob from being collected."""

ATTEMPTS = 5
"""How often a step is tried that a collection of garbage may undo within a millisecond."""


def load_images(
    names: Sequence[str], nodes: Sequence[Containerd], reporter: Reporter
) -> list[BuiltImage]:
    """Put built images into nodes.

    Parameters
    ----------
    names : sequence of str
        Of `spec.IMAGES`; empty for all.
    nodes : sequence of Containerd
        Running.
    reporter : Reporter
        Told what takes long.

    Returns
    -------
    list of BuiltImage
        In the order of `names`.

    Raises
    ------
    LocalClusterError
        When an image is not built, or a containerd does not answer or refuses.
    """
    loaded = []
    with locked(reporter) as place:
        for spec in chosen(names):
            image = place.built(spec)
            if image is None:
                raise not_built(spec)
            load(image, nodes, place.layout, reporter)
            loaded.append(image)
    return loaded


def load(
    image: BuiltImage, nodes: Sequence[Containerd], layout: Layout, reporter: Reporter
) -> None:
    """Put an image into nodes, all at once.

    Safe to interrupt and to repeat; a node that has the image is left as it is.

    Parameters
    ----------
    image : BuiltImage
        The image.
    nodes : sequence of Containerd
        Running, each on the file system of the cache if the heavy layer is to be hard-linked.
    layout : Layout
        Blobs of the image.
    reporter : Reporter
        Told what takes long.

    Raises
    ------
    LocalClusterError
        When a containerd does not answer or refuses.
    """
    missing = [node for node in nodes if not _has(node, image)]
    if missing:
        what = f"putting the {image.name} image into {len(missing)} of {len(nodes)} nodes"
        with reporter.step(what, 10), ThreadPoolExecutor(len(missing)) as pool:
            for future in [pool.submit(_load_one, image, node, layout) for node in missing]:
                future.result()


def _has(node: Containerd, image: BuiltImage) -> bool:
    images = node.images()
    return all(images.get(name) == image.manifest for name in (image.reference, image.pinned))


def _load_one(image: BuiltImage, node: Containerd, layout: Layout) -> None:
    with _protected(image, node):
        _link_snapshot(image, node)
        _place_hole(image, node)
        known = frozenset(node.call("content", "ls", "--quiet").split()) | {image.heavy.digest}
        archive = layout.root / f"load-{os.getpid()}-{id(node)}.tar"
        try:
            with archive.open("wb") as target:
                names = (image.reference, image.pinned)
                write_archive(layout, image.manifest, names, known, target)
            node.call("images", "import", "--snapshotter", SNAPSHOTTER, str(archive))
        finally:
            archive.unlink(missing_ok=True)
    repository = image.reference.rpartition(":")[0]
    keep = frozenset((image.reference, *image.earlier))
    for name in outdated(node.images(), repository, keep):
        # Synchronous: the disk is free when this returns, not a hundred changes later.
        node.call("images", "rm", "--sync", name)


@contextmanager
def _protected(image: BuiltImage, node: Containerd) -> Iterator[None]:
    """Keep what is about to be made from being collected as garbage before the image refers to it.

    ctr makes snapshots as roots of the collection, but blobs without any label, and a collection
    may come before one is labelled. So a small blob refers to the heavy one before that exists.
    Killed in between, the next load of the image finds all again.
    """
    text = f"Trainyard is loading {image.heavy.digest}\n".encode()
    digest = f"sha256:{hashlib.sha256(text).hexdigest()}"
    labels = (f"{ROOT}=trainyard", f"{REFERENCE}={image.heavy.digest}")
    with NamedTemporaryFile() as anchor:
        anchor.write(text)
        anchor.flush()
        for _ in range(ATTEMPTS):
            expected = ("--expected-digest", digest, "--expected-size", str(len(text)))
            node.attempt("content", "ingest", *expected, digest, stdin=Path(anchor.name))
            labelled = node.attempt("content", "label", digest, *labels)
            if labelled.returncode == 0:
                break
        else:
            raise LocalClusterError(
                f"containerd on {node.socket} kept no blob for long enough to label it: "
                f"{labelled.stderr.strip()}"
            )
    yield
    node.attempt(*node.snapshots("rm", _draft(image)))
    # From here on the image keeps all alive, and takes it along when it goes.
    node.call("content", "label", digest, f"{ROOT}=")
    node.call(*node.snapshots("label", image.heavy.digest, f"{ROOT}="))


def _link_snapshot(image: BuiltImage, node: Containerd) -> None:
    # The lowest layer's chain ID is its diff ID, which names its snapshot (OCI image-spec, config).
    name = image.heavy.digest
    if node.attempt(*node.snapshots("info", name)).returncode == 0:
        return
    root = _fresh_draft(image, node)
    target = root / VENV.lstrip("/")
    target.parent.mkdir(parents=True)
    for parent in target.relative_to(root).parents:
        (root / parent).chmod(0o755)
    link_tree(Path(image.heavy_folder), target)
    node.call(*node.snapshots("commit", name, _draft(image)))


def _place_hole(image: BuiltImage, node: Containerd) -> None:
    digest, size = image.heavy.digest, image.heavy.size
    if digest in node.call("content", "ls", "--quiet").split():
        return
    # No command tells containerd's root, but a snapshot lies below it.
    store = _fresh_draft(image, node).parents[3] / "io.containerd.content.v1.content"
    if not store.is_dir():
        raise LocalClusterError(
            f"containerd on {node.socket} keeps no content in {store}: it must use its own "
            "content store and snapshotter below one root"
        )
    hole = store / "blobs" / "sha256" / digest.removeprefix("sha256:")
    hole.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(ATTEMPTS):
        unfinished = hole.with_name(f".{hole.name}")
        with unfinished.open("wb") as blob:
            blob.truncate(size)
        unfinished.chmod(0o444)
        unfinished.rename(hole)
        # containerd takes a blob that lies in its store already as written to its end; a collection
        # of garbage just now may have removed it.
        expected = ("--expected-digest", digest, "--expected-size", str(size))
        command = ("content", "ingest", *expected, f"trainyard-{digest}-{attempt}")
        done = node.attempt(*command, stdin=hole)
        if done.returncode == 0:
            return
    raise LocalClusterError(
        f"containerd on {node.socket} did not take the blob of the {image.name} image's "
        f"dependencies: {done.stderr.strip()}"
    )


def _draft(image: BuiltImage) -> str:
    return f"trainyard-{image.name}"


def _fresh_draft(image: BuiltImage, node: Containerd) -> Path:
    node.attempt(*node.snapshots("rm", _draft(image)))  # of a killed try
    node.call(*node.snapshots("prepare", _draft(image)))
    return snapshot_folder(node.call(*node.snapshots("mounts", "/unused", _draft(image))))
