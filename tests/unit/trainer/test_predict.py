"""What is drawn of a folder of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.labelled import image_bytes, write_folder
from trainyard.datasets.labels import Label
from trainyard_trainer.predict import _from_folder

PNG = image_bytes()


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {
                "data.yaml": b"names: [cat, dog]",
                "images/a.png": PNG,
                "labels/a.txt": b"1 0.5 0.5 1 1",
            },
            {"images/a.png": (Label("class", "dog", "box", (0.0, 0.0, 1.0, 1.0)),)},
        ),
        (
            {"cat/a.png": PNG, "dog/b.png": PNG},
            {
                "cat/a.png": (Label("class", "cat", "image"),),
                "dog/b.png": (Label("class", "dog", "image"),),
            },
        ),
        ({"a.png": PNG, "readme.txt": b"hello"}, {"a.png": ()}),
    ],
    ids=["YOLO", "class folders", "images without labels"],
)
def test_labels_of_a_folder_are_told_by_its_layout(
    tmp_path: Path, files: dict[str, bytes], expected: dict[str, tuple[Label, ...]]
) -> None:
    write_folder(tmp_path, files)
    found = {path.relative_to(tmp_path).as_posix(): x for path, x in _from_folder(tmp_path)}
    assert found == expected
