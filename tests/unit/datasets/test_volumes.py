"""Sources on volumes: read where they are mounted, named by their claim, never left by a link."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.labelled import image_bytes, write_folder
from tests.unit.sources import snapshot_run
from trainyard.api.run import StoreLocation
from trainyard.datasets.errors import BadData
from trainyard.datasets.reading import read_snapshot
from trainyard.datasets.snapshot import MadeSnapshot, make_snapshot
from trainyard.stores import AccessDenied, Store, open_store


@pytest.fixture
def local() -> Store:
    return open_store(StoreLocation())


def snapshot(store: Store, tmp_path: Path, *volumes: dict[str, str], kind: str) -> MadeSnapshot:
    """A snapshot of volumes that are mounted at tmp_path/0, tmp_path/1, ..."""
    selections = [{"source": {"volume": x}, "format": kind} for x in volumes]
    run = snapshot_run(f"file://{tmp_path}/out", *selections)
    return make_snapshot(store, run, lambda *_: None, mounts=lambda index: f"{tmp_path}/{index}")


def refused(store: Store, tmp_path: Path, kind: str = "folders", **volume: Any) -> str:
    with pytest.raises((BadData, AccessDenied)) as caught:
        snapshot(store, tmp_path, {"claimName": "pictures", **volume}, kind=kind)
    return str(caught.value)


def test_each_selection_reads_its_own_volume(local: Store, tmp_path: Path) -> None:
    write_folder(tmp_path / "0", {"a/1.png": image_bytes(1), "a/2.png": image_bytes(2)})
    write_folder(tmp_path / "1", {"deep/er/b/3.png": image_bytes(3), "b/4.png": image_bytes(4)})
    both = ({"claimName": "one"}, {"claimName": "two", "path": "deep/er"})
    made = snapshot(local, tmp_path, *both, kind="folders")
    described = read_snapshot(local, made.location)
    assert [(x.value, x.count) for x in described.classes] == [("a", 2), ("b", 1)]


def test_a_label_that_cannot_be_used_is_named_by_its_claim(local: Store, tmp_path: Path) -> None:
    files = {"images/1.png": image_bytes(1), "labels/1.txt": b"0 2 0 1 1"}
    write_folder(tmp_path / "0" / "train", files | {"data.yaml": b"names: [a]"})
    said = refused(local, tmp_path, "yolo", path="train")
    assert said.startswith("labels/1.txt:1: 2 is outside of 0..1")
    assert said.endswith("(in pictures:train)")


def test_a_path_without_images_is_named_by_its_claim(local: Store, tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    assert refused(local, tmp_path, path="absent") == (
        "there are no files under pictures:absent: check the path"
    )


def test_links_out_of_a_volume_are_not_followed(local: Store, tmp_path: Path) -> None:
    write_folder(tmp_path / "secret", {"a/1.png": image_bytes(1)})
    write_folder(tmp_path / "0", {"a/2.png": image_bytes(2)})
    (tmp_path / "0" / "b").symlink_to(tmp_path / "secret" / "a")
    (tmp_path / "0" / "a" / "3.png").symlink_to(tmp_path / "secret" / "a" / "1.png")
    made = snapshot(local, tmp_path, {"claimName": "pictures"}, kind="folders")
    assert made.samples == 1


@pytest.mark.parametrize("path", ["out", "out/a", "inside/../../secret"])
def test_a_path_that_leads_out_of_the_volume_is_refused(
    local: Store, tmp_path: Path, path: str
) -> None:
    write_folder(tmp_path / "secret", {"a/1.png": image_bytes(1)})
    write_folder(tmp_path / "0", {"inside/a/1.png": image_bytes(1)})
    (tmp_path / "0" / "out").symlink_to(tmp_path / "secret")
    said = refused(local, tmp_path, path=path)
    assert f"path {path!r} leads out of the volume pictures by a symbolic link" in said


def test_a_link_within_the_volume_may_be_the_path(local: Store, tmp_path: Path) -> None:
    write_folder(tmp_path / "0", {"v2/a/1.png": image_bytes(1)})
    (tmp_path / "0" / "current").symlink_to("v2")
    volume = {"claimName": "pictures", "path": "current"}
    assert snapshot(local, tmp_path, volume, kind="folders").samples == 1
