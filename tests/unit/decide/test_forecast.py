"""When a process that waits will start, and how seldom that is written."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.unit.builders import (
    LEASE,
    NOW,
    OTHERS_LEASE,
    POD,
    RUNNING_JOB,
    after,
    attempted,
    joined,
    process,
    report,
    with_status,
)
from trainyard.api.process_status import ProcessPhase, QueueStatus
from trainyard.api.reasons import ConditionType
from trainyard.decide.conditions import find
from trainyard.decide.facts import ProcessFacts, ReceivedReport, Rival
from trainyard.decide.forecast import (
    Forecast,
    forecast,
    look_again_at,
    queue_status,
    tolerance,
)
from trainyard.decide.process import decide_process
from trainyard.decide.queue import Place, place

ME = Rival("demo/me", "u0", ProcessPhase.QUEUED, True, False, 0, NOW)
HOLDER = replace(
    ME, key="vision/cats", uid="u1", phase=ProcessPhase.RUNNING, done_at=after(42 * 60)
)
OLDER = replace(ME, key="demo/older", uid="u2", created=after(-60), rest_seconds=1800)


def foretold(*rivals: Rival) -> Forecast:
    return forecast(ME, rivals, place(ME, rivals, None, None), NOW)


def test_next_starts_when_the_holder_is_done() -> None:
    assert foretold(HOLDER) == Forecast(after(42 * 60), after(42 * 60))


def test_those_before_take_as_long_as_they_are_expected_to() -> None:
    assert foretold(HOLDER, OLDER) == Forecast(after(42 * 60), after(72 * 60))


def test_those_behind_do_not_count() -> None:
    younger = replace(OLDER, key="demo/younger", created=after(60))
    assert foretold(HOLDER, younger).starts_at == after(42 * 60)


@pytest.mark.parametrize(
    ("rivals", "expected"),
    [
        pytest.param(
            (replace(HOLDER, done_at=None),), Forecast(), id="nobody knows when the holder is done"
        ),
        pytest.param(
            (HOLDER, replace(OLDER, rest_seconds=None)),
            Forecast(after(42 * 60)),
            id="nobody knows how long the one before takes",
        ),
        pytest.param(
            (replace(HOLDER, done_at=after(-90)),), Forecast(), id="the holder is overdue"
        ),
    ],
)
def test_nothing_is_invented(rivals: tuple[Rival, ...], expected: Forecast) -> None:
    assert foretold(*rivals) == expected


def test_a_holder_that_is_a_little_late_is_done_now() -> None:
    assert foretold(replace(HOLDER, done_at=after(-20))).starts_at == NOW


def test_a_holder_that_is_being_stopped_is_done_now() -> None:
    stopping = replace(HOLDER, phase=ProcessPhase.SUSPENDING, done_at=None, leaves=True)
    assert foretold(stopping, OLDER) == Forecast(None, after(1800))


def test_a_holder_that_was_stopped_and_is_not_seen_to_end_tells_nothing() -> None:
    stuck = replace(HOLDER, phase=ProcessPhase.SUSPENDING, done_at=None, leaves=False)
    assert foretold(stuck, OLDER) == Forecast()


def test_who_goes_first_on_a_free_node_starts_now_and_takes_its_time() -> None:
    assert foretold(OLDER) == Forecast(None, after(1800))


@pytest.mark.parametrize(
    "aside",
    [
        pytest.param(replace(OLDER, validated=False), id="backs off, or its inputs are missing"),
        pytest.param(replace(OLDER, suspended=True), id="was taken out of the queue"),
        pytest.param(replace(OLDER, phase=ProcessPhase.CREATED), id="is a draft"),
    ],
)
def test_an_older_one_that_does_not_stand_in_the_queue_does_not_count(aside: Rival) -> None:
    assert foretold(HOLDER, aside).starts_at == after(42 * 60)


def test_a_holder_that_is_not_seen_tells_nothing() -> None:
    spot = place(ME, (OLDER,), OTHERS_LEASE, None)
    assert forecast(ME, (OLDER,), spot, NOW) == Forecast()


def test_times_are_rounded_to_minutes() -> None:
    found = queue_status(None, Place(1, 1, "a/b"), Forecast(after(95), after(629)), NOW)
    assert (found.held_until, found.estimated_start_time) == (after(120), after(600))


@pytest.mark.parametrize(("wait", "allowed"), [(60, 60), (600, 60), (3600, 360), (36000, 3600)])
def test_a_tenth_of_the_wait_is_tolerated_and_at_least_a_minute(wait: int, allowed: int) -> None:
    assert tolerance(timedelta(seconds=wait)) == timedelta(seconds=allowed)


def test_what_is_still_about_right_is_not_written_anew() -> None:
    old = QueueStatus(
        position=1, waiting_for="a/b", held_until=after(6000), estimated_start_time=after(6000)
    )
    spot = Place(1, 1, "a/b")
    assert queue_status(old, spot, Forecast(after(6500), after(6500)), NOW) == old
    moved = queue_status(old, spot, Forecast(after(6700), after(6700)), NOW)
    assert moved.held_until == moved.estimated_start_time == after(6720)


def test_another_holder_has_an_end_of_its_own() -> None:
    old = QueueStatus(
        position=1, waiting_for="a/b", held_until=after(6000), estimated_start_time=after(6000)
    )
    found = queue_status(old, Place(1, 1, "c/d"), Forecast(after(6060), after(6060)), NOW)
    assert found.held_until == after(6060)


def test_an_hour_of_reports_that_are_right_is_one_write() -> None:
    spot, shown, writes = Place(1, 1, "a/b"), None, 0
    for second in range(0, 3600, 5):
        found = queue_status(shown, spot, Forecast(after(3600), after(3600)), after(second))
        writes, shown = writes + (found != shown), found
    assert writes == 1


def test_two_hours_of_1440_reports_that_contradict_each_other_are_a_score_of_writes() -> None:
    dice = random.Random(1)
    spot, shown, writes = Place(1, 1, "a/b"), None, 0
    for second in range(0, 7200, 5):
        left = (7200 - second) * dice.uniform(0.95, 1.05)
        end = after(second + left)
        found = queue_status(shown, spot, Forecast(end, end), after(second))
        writes, shown = writes + (found != shown), found
    assert writes <= 20


def hours_of(left: Callable[[float], float | None], hours: float) -> list[QueueStatus]:
    """What is written while a holder reports every 5 s how many seconds it thinks are left."""
    spot, shown, writes = Place(1, 1, "a/b"), None, []
    for second in range(0, round(hours * 3600), 5):
        said = left(second)
        end = None if said is None else after(second + said)
        found = queue_status(shown, spot, Forecast(end, end), after(second))
        if found != shown:
            writes.append(found)
        shown = found
    return writes


def test_an_hour_of_reports_that_swing_by_a_third_is_a_score_of_writes() -> None:
    dice = random.Random(1)
    assert len(hours_of(lambda second: (4000 - second) * dice.uniform(0.7, 1.3), 1)) <= 30


@pytest.mark.parametrize(
    "said",
    [
        pytest.param((60, 36000), id="soon and late in turn"),
        pytest.param((600, None), id="something and nothing in turn"),
        pytest.param((0, 0), id="always now"),
    ],
)
def test_whatever_is_said_there_are_two_writes_a_minute_at_most(
    said: tuple[float | None, ...],
) -> None:
    assert len(hours_of(lambda second: said[round(second) // 5 % 2], 1)) <= 120


def test_a_wait_that_became_short_is_told_after_a_minute() -> None:
    writes = hours_of(lambda second: 36000 if second < 5 else 300, 0.1)
    assert [found.estimated_at for found in writes[:2]] == [NOW, after(60)]
    assert writes[1].held_until == after(360)


def test_a_wait_that_became_longer_is_told_after_a_tenth_of_what_it_was() -> None:
    writes = hours_of(lambda second: (3600 if second < 5 else 36000) - second, 0.5)
    first = writes[1].estimated_at
    assert first is not None
    assert after(300) < first <= after(360)


SHOWN = QueueStatus(
    position=2,
    waiting_for="a/b",
    held_until=after(6000),
    estimated_start_time=after(9000),
    estimated_at=NOW,
)
MOVED = Forecast(after(600), after(3600))


@pytest.mark.parametrize("spot", [Place(1, 2, "a/b"), Place(2, 2, "c/d")])
def test_a_new_place_or_holder_has_its_times_at_once(spot: Place) -> None:
    found = queue_status(SHOWN, spot, MOVED, after(5))
    assert (found.held_until, found.estimated_start_time) == (after(600), after(3600))
    assert found.estimated_at == after(5)


@pytest.mark.parametrize("found", [Forecast(after(600)), Forecast(None, after(600))])
def test_when_one_of_the_times_was_found_is_told_too(found: Forecast) -> None:
    assert queue_status(None, Place(2, 2, "a/b"), found, after(5)).estimated_at == after(5)


def test_a_clock_that_was_set_back_holds_nothing_up() -> None:
    long_ago = after(-7200)
    soon = Forecast(long_ago + timedelta(minutes=10), long_ago + timedelta(minutes=20))
    found = queue_status(SHOWN, Place(2, 2, "a/b"), soon, long_ago)
    assert (found.held_until, found.estimated_at) == (soon.held_until, long_ago)


def test_a_status_that_somebody_else_wrote_is_mended() -> None:
    strange = QueueStatus(position=2, waiting_for="a/b", estimated_at=NOW)
    found = queue_status(strange, Place(2, 2, "a/b"), Forecast(), after(5))
    assert found == QueueStatus(position=2, waiting_for="a/b")
    assert queue_status(strange, Place(2, 2, "a/b"), MOVED, after(90)).held_until == after(600)


class TestLooksAgain:
    def test_when_other_times_may_be_written(self) -> None:
        kept = queue_status(SHOWN, Place(2, 2, "a/b"), MOVED, after(5))
        assert kept == SHOWN
        assert look_again_at(kept, MOVED, after(5)) == after(60)

    def test_when_the_holder_is_overdue(self) -> None:
        shown = queue_status(None, Place(1, 1, "a/b"), MOVED, NOW)
        assert look_again_at(shown, MOVED, NOW) == after(661)
        assert look_again_at(shown, MOVED, after(662)) is None

    def test_and_then_says_nothing_of_its_end(self) -> None:
        known = waiting(TestSentence.CATS)
        first = decide_process(known, NOW)
        assert first.look_again_at == after(42 * 60 + 61)
        late = decide_process(with_status(known, first.status), first.look_again_at).status
        assert late.queue == QueueStatus(position=1, waiting_for="team/other")
        assert late.display is not None
        assert late.display.eta == ""


def waiting(*rivals: Rival) -> ProcessFacts:
    return joined(process=process("me"), rivals=rivals, lease=OTHERS_LEASE)


class TestSentence:
    CATS = replace(HOLDER, key="team/other")
    OLDER = replace(OLDER, created=after(-7200))

    def test_names_holder_place_and_start(self) -> None:
        status = decide_process(waiting(self.CATS, self.OLDER), NOW).status
        found = find(status.conditions, ConditionType.NODE_RESERVED)
        assert found is not None
        assert found.message == (
            "node gpu-1 is held by team/other until about Mon 12:42 UTC; this process is 2nd of 2 "
            "that wait, and starts at about Mon 13:12 UTC"
        )
        assert status.queue == QueueStatus(
            position=2,
            waiting_for="team/other",
            held_until=after(42 * 60),
            estimated_start_time=after(72 * 60),
            estimated_at=NOW,
        )
        assert status.display is not None
        assert (status.display.eta, status.display.queue) == (
            "starts Mon 13:12 UTC",
            "2nd, after team/other",
        )

    def test_stays_while_time_passes(self) -> None:
        known = waiting(self.CATS, self.OLDER)
        first = decide_process(known, NOW).status
        later = decide_process(with_status(known, first), after(1200)).status
        assert later.to_wire() == first.to_wire()


class TestBeforeTheFirstEpoch:
    """Until the trainer has measured something, runs before this one say how long it takes."""

    def test_the_remaining_time_is_that_of_earlier_runs(self) -> None:
        known = attempted(expected_seconds=5400.0)
        began = known.process.status.attempts[0].start_time
        assert began is not None
        silent = report(2, epoch=0, estimated_remaining_seconds=None, history=())
        received = replace(silent, received_at=began + timedelta(seconds=60))
        status = decide_process(running(known, received), after(61)).status
        assert status.progress is not None
        assert status.progress.estimated_remaining_seconds == 5340
        assert status.display is not None
        assert status.display.eta == "~1h29m"

    def test_without_earlier_runs_nothing_is_said(self) -> None:
        known = attempted()
        silent = report(2, epoch=0, estimated_remaining_seconds=None, history=())
        status = decide_process(running(known, silent), after(61)).status
        assert status.progress is not None
        assert status.progress.estimated_remaining_seconds is None

    def test_what_the_trainer_measured_is_what_counts(self) -> None:
        known = attempted(expected_seconds=5400.0)
        status = decide_process(running(known, report()), after(61)).status
        assert status.progress is not None
        assert status.progress.estimated_remaining_seconds == 6000


def running(known: ProcessFacts, received: ReceivedReport) -> ProcessFacts:
    return replace(known, job=RUNNING_JOB, lease=LEASE, pod=POD, report=received)
