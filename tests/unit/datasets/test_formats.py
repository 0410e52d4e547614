import re
from pathlib import Path

import pytest
import yaml

from tests.unit.datasets.arranged import arrange, labels, refused
from trainyard.api.dataset import DataFormat, Dataset
from trainyard.api.grouping import parse_group_by
from trainyard.datasets.errors import BadData
from trainyard.datasets.formats.voc import parse_voc
from trainyard.datasets.formats.yolo import names_of
from trainyard.datasets.labels import Label
from trainyard.datasets.refusals import HARMLESS


def test_folders_name_the_classes(tmp_path: Path) -> None:
    made = arrange(tmp_path, "folders", {"cat/a.jpg": "", "cat/deep/b.PNG": "", "dog/c.jpeg": ""})
    assert len(made) == 3
    assert labels(made) == {
        "cat/a.jpg": (Label("class", "cat", "image"),),
        "cat/deep/b.PNG": (Label("class", "cat", "image"),),
        "dog/c.jpeg": (Label("class", "dog", "image"),),
    }


def test_what_is_no_sample_of_a_folder_is_counted_by_reason(tmp_path: Path) -> None:
    files = {
        "a.jpg": "",
        "cat/readme.md": "",
        "cat/.DS_Store": "",
        "cat/.a.jpg": "",
        "cat/b.jpg": "",
    }
    made = arrange(tmp_path, "folders", files)
    assert len(made) == 1
    assert refused(made) == {
        "NoClassFolder": ("a.jpg",),
        "OtherFile": ("cat/.DS_Store", "cat/.a.jpg", "cat/readme.md"),
    }


def test_numbered_folders_take_their_names_from_class_names(tmp_path: Path) -> None:
    made = arrange(tmp_path, "folders", {"1/a.jpg": "", "cat/b.jpg": ""}, classNames=["cat", "dog"])
    assert [found[0].value for found in labels(made).values()] == ["dog", "cat"]


def test_a_folder_that_class_names_do_not_know_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="the folder 'bird' is neither one of the classNames"):
        arrange(tmp_path, "folders", {"bird/a.jpg": ""}, classNames=["cat", "dog"])


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("images/a.jpg", "labels/a.txt"),
        ("train/images/a.jpg", "train/labels/a.txt"),
        ("images/train/a.jpg", "labels/train/a.txt"),
        ("a.jpg", "a.txt"),
        ("images/a.jpg", "images/a.txt"),
    ],
)
def test_yolo_labels_lie_under_labels_or_beside(tmp_path: Path, image: str, label: str) -> None:
    made = arrange(
        tmp_path, "yolo", {image: "", label: "1 0.5 0.5 0.1 0.1"}, classNames=["cat", "dog"]
    )
    ((found,),) = labels(made).values()
    assert found.value == "dog"
    assert refused(made) == {}


def test_a_yolo_image_without_label_file_is_a_background(tmp_path: Path) -> None:
    made = arrange(tmp_path, "yolo", {"images/a.jpg": ""}, classNames=["cat"])
    assert labels(made) == {"images/a.jpg": ()}


def test_yolo_labels_without_image_are_counted_and_lists_of_tools_are_not(tmp_path: Path) -> None:
    files = {"a.jpg": "", "a.txt": "", "gone.txt": "", "classes.txt": "", "train.txt": ""}
    made = arrange(tmp_path, "yolo", files, classNames=["cat"])
    assert refused(made) == {"LabelWithoutImage": ("gone.txt",)}


@pytest.mark.parametrize("kind", ["yolo", "voc"])
def test_what_macos_adds_to_archives_is_no_label(tmp_path: Path, kind: str) -> None:
    label = {"yolo": "a.txt", "voc": "a.xml"}[kind]
    files = {"a.jpg": "", label: "", f"__MACOSX/._{label}": "\0", f"._{label}": "\0"}
    made = arrange(tmp_path, kind, files, classNames=["cat"])
    assert refused(made) == {"OtherFile": (f"._{label}", f"__MACOSX/._{label}")}


@pytest.mark.parametrize("kind", ["yolo", "voc"])
@pytest.mark.parametrize("image", ["a.Jpg", "a.JPEG", "a.webP"])
def test_an_extension_is_one_however_it_is_written(tmp_path: Path, kind: str, image: str) -> None:
    label = {"yolo": "a.txt", "voc": "a.xml"}[kind]
    made = arrange(tmp_path, kind, {image: "", "a.b.jpg": "", label: ""}, classNames=["cat"])
    assert "LabelWithoutImage" not in refused(made)


