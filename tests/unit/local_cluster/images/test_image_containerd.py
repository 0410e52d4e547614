"""What containerd's command line says, and which images a node need not keep."""

from pathlib import Path

import pytest

from trainyard_local.errors import LocalClusterError
from trainyard_local.images.containerd import (
    Containerd,
    outdated,
    parse_images,
    snapshot_folder,
)

LISTING = """\
REF                       TYPE                                       DIGEST     SIZE    PLATFORMS
localhost/trainyard-x:one application/vnd.oci.image.manifest.v1+json sha256:aaa 5.0 GiB linux/amd64
sha256:123                application/vnd.oci.image.manifest.v1+json sha256:aaa 5.0 GiB linux/amd64
"""


def test_images_are_read_from_the_listing() -> None:
    assert parse_images(LISTING) == {
        "localhost/trainyard-x:one": "sha256:aaa",
        "sha256:123": "sha256:aaa",
    }


def test_an_empty_listing_has_no_images() -> None:
    assert parse_images("REF TYPE DIGEST SIZE PLATFORMS LABELS \n") == {}


def test_the_folder_of_a_fresh_snapshot_is_the_source_of_its_bind_mount() -> None:
    mounts = "mount -t bind /c/io.containerd.snapshotter.v1.overlayfs/snapshots/7/fs /x -o rbind\n"
    folder = snapshot_folder(mounts)
    assert folder == Path("/c/io.containerd.snapshotter.v1.overlayfs/snapshots/7/fs")


def test_another_snapshotter_is_refused_with_what_it_mounts() -> None:
    with pytest.raises(LocalClusterError, match="must be overlayfs"):
        snapshot_folder("mount -t overlay overlay /x -o lowerdir=/a,upperdir=/b")


def test_a_node_keeps_the_named_images_and_drops_all_names_of_older_ones() -> None:
    images = {
        "localhost/trainyard-x:new": "sha256:n",
        "localhost/trainyard-x@sha256:n": "sha256:n",
        "localhost/trainyard-x:before": "sha256:b",
        "localhost/trainyard-x:old": "sha256:o",
        "localhost/trainyard-x@sha256:o": "sha256:o",
        "sha256:config-of-old": "sha256:o",
        "sha256:config-of-new": "sha256:n",
        "localhost/trainyard-xy:other": "sha256:y",
        "sha256:config-of-other": "sha256:y",
    }
    keep = frozenset({"localhost/trainyard-x:new", "localhost/trainyard-x:before"})
    assert outdated(images, "localhost/trainyard-x", keep) == [
        "localhost/trainyard-x:old",
        "localhost/trainyard-x@sha256:o",
        "sha256:config-of-old",
    ]


def test_an_old_name_of_an_image_that_is_kept_stays() -> None:
    images = {"localhost/x:new": "sha256:same", "localhost/x:old": "sha256:same"}
    assert outdated(images, "localhost/x", frozenset({"localhost/x:new"})) == []


def test_a_missing_ctr_is_told(tmp_path: Path) -> None:
    node = Containerd(tmp_path / "none.sock", str(tmp_path / "ctr"))
    with pytest.raises(LocalClusterError, match="name containerd's ctr with --ctr"):
        node.images()
