"""What a model is asked about: images of a folder of this machine, and entities."""

from __future__ import annotations

import io
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.unit.labelled import image_bytes, write_folder
from tests.unit.trainer.untrained import write_box_classifier
from trainyard.api.capability import CapabilityType
from trainyard.datasets.errors import BadData
from trainyard.datasets.labels import Label
from trainyard_trainer import model
from trainyard_trainer.engines.base import Box
from trainyard_trainer.entities import read_entities
from trainyard_trainer.main import main
from trainyard_trainer.predict import Wanted, _from_folder, predict

PNG = image_bytes()


def blank(width: int, height: int) -> bytes:
    """A PNG of one bit a pixel."""
    buffer = io.BytesIO()
    Image.new("1", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


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
    found = {image.name: image.labels for image in _from_folder(tmp_path, everything=True)}
    assert found == expected


def test_a_picture_shows_images_from_everywhere_in_the_data(tmp_path: Path) -> None:
    write_folder(tmp_path, {f"{number:02d}.png": image_bytes(number) for number in range(30)})
    drawn = [image.name for image in _from_folder(tmp_path, everything=False)]
    assert drawn == [f"{number:02d}.png" for number in range(0, 24, 2)]
    everything = list(_from_folder(tmp_path, everything=True))
    assert len(everything) == 30
    assert [image.name for image in everything if image.drawn] == drawn


BOX = (0.1, 0.2, 0.3, 0.4)


@pytest.mark.parametrize(
    ("text", "of_a", "of_b"),
    [
        ("[[0.1, 0.2, 0.3, 0.4]]", (BOX,), (BOX,)),
        ('{"a.png": [[0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1]]}', (BOX, (0, 0, 1, 1)), ()),
        (
            '{"kind": "Predictions", "images": [{"image": "a.png", "answers": ['
            '{"points": [0.1, 0.2, 0.3, 0.4]}, {"points": [0.1, 0.3, 0.2, 0.2, 0.3, 0.4]}]}]}',
            (BOX, BOX),
            (),
        ),
        ("[]", (), ()),
    ],
    ids=["for all images", "by image", "what a detector said", "none"],
)
def test_entities_are_read_from_a_file(
    tmp_path: Path, text: str, of_a: tuple[Box, ...], of_b: tuple[Box, ...]
) -> None:
    (tmp_path / "entities.json").write_text(text)
    entities = read_entities(tmp_path / "entities.json")
    assert entities.of("a.png") == of_a
    assert entities.of("b.png") == of_b


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[0.1, 0.2", "entities.json: not JSON"),
        ("[" * 100_000, "entities.json: not JSON"),
        ("7", "neither a list nor an object: give a list of boxes"),
        ("[[1, 2, 3]]", "entities.json: entity 0: [1, 2, 3] is not a list of four numbers"),
        ('[["0", 0, 1, 1]]', '["0", 0, 1, 1] is not a list of four numbers'),
        ("[[0, 0, true, 1]]", "is not a list of four numbers"),
        ('{"a.png": [[0, 0, 300, 200]]}', "entities.json: a.png: entity 0: the box reaches outsi"),
        ("[[0, 0, NaN, 1]]", "entity 0: the box has the coordinate nan"),
        ("[[0.5, 0, 0.5, 1]]", "the box has no area"),
        ('{"a.png": 3}', "entities.json: a.png: not a list of boxes"),
        ('{"kind": "Predictions", "images": [{"image": "a.png"}]}', "an entry of images without"),
        ('{"kind": "Predictions", "images": [{"image": "a", "answers": [3]}]}', "3 is not a list"),
    ],
)
def test_a_file_of_entities_that_is_none_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "entities.json").write_text(text)
    with pytest.raises(BadData) as refused:
        read_entities(tmp_path / "entities.json")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_of_entities_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"no\.json: No such file or directory"):
        read_entities(tmp_path / "no.json")


def test_what_is_to_be_made_must_be_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["predict", "--weights", "w", "--config", "c", "--data", "d"])
    assert ended.value.code == 2
    assert "predict needs --out, --json or both" in capsys.readouterr().err


