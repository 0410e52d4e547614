import pytest

from trainyard.api.dataset import Selection
from trainyard.stores import ObjectInfo
from trainyard_trainer.data.formats import Plan, names_of, plan
from trainyard_trainer.faults import BadData, InvalidRunFile


def arrange(kind: str, files: dict[str, str], **options: object) -> Plan:
    selection = Selection.model_validate(
        {"source": {"s3": {"bucket": "data"}}, "format": kind, **options}
    )
    listing = [ObjectInfo(f"s3://data/{name}", name, 1, "v") for name in sorted(files)]
    return plan(selection, listing, lambda entry, _: files[entry.name].encode())


def test_folders_name_the_classes() -> None:
    made = arrange("folders", {"cat/a.jpg": "", "cat/deep/b.PNG": "", "dog/c.jpeg": ""})
    assert [(c.image.name, c.labels[0].value) for c in made.candidates] == [
        ("cat/a.jpg", "cat"),
        ("cat/deep/b.PNG", "cat"),
        ("dog/c.jpeg", "dog"),
    ]
    assert {(label.attribute, label.geometry) for c in made.candidates for label in c.labels} == {
        ("class", "image")
    }


def test_what_is_no_sample_of_a_folder_is_counted_by_reason() -> None:
    files = {
        "a.jpg": "",
        "cat/readme.md": "",
        "cat/.DS_Store": "",
        "cat/.a.jpg": "",
        "cat/b.jpg": "",
    }
    made = arrange("folders", files)
    assert len(made.candidates) == 1
    assert made.refused == {
        "NoClassFolder": ["a.jpg"],
        "OtherFile": ["cat/.DS_Store", "cat/.a.jpg", "cat/readme.md"],
    }


def test_numbered_folders_take_their_names_from_class_names() -> None:
    made = arrange("folders", {"1/a.jpg": "", "cat/b.jpg": ""}, classNames=["cat", "dog"])
    assert [c.labels[0].value for c in made.candidates] == ["dog", "cat"]


def test_a_folder_that_class_names_do_not_know_is_an_error() -> None:
    with pytest.raises(BadData, match="the folder 'bird' is neither one of the classNames"):
        arrange("folders", {"bird/a.jpg": ""}, classNames=["cat", "dog"])


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
def test_yolo_labels_lie_under_labels_or_beside(image: str, label: str) -> None:
    made = arrange("yolo", {image: "", label: "1 0.5 0.5 0.1 0.1"}, classNames=["cat", "dog"])
    (candidate,) = made.candidates
    assert candidate.label_file is not None
    assert candidate.label_file.name == label
    (found,) = made.labels_of(candidate, lambda *_: b"1 0.5 0.5 0.1 0.1")
    assert found.value == "dog"


def test_a_yolo_image_without_label_file_is_a_background() -> None:
    made = arrange("yolo", {"images/a.jpg": ""}, classNames=["cat"])
    assert made.labels_of(made.candidates[0], lambda *_: b"") == ()


def test_yolo_labels_without_image_are_counted_and_lists_of_tools_are_not() -> None:
    files = {"a.jpg": "", "a.txt": "", "gone.txt": "", "classes.txt": "", "train.txt": ""}
    made = arrange("yolo", files, classNames=["cat"])
    assert made.refused == {"LabelWithoutImage": ["gone.txt"]}


def test_yolo_names_come_from_data_yaml() -> None:
    files = {"data.yaml": "names: [cat, dog]\n", "a.jpg": ""}
    assert arrange("yolo", files).names == ("cat", "dog")


def test_class_names_of_the_selection_win_over_data_yaml() -> None:
    files = {"data.yaml": "names: [cat, dog]\n", "a.jpg": ""}
    assert arrange("yolo", files, classNames=["x", "y"]).names == ("x", "y")


def test_yolo_without_names_says_what_to_do() -> None:
    with pytest.raises(BadData, match=r"put a data\.yaml with `names` into the source, or give"):
        arrange("yolo", {"a.jpg": ""})


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
        (b"names: [[a]]", "is not a text"),
        (b"names: [a", "not valid YAML"),
        (b"x: &a [1]\nnames: *a", "aliases"),
        (b"names: !!python/object/apply:os.system [id]", "not valid YAML"),
    ],
)
def test_a_bad_data_yaml_is_named(text: bytes, said: str) -> None:
    with pytest.raises(BadData, match=r"data\.yaml") as caught:
        names_of(text, "data.yaml")
    assert said in str(caught.value)


@pytest.mark.parametrize("kind", ["coco", "voc", "records"])
def test_other_formats_are_not_supported_yet(kind: str) -> None:
    with pytest.raises(InvalidRunFile, match=f"the format '{kind}' is not supported yet"):
        arrange(kind, {"a.jpg": ""})
