"""A status under construction, and the events that its transitions make."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.builders import NOW, after
from trainyard.api.process_status import (
    Attempt,
    ProcessDisplay,
    ProcessPhase,
    QueueStatus,
    TrainingProcessStatus,
)
from trainyard.api.reasons import ConditionType, Reason
from trainyard.decide.actions import Happening
from trainyard.decide.draft import StatusDraft
from trainyard.decide.events import happenings

ATTEMPT = Attempt(number=1, node="gpu-1", start_time=NOW)


def draft(**status: Any) -> StatusDraft:
    return StatusDraft(TrainingProcessStatus(**status), NOW, generation=3)


def status(
    phase: ProcessPhase | None, type_: ConditionType, reason: Reason, message: str
) -> TrainingProcessStatus:
    made = draft()
    if phase is not None:
        made.phase(phase)
    made.condition(type_, False, reason, message)
    return made.decision().status


def test_records_stay_and_the_rest_starts_empty() -> None:
    old = draft(
        attempts=(ATTEMPT,),
        queue=QueueStatus(position=2),
        display=ProcessDisplay(
            progress="4%", eta="~1m", queue="2nd", metric="top-1 0.9", reason="Old"
        ),
    )
    made = old.decision().status
    assert made.attempts == (ATTEMPT,)
    assert made.queue is None
    assert made.display == ProcessDisplay(progress="4%", metric="top-1 0.9")
    assert made.observed_generation == 3


def test_failure_sets_phase_conditions_and_columns() -> None:
    made = draft()
    made.show(eta="~5m", queue="1st")
    made.fail(Reason.BAD_DATA, "a.txt:3: NaN")
    result = made.decision().status
    assert result.phase is ProcessPhase.FAILED
    assert [(item.type, str(item.status), item.reason) for item in result.conditions] == [
        ("Failed", "True", "BadData"),
        ("Finished", "True", "BadData"),
    ]
    assert result.display == ProcessDisplay(reason="BadData")


def test_success_sets_phase_conditions_and_columns() -> None:
    made = draft()
    made.succeed("the model is at s3://b/x")
    result = made.decision().status
    assert result.phase is ProcessPhase.SUCCEEDED
    assert [(item.type, str(item.status)) for item in result.conditions] == [
        ("Complete", "True"),
        ("Finished", "True"),
    ]


def test_old_status_is_left_as_it_was() -> None:
    made = draft(attempts=(ATTEMPT,))
    before = made.old.model_copy(deep=True)
    made.fail(Reason.BAD_DATA, "x")
    made.decision()
    assert made.old == before


WAITING = ConditionType.VALIDATED
QUEUED = ProcessPhase.QUEUED
MISSING = status(QUEUED, WAITING, Reason.CAPABILITY_NOT_FOUND, "waiting for Capability a")

CASES: dict[str, tuple[TrainingProcessStatus, TrainingProcessStatus, tuple[Happening, ...]]] = {
    "a first phase": (
        TrainingProcessStatus(),
        MISSING,
        (Happening("Queued", "waiting for Capability a"),),
    ),
    "nothing new": (MISSING, MISSING, ()),
    "the same reason in other words": (
        MISSING,
        status(QUEUED, WAITING, Reason.CAPABILITY_NOT_FOUND, "waiting for Capability b"),
        (),
    ),
    "another phase for the same reason": (
        MISSING,
        status(ProcessPhase.FAILED, ConditionType.FAILED, Reason.CAPABILITY_NOT_FOUND, "gone"),
        (Happening("Failed", "gone", warning=True),),
    ),
    "another reason for waiting": (
        MISSING,
        status(QUEUED, WAITING, Reason.TEMPLATE_NOT_FOUND, "waiting for TrainingTemplate t"),
        (Happening("TemplateNotFound", "waiting for TrainingTemplate t"),),
    ),
    "a phase that no condition explains": (
        MISSING,
        TrainingProcessStatus(phase=ProcessPhase.SUSPENDED),
        (Happening("Suspended", "the process is Suspended"),),
    ),
}


@pytest.mark.parametrize(("old", "new", "events"), CASES.values(), ids=CASES)
def test_events(
    old: TrainingProcessStatus, new: TrainingProcessStatus, events: tuple[Happening, ...]
) -> None:
    assert happenings(old, new) == events


def test_end_without_success_is_a_warning() -> None:
    made = draft()
    made.fail(Reason.BAD_DATA, "a.txt:3: NaN")
    assert made.decision().events == (Happening("Failed", "a.txt:3: NaN", warning=True),)


def test_condition_that_is_not_true_explains_before_one_that_is() -> None:
    made = draft()
    made.phase(QUEUED)
    made.condition(ConditionType.VALIDATED, True, Reason.VALID)
    made.condition(ConditionType.NODE_RESERVED, False, Reason.WAITING_FOR_NODE, "gpu-1 is held")
    assert made.decision().events == (Happening("Queued", "gpu-1 is held"),)


def test_look_again_is_handed_on() -> None:
    made = draft()
    made.look_again_at = after(15)
    assert made.decision().look_again_at == after(15)
