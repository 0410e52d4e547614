"""`trainyard predict` as a person types it: a model of this machine, which is really asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.unit.labelled import image_bytes
from tests.unit.trainer.untrained import write_box_classifier


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a model and images."""
    made = write_box_classifier(tmp_path_factory.mktemp("asked"))
    for number in range(3):
        (made / f"{number}.png").write_bytes(image_bytes(number))
    (made / "cut.png").write_bytes(image_bytes()[:-30])
    return made


def predict(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "TRAINYARD_"))}
    environ = kept | {"HOME": str(folder), "KUBECONFIG": str(folder / "none")}
    command = [sys.executable, "-m", "trainyard.cli", "predict", *words]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True)
    print(f"$ trainyard predict {' '.join(words)}\n{done.stdout}{done.stderr}")
    assert "Traceback" not in done.stdout + done.stderr
    return done


def test_a_model_of_this_machine_answers_without_a_cluster_and_its_answers_are_drawn(
    folder: Path,
) -> None:
    boxes = ["--boxes", "0,0,0.5,0.5", "--boxes", "0.25,0.25,1,1"]
    done = predict(folder, "model.pth", "0.png", "1.png", *boxes, "--out", "drawn.png")
    assert done.returncode == 0
    titles, *rows = (line.split() for line in done.stdout.splitlines())
    assert titles == ["IMAGE", "ANSWER", "CONFIDENCE", "WHERE"]
    assert [(row[0], *row[3:]) for row in rows] == [
        (name, "box", box)
        for name in ("0.png", "1.png")
        for box in ("0.000,0.000,0.500,0.500", "0.250,0.250,1.000,1.000")
    ]
    assert done.stderr == "wrote drawn.png\n"
    with Image.open(folder / "drawn.png") as picture:
        assert picture.format == "PNG"


def test_programs_get_the_answers_as_json_and_nothing_else(folder: Path) -> None:
    boxes = ["--boxes", "0.1,0.1,0.9,0.9"]
    done = predict(folder, "model.pth", "0.png", "2.png", *boxes, "--output", "json")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert document["kind"] == "Predictions"
    assert [image["image"] for image in document["images"]] == ["0.png", "2.png"]
    # They are entities again.
    (folder / "again.json").write_text(done.stdout)
    again = predict(folder, "model.pth", "2.png", "--entities", "again.json", "--output", "json")
    assert again.returncode == 0


def test_images_that_cannot_be_used_are_told_beside_the_answers_about_the_others(
    folder: Path,
) -> None:
    done = predict(folder, "model.pth", "cut.png", "0.png", "no.png")
    assert done.returncode == 65
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["IMAGE", "0.png"]
    assert done.stderr.splitlines() == [
        "cut.png: the image is damaged or cut off",
        "no.png: No such file or directory",
        "Error: 2 of 3 images cannot be used",
    ]


REFUSED = {
    "no weights": (["no.pth", "0.png"], 1, "Error: there is no file no.pth"),
    "no config.yaml": (
        ["elsewhere/model.pth", "0.png"],
        1,
        "Error: there is no file elsewhere/config.yaml: give --config, the config.yaml of",
    ),
    "weights that are none": (
        ["text.pth", "0.png", "--config", "config.yaml"],
        65,
        "Error: UnusableModel: text.pth is no model.pth of Trainyard",
    ),
    "a config.yaml that is none": (
        ["model.pth", "0.png", "--config", "text.pth"],
        65,
        "Error: UnusableModel: text.pth: ",
    ),
    "entities that are none": (
        ["model.pth", "0.png", "--entities", "text.pth"],
        65,
        "Error: BadData: text.pth: not JSON",
    ),
    "a box outside": (
        ["model.pth", "0.png", "--boxes", "0,0,2,1"],
        2,
        "'0,0,2,1' is not left, top, right and bottom in 0..1",
    ),
    "boxes twice": (
        ["model.pth", "0.png", "--boxes", "0,0,1,1", "--entities", "text.pth"],
        2,
        "Error: give --entities or --boxes, not both",
    ),
    "a picture of another kind": (
        ["model.pth", "0.png", "--out", "x.jpg"],
        2,
        "x.jpg does not end in .png",
    ),
    "an empty folder": (["model.pth", "empty"], 65, "Error: BadData: no images found in empty"),
}


@pytest.mark.parametrize(("words", "code", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_asked_is_told_in_a_sentence_with_an_exit_code(
    folder: Path, words: list[str], code: int, said: str
) -> None:
    (folder / "text.pth").write_text("hello: world")
    (folder / "empty").mkdir(exist_ok=True)
    (folder / "elsewhere").mkdir(exist_ok=True)
    (folder / "elsewhere" / "model.pth").write_bytes((folder / "model.pth").read_bytes())
    done = predict(folder, *words)
    assert done.returncode == code
    assert said in done.stderr
    assert done.stdout == ""
