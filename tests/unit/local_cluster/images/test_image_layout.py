"""OCI layouts and the archives that nodes import."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from trainyard_local.errors import LocalClusterError
from trainyard_local.images.layers import Layer
from trainyard_local.images.layout import (
    CONFIG_TYPE,
    CONTAINERD_NAME,
    LAYER_TYPE,
    MANIFEST_TYPE,
    TAG,
    Layout,
    with_lowest_layer,
    write_archive,
)

HEAVY = Layer(f"sha256:{'a' * 64}", 5_000_000_000)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "layout")
    layout.write_index([])
    return layout


def write_image(layout: Layout, content: str) -> tuple[str, dict[str, Any]]:
    layer = layout.write({"stands for": content}, LAYER_TYPE)
    config = {
        "created": "1970-01-01T00:00:00Z",
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        "history": [{"created_by": content}],
    }
    described = layout.write(config, CONFIG_TYPE)
    manifest = {"schemaVersion": 2, "config": described, "layers": [layer]}
    return str(layout.write(manifest, MANIFEST_TYPE)["digest"]), manifest


def test_the_heavy_layer_lies_below_all_others(layout: Layout) -> None:
    _, manifest = write_image(layout, "base")
    before = layout.read(manifest["config"]["digest"])
    config, layers = with_lowest_layer(before, manifest, HEAVY, "the venv")
    assert config["rootfs"]["diff_ids"] == [HEAVY.digest, *before["rootfs"]["diff_ids"]]
    assert [entry["created_by"] for entry in config["history"]] == ["the venv", "base"]
    assert layers[0] == {"mediaType": LAYER_TYPE, "digest": HEAVY.digest, "size": HEAVY.size}
    assert layers[1:] == manifest["layers"]
    # One entry a layer, else container tools refuse the image.
    assert len(config["history"]) == len(layers) == len(config["rootfs"]["diff_ids"])


def test_an_archive_names_the_image_and_leaves_out_what_the_reader_has(layout: Layout) -> None:
    digest, manifest = write_image(layout, "base")
    target = io.BytesIO()
    names = ("localhost/x:1", f"localhost/x@{digest}")
    write_archive(layout, digest, names, {manifest["layers"][0]["digest"]}, target)
    with tarfile.open(fileobj=io.BytesIO(target.getvalue())) as archive:
        files = {member.name: archive.extractfile(member) for member in archive}
        index = json.loads(files["index.json"].read())  # type: ignore[union-attr]
    named = [entry["annotations"][CONTAINERD_NAME] for entry in index["manifests"]]
    assert named == list(names)
    assert {entry["digest"] for entry in index["manifests"]} == {digest}
    blobs = {name for name in files if name.startswith("blobs/")}
    wanted = (digest, manifest["config"]["digest"])
    assert blobs == {f"blobs/sha256/{d.removeprefix('sha256:')}" for d in wanted}


def test_blobs_that_no_image_needs_are_deleted_and_shared_ones_stay(layout: Layout) -> None:
    tagged, _ = write_image(layout, "tagged")
    kept, manifest = write_image(layout, "kept")
    gone, old = write_image(layout, "gone")
    layout.write_index([{"digest": tagged, "annotations": {TAG: "tagged"}}])
    layout.remove_unused([kept])
    assert layout.read(layout.tagged("tagged"))["layers"]
    assert layout.read(manifest["layers"][0]["digest"])
    for digest in (gone, old["config"]["digest"], old["layers"][0]["digest"]):
        assert not layout.blob(digest).exists()


def test_an_unknown_tag_is_told(layout: Layout) -> None:
    with pytest.raises(LocalClusterError, match="has no image trainer"):
        layout.tagged("trainer")
