import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.unit.datasets.arranged import arrange, labels, refused
from trainyard.datasets.errors import BadData
from trainyard.datasets.formats import Format
from trainyard.datasets.formats.coco import image_folders
from trainyard.datasets.labels import Label

IMAGE: dict[str, Any] = {"id": 1, "file_name": "a.jpg", "width": 100, "height": 50}
BOX: dict[str, Any] = {"id": 17, "image_id": 1, "category_id": 3, "bbox": [10, 10, 40, 20]}
CATEGORY: dict[str, Any] = {"id": 3, "name": "cat"}


def document(
    *annotations: Mapping[str, object],
    images: tuple[Mapping[str, object], ...] = (IMAGE,),
    categories: tuple[Mapping[str, object], ...] = (CATEGORY,),
    **more: object,
) -> str:
    return json.dumps(
        {
            "info": {"year": 2024, "contributors": [["deep", {"er": []}]]},
            "annotations": annotations,
            "images": images,
            "categories": categories,
            **more,
        }
    )


def shaped(**shape: object) -> dict[str, object]:
    return {"id": 17, "image_id": 1, "category_id": 3, **shape}


def opened(root: Path, text: str | bytes, **options: object) -> Format:
    return arrange(root, "coco", {"annotations/x.json": text, "images/a.jpg": ""}, **options)


def only(root: Path, text: str, **options: object) -> Label:
    ((found,),) = labels(opened(root, text, **options)).values()
    return found


def test_a_bbox_becomes_a_box_in_parts_of_the_image(tmp_path: Path) -> None:
    assert only(tmp_path, document(BOX)) == Label("class", "cat", "box", (0.1, 0.2, 0.5, 0.6))


def test_a_segmentation_becomes_a_polygon_and_its_bbox_is_not_looked_at(tmp_path: Path) -> None:
    text = document(shaped(segmentation=[[0, 0, 50, 0, 50, 25]], bbox=["no", "box"]))
    expected = (0.0, 0.0, 0.5, 0.0, 0.5, 0.5)
    assert only(tmp_path, text) == Label("class", "cat", "polygon", expected)


@pytest.mark.parametrize("empty", [[], {}, None, [[]]])
def test_an_empty_segmentation_is_none(tmp_path: Path, empty: object) -> None:
    found = only(tmp_path, document(shaped(segmentation=empty, bbox=[0, 0, 50, 50])))
    assert found.geometry == "box"


def test_the_parts_of_one_object_become_one_ring(tmp_path: Path) -> None:
    small, large = [60, 10, 70, 10, 70, 20], [0, 0, 50, 0, 50, 50, 0, 50]
    found = only(tmp_path, document(shaped(segmentation=[small, large])))
    # From the large one over its corner (50, 0) to the small one's (60, 10), around, and back.
    assert [round(x * 100) for x in found.points[::2]] == [0, 50, 60, 70, 70, 60, 50, 50, 0]
    assert [round(y * 50) for y in found.points[1::2]] == [0, 0, 10, 10, 20, 10, 0, 50, 50]


def test_ids_need_not_follow_each_other_and_may_be_texts(tmp_path: Path) -> None:
    text = document(
        {**BOX, "image_id": "i-1", "category_id": 900},
        images=({**IMAGE, "id": "i-1"},),
        categories=({"id": 900, "name": "dog"}, {"id": 7, "name": "cat"}),
    )
    assert only(tmp_path, text).value == "dog"


def test_a_box_that_ends_a_little_over_the_edge_is_cut_off(tmp_path: Path) -> None:
    assert only(tmp_path, document(shaped(bbox=[-0.5, 0, 101, 50]))).points == (0, 0, 1, 1)


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("a.jpg", "annotations/a.jpg"),
        ("a.jpg", "images/a.jpg"),
        ("a.jpg", "a.jpg"),
        ("a.jpg", "train2017/a.jpg"),
        ("a.jpg", "images/train2017/a.jpg"),
        ("images/a.jpg", "images/a.jpg"),
        ("./images/a.jpg", "images/a.jpg"),
        ("images\\a.jpg", "images/a.jpg"),
    ],
)
def test_images_are_found_where_tools_put_them(tmp_path: Path, name: str, there: str) -> None:
    text = document(BOX, images=({**IMAGE, "file_name": name},))
    made = arrange(tmp_path, "coco", {"annotations/instances_train2017.json": text, there: ""})
    assert list(labels(made)) == [there]
    assert refused(made) == {}


