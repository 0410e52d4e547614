from typing import Any

import pytest

from trainyard.api.dataset import Selection
from trainyard.datasets.errors import BadData
from trainyard.datasets.filters import ImageFilter
from trainyard.datasets.formats import Annotations
from trainyard.datasets.labels import Label


def selection(kind: str = "records", **rule: Any) -> Selection:
    return Selection.model_validate(
        {"source": {"s3": {"bucket": "data"}}, "format": kind, "filter": rule}
    )


def said(*values: str, tags: str = "", wanted: bool = True) -> Annotations:
    """Annotations with boxes of these classes."""
    labels = tuple(Label("class", value, "box", (0.0, 0.0, 1.0, 1.0)) for value in values)
    return Annotations(labels, frozenset(tags.split()), wanted=wanted)


@pytest.mark.parametrize(
    ("rule", "annotations", "taken"),
    [
        ({}, said(), True),
        ({}, said("cat", wanted=False), False),
        ({"classes": ["cat"]}, said("cat", "dog"), True),
        ({"classes": ["cat", "bird"]}, said("bird"), True),
        ({"classes": ["cat"]}, said("dog"), False),
        ({"classes": ["cat"]}, said("Cat"), False),
        ({"classes": ["cat"]}, said(), False),
        ({"tags": ["night"]}, said(tags="night rain"), True),
        ({"tags": ["night", "rain"]}, said(tags="night rain"), True),
        ({"tags": ["night", "rain"]}, said(tags="night"), False),
        ({"search": "CAM1"}, said(), True),
        ({"search": "rain"}, said(tags="Rainy"), True),
        ({"search": "snow"}, said(tags="rain"), False),
        ({"search": "kafer"}, said(), False),
        ({"search": "käfer"}, said(), True),
        ({"search": "ka\u0308fer"}, said(), True),
        ({"search": ".*"}, said(), False),
        ({"classes": ["cat"], "tags": ["night"]}, said("cat"), False),
        ({"classes": ["cat"], "search": "cam1"}, said("cat"), True),
    ],
)
def test_an_image_is_taken_if_all_that_is_asked_holds(
    rule: dict[str, Any], annotations: Annotations, taken: bool
) -> None:
    assert ImageFilter(selection(**rule)).takes("cam1/KÄFER_7.png", annotations) is taken


def test_a_path_alone_decides_a_search_where_there_are_no_tags() -> None:
    folders = ImageFilter(selection("folders", search="cam1"))
    assert folders.may_take("cam1/a.png")
    assert not folders.may_take("cam2/a.png")
    assert ImageFilter(selection("records", search="cam1")).may_take("cam2/a.png")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("latestSubmissionsOnly", True),
        ("tags", ["night"]),
        ("submittedAfter", "2026-01-01T00:00:00Z"),
        ("submittedBefore", "2026-01-01T00:00:00Z"),
    ],
)
def test_what_needs_records_is_an_error_elsewhere(field: str, value: object) -> None:
    with pytest.raises(BadData, match=rf"filter\.{field} needs the format 'records'.* 'coco'"):
        ImageFilter(selection("coco", **{field: value}))
    ImageFilter(selection("records", **{field: value}))


def test_a_filter_is_told_as_it_was_written() -> None:
    rule = {"classes": ["cat", "dog"], "search": "x", "limit": 3, "seed": 0}
    told = "classes cat, dog; search x; limit 3; seed 0"
    assert ImageFilter(selection(**rule)).describe() == told
    latest = selection("records", latestSubmissionsOnly=True, tags=["night"])
    assert ImageFilter(latest).describe() == "latestSubmissionsOnly; tags night"
    many = selection(classes=[f"class-{n}" for n in range(99)])
    assert len(ImageFilter(many).describe()) < 80


def test_a_filter_of_classes_tells_which_there_are_instead() -> None:
    filter_ = ImageFilter(selection(classes=["catt"]))
    for value in ["dog", "cat", *"zyxwv"]:
        filter_.takes("a.png", said(value, "eel"))
    assert filter_.other_classes() == ["cat", "dog", "eel", "v", "w"]
