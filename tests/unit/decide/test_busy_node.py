"""onBusyNode: Reject: one unfinished process a machine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.builders import (
    NOW,
    OTHERS_LEASE,
    SETTINGS,
    after,
    attempted,
    facts,
    joined,
    process,
    with_status,
)
from trainyard.api.process_status import ProcessPhase, TrainingProcessStatus
from trainyard.api.reasons import ConditionType
from trainyard.decide.conditions import find
from trainyard.decide.facts import OnBusyNode, ProcessFacts, Rival, Unavailable
from trainyard.decide.process import decide_process

REJECT = replace(SETTINGS, on_busy_node=OnBusyNode.REJECT)
OLDER = Rival("demo/older", "u1", ProcessPhase.RUNNING, True, False, 0, after(-7200))
YOUNGER = replace(OLDER, key="demo/younger", uid="u2", created=NOW)


def status(known: ProcessFacts) -> TrainingProcessStatus:
    return decide_process(known, NOW).status


def asked(**changes: Any) -> ProcessFacts:
    return facts(**{"settings": REJECT, "rivals": (OLDER,), **changes})


def test_a_later_process_is_refused_with_the_name_of_the_first() -> None:
    found = status(asked(rivals=(replace(OLDER, key="demo/between", created=after(-7000)), OLDER)))
    assert found.phase is ProcessPhase.FAILED
    for type_ in (ConditionType.FAILED, ConditionType.FINISHED, ConditionType.NODE_RESERVED):
        condition = find(found.conditions, type_)
        assert condition is not None
        assert condition.reason == "NodeBusy"
        assert condition.message == (
            "node gpu-1 has an unfinished TrainingProcess, demo/older (Running), and the "
            "operator's setting onBusyNode is Reject: wait for its end or delete it, then create "
            "a new process, or use another node"
        )


@pytest.mark.parametrize(
    "older",
    [
        pytest.param(replace(OLDER, phase=phase), id=str(phase))
        for phase in (None, ProcessPhase.CREATED, ProcessPhase.QUEUED, ProcessPhase.SUSPENDED)
    ],
)
def test_whatever_keeps_the_older_from_its_end_the_later_is_refused(older: Rival) -> None:
    assert status(asked(rivals=(older,))).phase is ProcessPhase.FAILED


@pytest.mark.parametrize(
    "known",
    [
        pytest.param(asked(process=process(suspend=True)), id="a draft"),
        pytest.param(asked(capability=None), id="one whose inputs are not there"),
    ],
)
def test_refused_is_also(known: ProcessFacts) -> None:
    assert status(known).phase is ProcessPhase.FAILED


def test_of_two_made_in_the_same_second_the_first_by_name_stays() -> None:
    twin = replace(OLDER, created=after(-3600), phase=None)
    assert status(asked(rivals=(replace(twin, key="demo/a"),))).phase is ProcessPhase.FAILED
    assert status(asked(rivals=(replace(twin, key="demo/z"),))).phase is ProcessPhase.QUEUED


def test_of_two_made_in_the_same_second_who_was_let_in_stays() -> None:
    """Its name may come later: it was looked at before the other was there."""
    twin = replace(OLDER, key="demo/z", created=after(-3600), phase=ProcessPhase.QUEUED)
    assert status(asked(rivals=(twin,))).phase is ProcessPhase.FAILED


@pytest.mark.parametrize(
    "known",
    [
        pytest.param(asked(settings=SETTINGS), id="processes queue"),
        pytest.param(asked(rivals=()), id="it is alone"),
        pytest.param(asked(rivals=(YOUNGER,)), id="the others are younger"),
        pytest.param(
            replace(joined(rivals=(OLDER,), lease=OTHERS_LEASE), settings=REJECT),
            id="it stood in the queue before the setting was changed",
        ),
        pytest.param(
            with_status(
                asked(process=process(suspend=True)),
                decide_process(facts(process=process(suspend=True)), NOW).status,
            ),
            id="it was a draft before the setting was changed",
        ),
        pytest.param(replace(attempted(), settings=REJECT, rivals=(OLDER,)), id="it has begun"),
    ],
)
def test_not_refused_where(known: ProcessFacts) -> None:
    assert status(known).phase is not ProcessPhase.FAILED


class TestReuse:
    """What takes an earlier run needs no node."""

    def test_is_not_refused_before_it_is_known_whether_there_is_one(self) -> None:
        reusing = process(onExistingRun="Reuse")
        waiting = asked(process=reusing, existing=Unavailable("503"))
        assert status(waiting).phase is ProcessPhase.QUEUED

    def test_is_refused_when_its_inputs_have_come_and_there_is_none(self) -> None:
        reusing = process(onExistingRun="Reuse")
        early = decide_process(asked(process=reusing, capability=None), NOW).status
        assert early.phase is ProcessPhase.QUEUED
        later = with_status(asked(process=reusing), early)
        assert status(later).phase is ProcessPhase.FAILED

    def test_is_refused_when_there_is_none(self) -> None:
        assert status(asked(process=process(onExistingRun="Reuse"))).phase is ProcessPhase.FAILED