def test_the_folder_of_the_split_comes_first() -> None:
    folders = image_folders("annotations/instances_val2017.json")
    assert folders.index("images/val2017") < folders.index("val2017") < folders.index("images")


def test_train_and_val_with_the_same_names_keep_to_their_own_images(tmp_path: Path) -> None:
    dog = ({"id": 3, "name": "dog"},)
    files = {
        "annotations/instances_train.json": document(BOX),
        "annotations/instances_val.json": document(BOX, categories=dog),
        "train/a.jpg": "",
        "val/a.jpg": "",
    }
    made = arrange(tmp_path, "coco", files)
    assert {name: found[0].value for name, found in labels(made).items()} == {
        "train/a.jpg": "cat",
        "val/a.jpg": "dog",
    }


def test_an_image_of_two_files_has_the_labels_of_both(tmp_path: Path) -> None:
    dog = ({"id": 3, "name": "dog"},)
    files = {
        "x.json": document(BOX),
        "y.json": document(BOX, categories=dog),
        "z.json": document(BOX),
        "a.jpg": "",
    }
    (found,) = labels(arrange(tmp_path, "coco", files)).values()
    assert [label.value for label in found] == ["cat", "dog"]


def test_roboflow_puts_the_file_beside_the_images(tmp_path: Path) -> None:
    files = {"train/_annotations.coco.json": document(BOX), "train/a.jpg": ""}
    assert list(labels(arrange(tmp_path, "coco", files))) == ["train/a.jpg"]


def test_what_no_file_names_and_what_is_not_there_are_counted_apart(tmp_path: Path) -> None:
    images = (IMAGE, {**IMAGE, "id": 2, "file_name": "gone.jpg"})
    files = {
        "x.json": document(BOX, {**BOX, "id": 18, "image_id": 2}, images=images),
        "captions.json": json.dumps({"images": [], "annotations": [{"caption": "a cat"}]}),
        "package.json": '{"name": "tool", "images": {"not": "a list"}}',
        "list.json": "[1, 2, [3]]",
        "a.jpg": "",
        "b.jpg": "",
        "readme.md": "",
        "other/deep.json": "{ not read",
    }
    made = arrange(tmp_path, "coco", files)
    assert len(made) == len(labels(made)) == 1
    assert refused(made) == {
        "ImageMissing": ("gone.jpg",),
        "NotInAnnotations": ("b.jpg",),
        "OtherFile": (
            "captions.json",
            "list.json",
            "other/deep.json",
            "package.json",
            "readme.md",
        ),
    }


def test_an_image_without_annotations_is_a_background(tmp_path: Path) -> None:
    assert labels(opened(tmp_path, document())) == {"images/a.jpg": ()}


def test_crowds_are_no_labels_and_an_image_of_nothing_else_is_no_background(tmp_path: Path) -> None:
    crowd = {**BOX, "id": 18, "iscrowd": 1}
    images = (IMAGE, {**IMAGE, "id": 2, "file_name": "b.jpg"})
    text = document(BOX, crowd, {**crowd, "id": 19, "image_id": 2}, images=images)
    made = arrange(tmp_path, "coco", {"x.json": text, "a.jpg": "", "b.jpg": ""})
    assert {name: len(found) for name, found in labels(made).items()} == {"a.jpg": 1}
    assert refused(made) == {
        "CrowdRegion": ("x.json: annotation 18", "x.json: annotation 19"),
        "OnlyCrowd": ("b.jpg",),
    }


def test_class_names_must_cover_the_categories_that_are_used(tmp_path: Path) -> None:
    unused = {"id": 4, "name": "bird"}
    text = document(BOX, categories=(CATEGORY, unused))
    assert only(tmp_path, text, classNames=["dog", "cat"]).value == "cat"
    with pytest.raises(BadData, match=r"x\.json: category 3 'cat' is neither one of the classN"):
        opened(tmp_path, text, classNames=["dog"])


def test_a_byte_order_mark_is_harmless(tmp_path: Path) -> None:
    made = opened(tmp_path, b"\xef\xbb\xbf" + document(BOX).encode())
    assert len(labels(made)["images/a.jpg"]) == 1


