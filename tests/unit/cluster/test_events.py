"""Events: one for each transition, counted when it repeats."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.builders import NOW, UID, after, process
from tests.unit.cluster.fake_api import FakeApi
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.events import Events
from trainyard.decide.actions import Happening

RAW = process().to_wire()
FAILED = Happening("Failed", "the disk is full", warning=True)


def posted(fake: FakeApi) -> list[dict[str, Any]]:
    return [item for path, item in fake.objects.items() if "/events/" in path]


@pytest.fixture
def events(api: ApiServer) -> Events:
    return Events(api, "operator-0")


def test_note_has_nothing_that_a_terminal_would_obey(events: Events, fake: FakeApi) -> None:
    events.tell(RAW, Happening("HeldOutOverlap", "cat\u202egnp.exe \x1b[31mtwice\x1b[0m"), NOW)
    (found,) = posted(fake)
    assert found["note"] == "catgnp.exe twice"


def test_event_is_about_the_object(events: Events, fake: FakeApi) -> None:
    events.tell(RAW, FAILED, NOW)
    (event,) = posted(fake)
    assert event["regarding"]["uid"] == UID
    assert (event["type"], event["reason"], event["note"]) == (
        *("Warning", "Failed"),
        "the disk is full",
    )
    assert event["reportingController"] == "trainyard.dev/operator"
    assert event["eventTime"] == "2026-11-23T12:00:00.000000Z"
    assert "series" not in event


def test_what_repeats_is_one_event_with_a_count(events: Events, fake: FakeApi) -> None:
    for minute in range(4):
        events.tell(RAW, FAILED, after(60 * minute))
    (event,) = posted(fake)
    assert event["series"] == {"count": 4, "lastObservedTime": "2026-11-23T12:03:00.000000Z"}
    assert event["eventTime"] == "2026-11-23T12:00:00.000000Z"


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(Happening("Failed", "the network is down", warning=True), id="words"),
        pytest.param(Happening("Queued", "the disk is full", warning=True), id="reason"),
        pytest.param(Happening("Failed", "the disk is full"), id="type"),
    ],
)
def test_another_event_is_one_with_other(events: Events, fake: FakeApi, other: Happening) -> None:
    events.tell(RAW, FAILED, NOW)
    events.tell(RAW, other, NOW)
    assert len(posted(fake)) == 2


def test_an_object_of_the_same_name_has_events_of_its_own(events: Events, fake: FakeApi) -> None:
    events.tell(RAW, FAILED, NOW)
    events.tell(process(uid="another").to_wire(), FAILED, NOW)
    assert len(posted(fake)) == 2


def test_names_fit_the_longest_object(events: Events, fake: FakeApi) -> None:
    events.tell(process("x" * 63).to_wire(), FAILED, NOW)
    (event,) = posted(fake)
    assert len(event["metadata"]["name"]) <= 253


@pytest.mark.parametrize("character", ["x", "\u00e4", "\u732b"])
def test_long_words_are_cut_to_the_bytes_that_the_api_takes(
    events: Events, fake: FakeApi, character: str
) -> None:
    events.tell(RAW, Happening("Failed", character * 2000), NOW)
    (event,) = posted(fake)
    assert 1020 < len(event["note"].encode()) <= 1024
    assert set(event["note"]) == {character}


def test_an_event_that_another_operator_counts_is_left_to_it(events: Events, fake: FakeApi) -> None:
    events.tell(RAW, FAILED, NOW)

    def interfere(method: str, url: str) -> None:
        if method == "PATCH":
            fake.before = None
            fake.put(url, {**posted(fake)[0], "series": {"count": 9}})

    fake.before = interfere
    events.tell(RAW, FAILED, after(1))
    (event,) = posted(fake)
    assert event["series"] == {"count": 9}