@pytest.fixture(scope="module")
def box_classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model.pth and config.yaml of a box classifier that has learnt nothing."""
    return write_box_classifier(tmp_path_factory.mktemp("model"))


def asked(files: Path, data: Path, entities: str | None, made: Path) -> dict[str, Any]:
    made.mkdir()
    if entities is not None:
        (made / "entities.json").write_text(entities)
    wanted = Wanted(
        made / "picture.png",
        made / "answers.json",
        None if entities is None else made / "entities.json",
    )
    predict(files / "model.pth", files / "config.yaml", [str(data)], wanted, made)
    document = json.loads((made / "answers.json").read_text())
    assert (document["apiVersion"], document["kind"]) == ("trainyard.dev/v1alpha1", "Predictions")
    return {image["image"]: image["answers"] for image in document["images"]}


def test_a_box_element_is_asked_about_the_entities_of_a_file_else_about_labelled_boxes(
    box_classifier: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    files = {
        "data.yaml": b"names: [disc, square]",
        "images/a.png": image_bytes(1),
        "images/b.png": image_bytes(2),
        "labels/a.txt": b"1 0.5 0.5 0.5 0.5\n0 0.25 0.25 0.5 0.5",
        "labels/b.txt": b"",
    }
    write_folder(data, files)
    by_label = asked(box_classifier, data, None, tmp_path / "labels")
    assert sorted(answer["points"] for answer in by_label["images/a.png"]) == [
        [0, 0, 0.5, 0.5],
        [0.25, 0.25, 0.75, 0.75],
    ]
    assert [answer["geometry"] for answer in by_label["images/b.png"]] == ["image"]
    entities = '{"images/b.png": [[0.25, 0.25, 0.75, 0.75]]}'
    by_file = asked(box_classifier, data, entities, tmp_path / "file")
    assert by_file["images/a.png"] == []
    assert [x["points"] for x in by_file["images/b.png"]] == [[0.25, 0.25, 0.75, 0.75]]
    # The same box, asked about in two ways.
    everywhere = asked(box_classifier, data, "[[0, 0, 0.5, 0.5]]", tmp_path / "everywhere")
    (first,) = everywhere["images/a.png"]
    assert first == next(x for x in by_label["images/a.png"] if x["points"] == [0, 0, 0.5, 0.5])
    # What a model said is a file of entities, too.
    again = (tmp_path / "file" / "answers.json").read_text()
    assert asked(box_classifier, data, again, tmp_path / "again") == by_file
    with pytest.raises(
        BadData, match=r"has no entities of the images in .* such as 'images/b.png'"
    ):
        asked(box_classifier, data, '{"b.png": [[0, 0, 1, 1]]}', tmp_path / "unknown")
    assert not (tmp_path / "unknown" / "answers.json").exists()


def test_answers_about_many_entities_are_those_about_each(
    box_classifier: Path, tmp_path: Path
) -> None:
    predictor = model.load(box_classifier / "model.pth", box_classifier / "config.yaml")
    image = Image.open(io.BytesIO(image_bytes(3)))
    boxes = [(0.01 * left, 0.1, 0.01 * left + 0.2, 0.9) for left in range(70)]
    answers = predictor.predict(image, boxes)
    assert [answer.points for answer in answers] == boxes
    alone = predictor.predict(image, boxes[69:])
    assert answers[69].confidence == pytest.approx(alone[0].confidence, abs=1e-5)


def test_an_image_is_read_as_it_was_in_training_whatever_its_kind(
    box_classifier: Path, tmp_path: Path
) -> None:
    predictor = model.load(box_classifier / "model.pth", box_classifier / "config.yaml")
    grey = np.linspace(0, 255, 64 * 64).reshape(64, 64).round()
    Image.fromarray(grey.astype(np.uint8)).save(tmp_path / "8.png")
    Image.fromarray((grey * 256).astype(np.uint16)).save(tmp_path / "16.png")
    (eight,) = predictor.predict_file(tmp_path / "8.png")
    (sixteen,) = predictor.predict_file(tmp_path / "16.png")
    assert sixteen.confidence == pytest.approx(eight.confidence, abs=1e-6)


def test_an_image_that_cannot_be_read_is_left_out_and_named(
    box_classifier: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = logging.getLogger("trainyard")
    log.addHandler(caplog.handler)
    write_folder(tmp_path / "data", {"a.png": b"no image", "b.png": image_bytes(2)})
    found = asked(box_classifier, tmp_path / "data", None, tmp_path / "made")
    log.removeHandler(caplog.handler)
    assert set(found) == {"b.png"}
    assert "left out: a.png: no image of a kind that is read (JPEG, PNG" in caplog.text
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadData, match="no images found in"):
        asked(box_classifier, tmp_path / "empty", None, tmp_path / "none")


UNUSABLE = {
    "no image": (b"hello", "x.png: no image of a kind that is read (JPEG, PNG, WEBP, TIFF, BMP)"),
    "nothing": (b"", "x.png: the file is empty"),
    "an image that is cut off": (image_bytes()[:-40], "x.png: the image is damaged or cut off"),
    "one pixel": (blank(1, 1), "x.png has 1 x 1 pixels: there is nothing to be seen in it"),
    "a line": (blank(20_000, 1), "x.png has 20000 x 1 pixels: there is nothing to be seen in it"),
    "too many pixels": (
        blank(20_000, 20_000),
        "x.png claims 20000 x 20000 pixels, more than the 178956970 allowed: remove it or cut it "
        "into tiles",
    ),
}


@pytest.mark.parametrize(("data", "said"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_named_image_that_cannot_be_used_is_told_in_a_sentence_once_the_others_were_answered(
    box_classifier: Path, tmp_path: Path, data: bytes, said: str
) -> None:
    (tmp_path / "x.png").write_bytes(data)
    (tmp_path / "good.png").write_bytes(image_bytes())
    answers = tmp_path / "answers.json"
    files = [str(tmp_path / name) for name in ("x.png", "good.png")]
    where = (box_classifier / "model.pth", box_classifier / "config.yaml")
    with pytest.raises(BadData) as refused:
        predict(*where, files, Wanted(answers=answers), tmp_path)
    assert str(refused.value) == said
    bad, good = json.loads(answers.read_text())["images"]
    assert bad == {"image": "x.png", "answers": [], "refused": said}
    assert (good["image"], len(good["answers"])) == ("good.png", 1)


def test_a_missing_image_is_told_in_a_sentence(box_classifier: Path, tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"no\.png: No such file or directory"):
        asked(box_classifier, tmp_path / "no.png", None, tmp_path / "made")


def test_an_image_of_which_a_detector_would_see_nothing_is_refused(
    box_classifier: Path, tmp_path: Path
) -> None:
    config = model.read_config(box_classifier / "config.yaml")
    rule = config.input.model_copy(update={"crop": None, "resize": "letterbox"})
    weights = model.load(box_classifier / "model.pth", box_classifier / "config.yaml")
    (tmp_path / "x.png").write_bytes(blank(20_000, 600))
    with pytest.raises(BadData, match=r"x\.png has 20000 x 600 pixels: nothing of its short side"):
        replace(weights, config=config.model_copy(update={"input": rule})).predict_file(
            tmp_path / "x.png"
        )


def test_files_of_one_name_are_told_apart_by_their_folders(
    box_classifier: Path, tmp_path: Path
) -> None:
    write_folder(tmp_path, {"1/a.png": image_bytes(1), "2/a.png": image_bytes(2), "b.png": PNG})
    files = [str(tmp_path / name) for name in ("1/a.png", "2/a.png", "b.png")]
    answers = tmp_path / "answers.json"
    where = (box_classifier / "model.pth", box_classifier / "config.yaml")
    predict(*where, files, Wanted(answers=answers), tmp_path)
    images = [image["image"] for image in json.loads(answers.read_text())["images"]]
    assert images == [files[0], files[1], "b.png"]


def test_of_one_image_more_is_to_be_seen_than_of_twelve(
    box_classifier: Path, tmp_path: Path
) -> None:
    write_folder(tmp_path / "data", {f"{n}.png": image_bytes(n) for n in range(12)})
    (tmp_path / "one.png").write_bytes(image_bytes())
    asked(box_classifier, tmp_path / "one.png", None, tmp_path / "one")
    asked(box_classifier, tmp_path / "data", None, tmp_path / "many")
    sizes = []
    for name in ("one", "many"):
        with Image.open(tmp_path / name / "picture.png") as picture:
            sizes.append(picture.width)
    assert sizes == [960 + 2 * 12, 3 * (240 + 12) + 12]


def test_one_image_alone_can_be_asked_about(box_classifier: Path, tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(image_bytes(5))
    found = asked(box_classifier, tmp_path / "one.png", None, tmp_path / "made")
    assert [answer["value"] in ("disc", "square") for answer in found["one.png"]] == [True]


def test_a_model_that_finds_entities_itself_is_asked_about_none(
    box_classifier: Path, tmp_path: Path
) -> None:
    # A whole-image classifier: the same network, which is not told to cut anything out.
    config = model.read_config(box_classifier / "config.yaml")
    capability = config.capability.model_copy(update={"type": CapabilityType.IMAGE_CLASSIFIER})
    rule = config.input.model_copy(update={"crop": None})
    changed = config.model_copy(update={"capability": capability, "input": rule})
    model.write_config(tmp_path / "config.yaml", changed)
    (tmp_path / "model.pth").write_bytes((box_classifier / "model.pth").read_bytes())
    (tmp_path / "one.png").write_bytes(image_bytes(5))
    with pytest.raises(
        BadData, match="a model of type ImageClassifierElement is asked about images"
    ):
        asked(tmp_path, tmp_path / "one.png", "[[0, 0, 1, 1]]", tmp_path / "made")
