"""Folders of classes that a person may have edited before something is trained on them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.labelled import image_bytes
from trainyard.datasets.errors import BadData
from trainyard_trainer.engines.class_folders import ClassFolders, class_name
from trainyard_trainer.engines.classify import Classifier
from trainyard_trainer.engines.embed import Embedder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two images of each of three classes in each split; dev has none of the last class."""
    for split, classes in (("train", 3), ("dev", 2), ("test", 3)):
        for index in range(classes):
            folder = tmp_path / split / class_name(index)
            folder.mkdir(parents=True)
            for seed in range(2):
                (folder / f"{seed}.png").write_bytes(image_bytes(seed))
    return tmp_path


def gone(path: str) -> Callable[[Path], None]:
    return lambda root: shutil.rmtree(root / path)


def emptied(path: str) -> Callable[[Path], None]:
    def empty(root: Path) -> None:
        for file in (root / path).iterdir():
            file.unlink()

    return empty


def added(path: str) -> Callable[[Path], None]:
    def add(root: Path) -> None:
        (root / path).mkdir()
        (root / path / "0.png").write_bytes(image_bytes(0))

    return add


@pytest.mark.parametrize("engine", [Classifier(), Embedder()])
def test_what_was_laid_out_is_taken(engine: ClassFolders, root: Path) -> None:
    assert engine.finish_layout(root, 3) == root
    assert (root / "val" / "00000" / "0.png").is_file()


@pytest.mark.parametrize("engine", [Classifier(), Embedder()])
@pytest.mark.parametrize(
    ("edit", "said"),
    [
        pytest.param(gone("train/00001"), "train has no folder 00001", id="a class is gone"),
        pytest.param(emptied("dev/00001"), "dev/00001 is empty", id="no image of a class is left"),
        pytest.param(
            added("test/cats"),
            "test/cats is the folder of no class: they are called 00000 to 00002",
            id="a folder of another name",
        ),
    ],
)
def test_folders_that_are_not_those_of_the_classes_are_refused(
    engine: ClassFolders, edit: Callable[[Path], None], said: str, root: Path
) -> None:
    # The libraries number the folders that they find: every class after it would be another.
    edit(root)
    with pytest.raises(BadData, match=said):
        engine.finish_layout(root, 3)


@pytest.mark.parametrize("split", ["dev", "test"])
def test_nothing_to_retrieve_is_told_before_the_training(split: str, root: Path) -> None:
    for path in (root / split).glob("*/1.png"):
        path.unlink()
    with pytest.raises(BadData, match=f"{split} has no identity with two crops"):
        Embedder().finish_layout(root, 3)
    assert Classifier().finish_layout(root, 3) == root
