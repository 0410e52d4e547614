import time

import pytest

from trainyard.api.dataset import DataFormat, Selection
from trainyard.api.grouping import GroupColumn, GroupPattern, InvalidGroupBy, parse_group_by
from trainyard.datasets.errors import BadData
from trainyard.datasets.formats import Annotations
from trainyard.datasets.groups import Grouping

FOLDERS = [DataFormat.FOLDERS]


def selection(kind: str) -> Selection:
    return Selection.model_validate({"source": {"s3": {"bucket": "data"}}, "format": kind})


@pytest.mark.parametrize(
    ("pattern", "name", "group"),
    [
        (r"^(cam\d+)_", "cam12_0001.png", "cam12"),
        (r"^(cam\d+)_", "old/cam12_0001.png", None),
        (r"(cam\d+)_", "old/cam12_0001.png", "cam12"),
        (r"patients/([^/]+)/", "a/patients/Jörg 7/x.png", "Jörg 7"),
        (r"(?:cat|dog)/(.*)_\d+\.", "dog/video_3_0007.png", "video_3"),
        (r"(?i)^(CAM\d)", "cam1_1.png", "cam1"),
        (r"^(?P<camera>[a-z]+)-", "north-1.png", "north"),
        (r"^(x*)", "cam1.png", None),
        (r"^(?:(a)|b)/", "b/1.png", None),
    ],
)
def test_what_the_parentheses_match_in_the_path_is_the_group(
    pattern: str, name: str, group: str | None
) -> None:
    assert Grouping(selection("folders"), pattern).of(name, Annotations(group="no")) == group


def test_a_plain_name_is_a_column_of_records() -> None:
    grouping = Grouping(selection("records"), "camera")
    assert grouping.column == "camera"
    assert grouping.of("cam1_1.png", Annotations(group="north")) == "north"
    assert grouping.of("cam1_1.png", Annotations(group="")) is None
    assert grouping.of("cam1_1.png", Annotations()) is None


def test_a_pattern_reads_the_path_of_records_too() -> None:
    grouping = Grouping(selection("records"), r"^(cam\d)")
    assert grouping.column is None
    assert grouping.of("cam1_1.png", Annotations(group="north")) == "cam1"


def test_without_group_by_nothing_belongs_together() -> None:
    grouping = Grouping(selection("records"), None)
    assert not grouping.asked_for
    assert grouping.of("cam1_1.png", Annotations(group="north")) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cam-id", "has 0 groups in parentheses and needs exactly one"),
        (r"(a)/(b)", "has 2 groups in parentheses and needs exactly one"),
        (r"(?:a)", "has 0 groups"),
        (r"(cam\d+", r"is no regular expression that can be used \(missing \): \(cam"),
        (r"[z-a](x)", "is no regular expression that can be used"),
        (r"(?=cam)(x)", "look-around and back-references are not available"),
        (r"(a)\1", "look-around and back-references are not available"),
        (r"(a){99999}", "is no regular expression that can be used"),
        ("(a{1000}){1000}", "is no regular expression that can be used"),
        ("camera", "'camera' is the name of a column, and the format 'folders' has no columns"),
    ],
)
def test_what_makes_no_groups_is_an_error_that_says_what_to_do(text: str, said: str) -> None:
    with pytest.raises(InvalidGroupBy, match=said):
        parse_group_by(text, FOLDERS)
    with pytest.raises(BadData, match=said):
        Grouping(selection("folders"), text)


def test_a_column_needs_every_selection_to_be_of_records() -> None:
    assert parse_group_by("camera", [DataFormat.RECORDS] * 2) == GroupColumn("camera")
    with pytest.raises(InvalidGroupBy, match="the format 'coco' has no columns"):
        parse_group_by("camera", [DataFormat.RECORDS, DataFormat.COCO])


def test_a_column_is_fine_for_a_draft_without_selections() -> None:
    assert parse_group_by("camera", []) == GroupColumn("camera")


def test_a_pattern_that_would_run_for_ever_in_python_does_not() -> None:
    rule = parse_group_by(r"^((?:(?:a+)+)+)$", FOLDERS)
    assert isinstance(rule, GroupPattern)
    start = time.perf_counter()
    assert rule.group_of("a" * 1000 + "!") is None
    assert time.perf_counter() - start < 1
