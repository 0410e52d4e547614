"""Put a built image into the nodes' containerd.

The heavy layer is not imported: its snapshot is filled with hard links to the folder that the build
left, and its blob in the content store is a hole of the right size. containerd reads a layer's blob
only to unpack or to push it, and refuses the hole for both: it does not have the layer's digest.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

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

KEEP = "containerd.io/gc.root"
"""Label of what no image refers to yet, so that it is not collected as garbage."""


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
    layer = image.heavy.digest
    _link_snapshot(image, node)
    _place_hole(image, node)
    known = frozenset(node.call("content", "ls", "--quiet").split()) | {layer}
    archive = layout.root / f"load-{os.getpid()}-{id(node)}.tar"
    try:
        with archive.open("wb") as target:
            names = (image.reference, image.pinned)
            write_archive(layout, image.manifest, names, known, target)
        node.call("images", "import", "--snapshotter", SNAPSHOTTER, str(archive))
    finally:
        archive.unlink(missing_ok=True)
    # From here on the image keeps both alive, and takes them along when it goes.
    node.call(*node.snapshots("label", layer, f"{KEEP}="))
    node.call("content", "label", layer, f"{KEEP}=")
    repository = image.reference.rpartition(":")[0]
    keep = frozenset((image.reference, *image.earlier))
    if old := outdated(node.images(), repository, keep):
        node.call("images", "rm", *old)


def _link_snapshot(image: BuiltImage, node: Containerd) -> None:
    # The lowest layer's chain ID is its diff ID, which names its snapshot (OCI image-spec, config).
    name = image.heavy.digest
    if node.attempt(*node.snapshots("info", name)).returncode == 0:
        node.call(*node.snapshots("label", name, f"{KEEP}=trainyard"))
        return
    draft = f"trainyard-{image.name}"
    node.attempt(*node.snapshots("rm", draft))  # of a killed try
    node.call(*node.snapshots("prepare", draft))
    node.call(*node.snapshots("label", draft, f"{KEEP}=trainyard"))
    root = snapshot_folder(node.call(*node.snapshots("mounts", "/unused", draft)))
    target = root / VENV.lstrip("/")
    target.parent.mkdir(parents=True)
    for parent in target.relative_to(root).parents:
        (root / parent).chmod(0o755)
    link_tree(Path(image.heavy_folder), target)
    node.call(*node.snapshots("commit", name, draft))
    node.call(*node.snapshots("label", name, f"{KEEP}=trainyard"))


def _place_hole(image: BuiltImage, node: Containerd) -> None:
    digest, size = image.heavy.digest, image.heavy.size
    if node.attempt("content", "label", digest, f"{KEEP}=trainyard").returncode == 0:
        return
    hole = _content_store(node) / "blobs" / "sha256" / digest.removeprefix("sha256:")
    unfinished = hole.with_name(f".{hole.name}")
    with unfinished.open("wb") as blob:
        blob.truncate(size)
    unfinished.chmod(0o444)
    unfinished.rename(hole)
    # containerd takes a blob that lies in its store already as written to its end.
    expected = ("--expected-digest", digest, "--expected-size", str(size))
    node.call("content", "ingest", *expected, f"trainyard-{image.name}", stdin=hole)
    node.call("content", "label", digest, f"{KEEP}=trainyard")


def _content_store(node: Containerd) -> Path:
    # No command tells containerd's root, but a snapshot lies below it.
    probe = f"trainyard-probe-{os.getpid()}"
    node.call(*node.snapshots("prepare", probe))
    try:
        folder = snapshot_folder(node.call(*node.snapshots("mounts", "/unused", probe)))
    finally:
        node.attempt(*node.snapshots("rm", probe))
    store = folder.parents[3] / "io.containerd.content.v1.content"
    if not store.is_dir():
        raise LocalClusterError(
            f"containerd on {node.socket} keeps no content in {store}: it must use its own "
            "content store and snapshotter below one root"
        )
    with suppress(FileExistsError):
        (store / "blobs" / "sha256").mkdir(parents=True)
    return store
