"""How often the classes are labelled is said, and warned of where it hurts."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from trainyard.api.capability import Output
from trainyard_trainer import balance


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    log = logging.getLogger("trainyard")
    propagate, log.propagate = log.propagate, True
    caplog.set_level(logging.INFO)
    yield caplog
    log.propagate = propagate


def outputs(*values: str) -> list[Output]:
    return [
        Output(attribute="class", value=value, position=position)
        for position, value in enumerate(values)
    ]


def test_the_annotations_of_each_class_are_said_the_most_frequent_first(
    said: pytest.LogCaptureFixture,
) -> None:
    balance.report(outputs("a", "b"), {"train": {0: 3, 1: 40}, "dev": {0: 1, 1: 2}})
    assert [record.getMessage() for record in said.records] == [
        "class class=b: annotations in train 40, dev 2",
        "class class=a: annotations in train 3, dev 1",
    ]


@pytest.mark.parametrize(("most", "warns"), [(200, False), (201, True)])
def test_more_than_twenty_to_one_is_warned_of(
    said: pytest.LogCaptureFixture, most: int, warns: bool
) -> None:
    balance.report(outputs("a", "b"), {"train": {0: 10, 1: most}})
    warned = [x.getMessage() for x in said.records if x.levelno == logging.WARNING]
    assert bool(warned) == warns
    if warns:
        assert warned[0].startswith(
            "the train data is unbalanced: class=b is labelled 201 times, class=a 10 times"
        )


def test_a_class_that_is_nowhere_in_dev_is_named(said: pytest.LogCaptureFixture) -> None:
    counts = {"train": {0: 10, 1: 20, 2: 15}, "dev": {1: 5}, "test": {0: 1, 1: 1, 2: 1}}
    balance.report(outputs("a", "b", "c"), counts)
    (warned,) = [x.getMessage() for x in said.records if x.levelno == logging.WARNING]
    assert warned == (
        "dev has no annotation of 2 of the 3 classes, so that nothing is said of how well they are "
        "known: class=a, class=c"
    )


def test_of_thousands_of_classes_a_few_are_listed(said: pytest.LogCaptureFixture) -> None:
    many = outputs(*(str(number) for number in range(5000)))
    balance.report(many, {"train": {number: 5000 + number for number in range(5000)}})
    lines = [record.getMessage() for record in said.records]
    assert len(lines) == 11
    assert lines[1].startswith("class class=4999: annotations in train 9999")
    assert lines[-1].startswith("class class=0: annotations in train 5000")


def test_metrics_have_the_counts_in_the_order_of_the_outputs() -> None:
    made = balance.train_data(outputs("a", "b", "c"), 12, {2: 4, 0: 14, 1: 8})
    assert [(entry.value, entry.annotations) for entry in made.classes] == [
        ("a", 14),
        ("b", 8),
        ("c", 4),
    ]
    assert (made.samples, made.imbalance) == (12, 3.5)