def test_yolo_names_come_from_data_yaml(tmp_path: Path) -> None:
    files = {"data.yaml": "names: [cat, dog]\n", "a.jpg": "", "a.txt": "1 0.5 0.5 0.1 0.1"}
    ((found,),) = labels(arrange(tmp_path, "yolo", files)).values()
    assert found.value == "dog"


def test_class_names_of_the_selection_win_over_data_yaml(tmp_path: Path) -> None:
    files = {"data.yaml": "names: [cat, dog]\n", "a.jpg": "", "a.txt": "1 0.5 0.5 0.1 0.1"}
    ((found,),) = labels(arrange(tmp_path, "yolo", files, classNames=["x", "y"])).values()
    assert found.value == "y"


def test_yolo_without_names_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"put a data\.yaml with `names` into the source, or give"):
        arrange(tmp_path, "yolo", {"a.jpg": ""})


def test_names_may_be_a_map_from_numbers() -> None:
    assert names_of(b"names: {1: dog, 0: cat}", "data.yaml") == ("cat", "dog")


def test_what_a_data_yaml_would_have_run_is_only_text() -> None:
    text = b"names: [cat]\ndownload: |\n  import os; os.system('touch /tmp/owned')\n"
    assert names_of(text, "data.yaml") == ("cat",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"nc: 3", "names must be a list"),
        (b"names: cat", "names must be a list"),
        (b"names: []", "names must be a list"),
        (b"names: {0: a, 2: b}", "names must have the keys 0 to 1"),
        (b"names: [a, a]", "a class name is given twice"),
        (b"names: [[a]]", "is not a line of 1 to 128 characters"),
        (b"names: [yes, no]", "the class name True is not a line"),
        (b'names: ["a\\u202eb"]', "without control characters"),
        (b"names: [a", "not valid YAML"),
        (b"x: &a [1]\nnames: *a", "aliases"),
        (b"names: !!python/object/apply:os.system [id]", "not valid YAML"),
    ],
)
def test_a_bad_data_yaml_is_named(text: bytes, said: str) -> None:
    with pytest.raises(BadData, match=r"data\.yaml") as caught:
        names_of(text, "data.yaml")
    assert said in str(caught.value)


EXAMPLES = Path(__file__).parents[3] / "examples" / "formats"


def test_there_is_an_example_of_every_format() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.yaml")} == set(DataFormat)


@pytest.mark.parametrize("kind", DataFormat)
def test_an_example_is_a_dataset_of_its_format(kind: DataFormat) -> None:
    document = yaml.safe_load((EXAMPLES / f"{kind}.yaml").read_text())
    assert document["apiVersion"] == "trainyard.dev/v1alpha1"
    spec = Dataset.model_validate(document).spec
    assert_kept(document["spec"], spec.to_wire())
    (selection,) = spec.selections
    assert selection.format is kind
    if spec.group_by is not None:
        parse_group_by(spec.group_by, [kind])


def assert_kept(given: object, made: object) -> None:
    """All that is given is in what was made of it: no field is unknown."""
    if isinstance(given, dict) and isinstance(made, dict):
        for key, value in given.items():
            assert_kept(value, made[key])
    elif isinstance(given, list) and isinstance(made, list):
        for value, other in zip(given, made, strict=True):
            assert_kept(value, other)
    else:
        assert given == made


PAGE = (EXAMPLES.parents[1] / "docs" / "formats.md").read_text()


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.M)
    return str(found)


def test_what_the_page_shows_is_read_as_it_says(tmp_path: Path) -> None:
    voc = parse_voc(block("xml").encode(), "plot-1.xml", "class")
    assert voc.size == (500, 375)
    assert voc.labels == (Label("class", "tree", "box", (0.0, 10 / 375, 0.2, 25 / 375)),)
    files = {"rows.jsonl": block("json"), "i/1.jpg": "", "i/2.jpg": ""}
    assert labels(arrange(tmp_path, "records", files)) == {
        "i/1.jpg": (
            Label("class", "pump", "box", (0.1, 0.2, 0.5, 0.6)),
            Label("state", "rusty", "image"),
        ),
        "i/2.jpg": (),
    }


def test_the_page_tells_which_reasons_are_harmless() -> None:
    rows = re.findall(r"^\| (`[A-Z].*?) \|.*\| (yes|no) \|$", PAGE, re.M)
    told = {reason: said for names, said in rows for reason in re.findall(r"`(\w+)`", names)}
    assert {reason for reason, said in told.items() if said == "no"} == HARMLESS
    assert len(told) > len(HARMLESS)
