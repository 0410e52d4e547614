"""What status.data says: counts, what is left out, and warnings as sentences."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.builders import (
    NOW,
    attempted,
    capability,
    compared,
    content,
    facts,
    joined,
    template,
    with_status,
)
from trainyard.api.comparison import (
    AlikeImages,
    Comparison,
    LabelCount,
    NotLookedFor,
    SharedGroups,
    SharedImages,
    SplitContent,
    SplitPair,
)
from trainyard.api.process_status import DataStatus, DataWarning, SplitStatus
from trainyard.decide.actions import Happening
from trainyard.decide.data_status import LISTED, data_status
from trainyard.decide.facts import Unavailable
from trainyard.decide.process import decide_process

MIXED = SplitContent(
    40,
    (
        LabelCount("class", "cat", "box", 30),
        LabelCount("class", "cat", "image", 4),
        LabelCount("class", "cat", "polygon", 20),
        LabelCount("class", "owl", "box", 7),
        LabelCount("colour", "cat", "box", 9),
    ),
)


def seen(**changes: Any) -> DataStatus:
    found = data_status(facts(**changes))
    assert found is not None
    return found


def train_of(mixed: SplitContent, type_: str, **spec: Any) -> SplitStatus:
    made = capability("cat", type_=type_, **spec)
    found = seen(capability=made, data=compared(train=mixed)).train
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("type_", "spec", "used"),
    [
        pytest.param("DetectorElement", {}, 50, id="a detector, by default of boxes"),
        pytest.param("DetectorElement", {"geometry": "box"}, 50, id="boxes, also around polygons"),
        pytest.param("DetectorElement", {"geometry": "polygon"}, 20, id="polygons only"),
        pytest.param("ImageClassifierElement", {}, 4, id="labels of the whole image"),
        pytest.param("BoxClassifierElement", {}, 50, id="what a box shows"),
        pytest.param("BoxEmbedderElement", {}, 50, id="what a box looks like"),
    ],
)
def test_annotations_are_used_by_class_and_geometry(
    type_: str, spec: dict[str, Any], used: int
) -> None:
    found = train_of(MIXED, type_, **spec)
    assert (found.samples, found.annotations, found.left_out_annotations) == (40, used, 70 - used)


def test_what_is_left_out_is_counted_by_class_and_geometry_the_most_first() -> None:
    found = train_of(MIXED, "DetectorElement", geometry="polygon")
    assert [(x.attribute, x.value, x.geometry, x.count) for x in found.left_out] == [
        ("class", "cat", "box", 30),
        ("colour", "cat", "box", 9),
        ("class", "owl", "box", 7),
        ("class", "cat", "image", 4),
    ]


def test_of_many_classes_that_are_left_out_those_with_the_most_are_listed() -> None:
    labels = [LabelCount("class", f"v{number:03d}", "image", number + 1) for number in range(300)]
    found = train_of(SplitContent(9, tuple(labels)), "ImageClassifierElement")
    assert [item.count for item in found.left_out] == list(range(300, 300 - LISTED, -1))
    assert found.left_out_annotations == 300 * 301 // 2


def test_nothing_is_said_before_it_is_known() -> None:
    assert data_status(facts(data=None)) is None
    assert data_status(facts(data=Unavailable("503"))) is None
    assert data_status(facts(capability=None)) is None


WARNINGS: dict[str, tuple[Comparison, list[tuple[str, str]]]] = {
    "nothing": (compared(), []),
    "a class that dev and test lack, once for each": (
        compared(dev=content(cat=1), test=content(dog=2)),
        [
            (
                "ClassesNotJudged",
                "dev has no example of class=dog: how well the model knows what it lacks is not "
                "measured there",
            ),
            (
                "ClassesNotJudged",
                "test has no example of class=cat: how well the model knows what it lacks is not "
                "measured there",
            ),
        ],
    ),
    "a class with another geometry in dev": (
        compared(dev=SplitContent(2, (*content(cat=1).labels, *content(2, "box", dog=1).labels))),
        [
            (
                "ClassesNotJudged",
                "dev has no example of class=dog: how well the model knows what it lacks is not "
                "measured there",
            )
        ],
    ),
    "a class that train lacks as well is an error and no warning": (
        compared(train=content(cat=1), dev=content(cat=1)),
        [],
    ),
    "images that look alike": (
        compared(
            SplitPair(
                "train", "dev", alike=AlikeImages(21, (("3/1.png", "3/7.png"), ("5.png", "8.png")))
            )
        ),
        [
            (
                "SimilarImages",
                "21 of 100 images of dev look nearly the same as one of train (3/7.png like "
                "3/1.png, 8.png like 5.png): remove what is a copy, or the model is measured on "
                "what it has learnt; simple things may be alike by nature",
            )
        ],
    ),
    "one image that looks alike": (
        compared(SplitPair("train", "test", alike=AlikeImages(1, (("a", "b"),))), test=content(7)),
        [
            (
                "SimilarImages",
                "1 of 7 images of test looks nearly the same as one of train (b like a): remove "
                "what is a copy, or the model is measured on what it has learnt; simple things may "
                "be alike by nature",
            )
        ],
    ),
    "looks that were not compared": (
        compared(SplitPair("train", "dev", alike=NotLookedFor("too many of them"))),
        [
            (
                "SimilarityUnknown",
                "images of dev that look nearly the same as one of train were not looked for, "
                "because there are too many of them",
            )
        ],
    ),
    "dev and test that share images and groups": (
        compared(
            SplitPair(
                "dev",
                "test",
                SharedImages(3, (("a", "a"), ("b", "c"))),
                SharedGroups(1, (4, 5), ("p1",)),
            ),
            test=content(),
        ),
        [
            (
                "HeldOutOverlap",
                "3 images are in dev and in test (a, b = c); 1 group has samples in dev and in "
                "test, for example p1: the epoch is chosen on dev, so that the result on test "
                "looks better than it is",
            )
        ],
    ),
    "what dev shares with train is an error and no warning": (
        compared(
            SplitPair("train", "dev", SharedImages(1, (("a", "a"),)), SharedGroups(1, (1, 1), "g"))
        ),
        [],
    ),
}


@pytest.mark.parametrize(("data", "expected"), WARNINGS.values(), ids=WARNINGS)
def test_warnings(data: Comparison, expected: list[tuple[str, str]]) -> None:
    found = [(warning.reason, warning.message) for warning in seen(data=data).warnings]
    assert found == expected


def test_an_event_has_room_for_the_sentence_about_the_longest_names() -> None:
    names = tuple((f"{n}/" * 300 + "a.png", f"{n}/" * 300 + "b.png") for n in range(5))
    data = compared(SplitPair("train", "dev", alike=AlikeImages(10**7, names)))
    (warning,) = seen(data=data).warnings
    assert len(warning.message) < 1000
    assert "/b.png like ..." in warning.message


class TestInAProcess:
    ALIKE = compared(SplitPair("train", "dev", alike=AlikeImages(1, (("a", "b"),))))

    def test_a_warning_does_not_keep_it_from_starting_and_is_told_once(self) -> None:
        first = facts(data=self.ALIKE)
        decision = decide_process(first, NOW)
        assert decision.status.data is not None
        (warning,) = decision.status.data.warnings
        told = Happening("SimilarImages", warning.message, warning=True)
        assert told in decision.events
        later = decide_process(with_status(first, decision.status), NOW)
        assert told not in later.events
        assert later.status.data == decision.status.data
        assert [attempt.number for attempt in later.status.attempts] == [1]

    def test_a_new_warning_is_told_without_the_old_one(self) -> None:
        first = facts(data=self.ALIKE)
        known = with_status(first, decide_process(first, NOW).status)
        pair = replace(self.ALIKE.pairs[0], second="test", alike=NotLookedFor("too many"))
        more = Comparison({**self.ALIKE.splits, "test": content()}, (*self.ALIKE.pairs, pair))
        events = decide_process(replace(known, data=more), NOW).events
        assert [event.reason for event in events if event.warning] == ["SimilarityUnknown"]

    def test_an_error_comes_with_what_else_is_known(self) -> None:
        pairs = replace(self.ALIKE.pairs[0], groups=SharedGroups(1, (1, 1), ("p",)))
        decision = decide_process(facts(data=compared(pairs)), NOW)
        assert [event.reason for event in decision.events] == ["SimilarImages", "Failed"]
        assert decision.status.data is not None

    def test_is_kept_while_the_store_does_not_answer(self) -> None:
        known = joined(data=self.ALIKE)
        decision = decide_process(replace(known, data=Unavailable("503")), NOW)
        assert decision.status.data == known.process.status.data is not None

    def test_is_frozen_once_an_attempt_is_on_record(self) -> None:
        started = attempted(template=template())
        frozen = started.process.status.data
        assert frozen is not None
        for facts_then in (
            replace(started, data=self.ALIKE, capability=capability("cat")),
            replace(started, data=None, capability=None),
        ):
            assert decide_process(facts_then, NOW).status.data == frozen

    def test_reads_back_as_it_was_written(self) -> None:
        whole = seen(data=self.ALIKE)
        assert DataStatus.model_validate(whole.to_wire()) == whole
        assert isinstance(whole.warnings[0], DataWarning)


def test_boxes_where_outlines_are_learnt_are_warned_of() -> None:
    def warned(**spec: Any) -> list[tuple[str, str]]:
        mixed = SplitContent(40, (*content(geometry="polygon").labels, *content(2, "box").labels))
        known = facts(
            capability=capability("cat", type_="DetectorElement", **spec),
            data=compared(train=mixed, dev=mixed, test=content(geometry="polygon")),
        )
        found = data_status(known)
        assert found is not None
        return [(item.reason, item.message) for item in found.warnings]

    assert warned(geometry="box") == []
    assert warned(geometry="polygon") == [
        (
            "BoxesWithoutOutline",
            "annotations of the capability's classes that are boxes (50 of train, 50 of dev) say "
            "nothing of an outline: every image that has one is left out",
        )
    ]