def test_images_without_any_coco_file_say_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"there is no COCO file: put a JSON file with"):
        arrange(tmp_path, "coco", {"a.jpg": "", "labels.json": "{}"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", ": not valid JSON: "),
        ("", ": not valid JSON: "),
        (document(BOX) + "}", ": not valid JSON: "),
        (document(shaped(bbox=[float("nan"), 1, 2, 3])), ": not valid JSON (NaN is no number of"),
        (document(BOX).replace("40", "1e999"), ": not valid JSON: "),
        (document(BOX).replace("40", "4" * 400), ": not valid JSON: "),
        (b'{"images": "\xff"}', ": not valid JSON: "),
        ('{"images": [' + "9" * 5000 + "]}", ": not valid JSON: "),
        ('{"images": ' + "[" * 100_000, ": nested more than 32 deep"),
        ('{"info": ' + '{"a":' * 100_000, ": nested more than 32 deep"),
        ('{"annotations": [[' + "0," * 1_100_000, ": an entry of 'annotations' has more than"),
        ('{"info": "' + "a" * (9 << 20) + '"}', ": a text is longer than 8 MiB"),
        (document(BOX, BOX), ": the id 17 is given twice in annotations"),
        (document(BOX, images=(IMAGE, IMAGE)), ": the id 1 is given twice in images"),
        (document(BOX, categories=(CATEGORY,) * 2), ": the id 3 is given twice in categories"),
        (document({**BOX, "image_id": 9}), ": annotation 17 is of the image 9, which the file do"),
        (document({**BOX, "image_id": "1"}), ': annotation 17 is of the image "1", which the fi'),
        (document({**BOX, "category_id": 9}), ": annotation 17 is of the category 9, which the f"),
        (document({"bbox": [1, 2, 3, 4]}), ": entry 1 of annotations: its id is neither"),
        (document({"id": 17, "image_id": 1}), ": annotation 17: its category_id is neither"),
        (document([BOX]), ": entry 1 of annotations: it is not an object"),  # type: ignore[arg-type]
        (document(BOX, categories=({"id": 3},)), ": category 3: the class name None is not a line"),
        (
            document(BOX, images=({**IMAGE, "file_name": "../../etc/a.jpg"},)),
            ": image 1: the image's name '../../etc/a.jpg' leads out of the source",
        ),
        (
            document(BOX, images=({**IMAGE, "file_name": "/etc/a.jpg"},)),
            ": image 1: the image's name '/etc/a.jpg' leads out of the source",
        ),
        (
            document(BOX, images=({**IMAGE, "file_name": "C:\\a.jpg"},)),
            ": image 1: the image's name 'C:\\\\a.jpg' leads out of the source",
        ),
        (
            document(BOX, images=({**IMAGE, "file_name": "https://example.com/a.jpg"},)),
            ": image 1: the image's name 'https://example.com/a.jpg' leads out of the source",
        ),
        (
            document(BOX, images=({**IMAGE, "file_name": 7},)),
            ": image 1: the image's name '7' is n",
        ),
        (document(BOX, images=({"id": 1, "file_name": "a.jpg"},)), ": image 1: its width 'None'"),
        (document(BOX, images=({**IMAGE, "width": 0},)), ": image 1: its width '0' is no size"),
        (document(BOX, images=({**IMAGE, "height": 1.5},)), ": image 1: its height 1.5 is not a"),
        (
            document(BOX, images=({**IMAGE, "width": 10**6, "height": 10**6},)),
            ": image 1 claims 1000000 x 1000000 pixels",
        ),
        (
            document(BOX, images=(IMAGE, {**IMAGE, "id": 2})),
            ": the images 1 and 2 are both images/a.jpg",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_id(
    tmp_path: Path, text: str | bytes, said: str
) -> None:
    with pytest.raises(BadData) as caught:
        opened(tmp_path, text)
    assert str(caught.value).startswith(f"annotations/x.json{said}")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ({"bbox": [10, 10, -5, 5]}, ": bbox [10, 10, -5, 5]: it has a negative size"),
        ({"bbox": [10, 10, 0, 5]}, ": bbox [10, 10, 0, 5] in 100 x 50 pixels: the box has no area"),
        ({"bbox": [90, 10, 20, 5]}, ": bbox [90, 10, 20, 5] in 100 x 50 pixels: the box reaches o"),
        ({"bbox": [10, 10, 5]}, ": bbox is not a list of four numbers"),
        ({"bbox": [10, 10, 5, "5"]}, ": the bbox has '5', which is no number"),
        ({"bbox": [10, 10, 5, True]}, ": the bbox has 'True', which is no number"),
        ({}, ": it has neither segmentation nor bbox"),
        ({"segmentation": "polygon"}, ": segmentation is neither a list of polygons nor a mask"),
        ({"segmentation": [1, 2, 3, 4, 5, 6]}, ": segmentation is not a list of polygons"),
        ({"segmentation": [[1, 2, 3, 4, 5, 1e200]]}, ": the polygon has 1e+200, which is no num"),
        ({"segmentation": [[1, 2, 3, 4]]}, ": a polygon of 4 numbers"),
        ({"segmentation": [[1, 2, 3, 4, 5, 6, 7]]}, ": a polygon of 7 numbers"),
        ({"segmentation": [[1, 2, 3, 4, 5, None]]}, ": the polygon has 'None', which is no number"),
        ({"segmentation": [[0, 0, 200, 0, 9, 9]]}, " in 100 x 50 pixels: the polygon reaches out"),
        ({"segmentation": [[0, 9, 20, 9, 30, 9]]}, " in 100 x 50 pixels: the polygon has no area"),
        ({"segmentation": [[0, 9] * 60_000]}, ": its outline has more than 50000 points"),
        (
            {"segmentation": {"size": [100, 50], "counts": [5000]}},
            ": its mask has the size [100, 50], but that of the image, as height and width, is [50",
        ),
        ({"segmentation": {"counts": [5000]}}, ": its mask has the size None"),
        ({"segmentation": {"size": [50, 100]}}, ": its mask has no counts"),
        (
            {"segmentation": {"size": [50, 100], "counts": [10, 20]}},
            ": its mask cannot be read: its runs cover 30 pixels, but 100 x 50 are 5000",
        ),
        (
            {"segmentation": {"size": [50, 100], "counts": [10, 10**12]}},
            ": its mask cannot be read: its runs cover 1000000000010 pixels",
        ),
        (
            {"segmentation": {"size": [50, 100], "counts": [-10, 5010]}},
            ": its mask cannot be read: its run lengths are not whole numbers from 0",
        ),
        ({"segmentation": {"size": [50, 100], "counts": [5000]}}, ": its mask is empty"),
        (
            {"segmentation": {"size": [50, 100], "counts": "zzzz"}},
            ": its mask cannot be read: its ",
        ),
        ({"segmentation": {"size": [50, 100], "counts": "é"}}, ": its mask cannot be read: its te"),
        ({"segmentation": {"size": [50, 100], "counts": "o" * 9}}, ": its mask cannot be read: it"),
        ({"segmentation": {"size": [50, 100], "counts": ""}}, ": its mask cannot be read: its run"),
    ],
)
def test_a_shape_that_cannot_be_used_is_named_with_file_and_id(
    tmp_path: Path, shape: Mapping[str, object], said: str
) -> None:
    with pytest.raises(BadData) as caught:
        labels(opened(tmp_path, document(shaped(**shape))))
    assert str(caught.value).startswith(f"annotations/x.json: annotation 17{said}")
    assert len(str(caught.value)) < 400


def test_files_that_disagree_about_the_size_of_an_image_are_named(tmp_path: Path) -> None:
    other = document(images=({**IMAGE, "width": 200},))
    made = arrange(tmp_path, "coco", {"x.json": document(BOX), "y.json": other, "a.jpg": ""})
    with pytest.raises(BadData, match=r"a\.jpg has several sizes: 100 x 50 in x\.json, 200 x 50"):
        labels(made)


def test_an_image_of_endless_annotations_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainyard.datasets.formats.base.MOST_ROWS", 5)
    many = [{"id": n, "image_id": 1, "category_id": 3, "bbox": [n, 0, 9, 9]} for n in range(6)]
    files = {"a.jpg": "", "x.json": document(*many)}
    with pytest.raises(BadData, match=r"^x\.json: image 1 has more than 5 annotations"):
        labels(arrange(tmp_path, "coco", files))
