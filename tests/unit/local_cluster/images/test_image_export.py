"""An exported image is whole, although nothing here has the blob of its heaviest layer."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from trainyard_local.errors import LocalClusterError
from trainyard_local.images import export
from trainyard_local.images.build import BuiltImage
from trainyard_local.images.dependencies import VENV
from trainyard_local.images.layers import pack
from trainyard_local.images.layout import CONFIG_TYPE, LAYER_TYPE, MANIFEST_TYPE, Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "layout")


def built(tmp_path: Path, layout: Layout) -> BuiltImage:
    heavy_folder = tmp_path / "venv"
    heavy_folder.mkdir()
    (heavy_folder / "library.py").write_text("print('heavy')\n" * 10_000)
    heavy = pack(heavy_folder, VENV.lstrip("/"), io.BytesIO())
    config = layout.write({"rootfs": {"diff_ids": [heavy.digest]}}, CONFIG_TYPE)
    layers = [{"mediaType": LAYER_TYPE, "digest": heavy.digest, "size": heavy.size}]
    manifest = layout.write({"schemaVersion": 2, "config": config, "layers": layers}, MANIFEST_TYPE)
    reference = "localhost/trainyard-operator:0123"
    return BuiltImage("operator", reference, manifest["digest"], heavy, str(heavy_folder))


def test_every_blob_of_the_archive_has_the_digest_that_names_it(
    tmp_path: Path, layout: Layout
) -> None:
    image = built(tmp_path, layout)
    target = tmp_path / export.archive_name(image)

    export._export(image, layout, target)

    assert target.name == "trainyard-operator-0123.tar"
    with tarfile.open(target) as archive:
        contents = {m.name: archive.extractfile(m).read() for m in archive}  # type: ignore[union-attr]
    blobs = {name: data for name, data in contents.items() if name.startswith("blobs/")}
    assert f"blobs/sha256/{image.heavy.digest.removeprefix('sha256:')}" in blobs
    for name, data in blobs.items():
        assert name == f"blobs/sha256/{hashlib.sha256(data).hexdigest()}"
    (entry,) = json.loads(contents["index.json"])["manifests"]
    assert image.reference in entry["annotations"].values()


@pytest.mark.parametrize("text", ["short", "long" * 100_000, "print('other')\n" * 10_000])
def test_dependencies_that_changed_since_the_build_give_no_archive(
    tmp_path: Path, layout: Layout, text: str
) -> None:
    image = built(tmp_path, layout)
    (tmp_path / "venv" / "library.py").write_text(text)
    target = tmp_path / "image.tar"

    with pytest.raises(LocalClusterError):
        export._export(image, layout, target)

    assert [path.name for path in tmp_path.iterdir() if "image.tar" in path.name] == []
