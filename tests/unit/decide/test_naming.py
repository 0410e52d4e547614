"""hideOtherNamespaces: objects of one namespace do not name the trainings of another."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.unit.builders import (
    LEASE,
    NOW,
    OTHERS_LEASE,
    POD,
    RUNNING_JOB,
    SETTINGS,
    after,
    attempted,
    facts,
    joined,
    with_status,
)
from trainyard.api.process_status import ProcessPhase
from trainyard.decide.actions import StartJob
from trainyard.decide.facts import LeaseFacts, OnBusyNode, ProcessFacts, Rival
from trainyard.decide.naming import ANOTHER, named, why_quarantined
from trainyard.decide.process import decide_process

HIDING = replace(SETTINGS, hides_other_namespaces=True)
HOLDER = Rival(
    *("team/other", "u1", ProcessPhase.RUNNING, True, False, 0, after(-7200)),
    done_at=NOW + timedelta(hours=1),
)
AHEAD = Rival("team/ahead", "u2", ProcessPhase.QUEUED, True, False, 5, NOW, rest_seconds=60)
QUARANTINED = replace(
    OTHERS_LEASE,
    quarantined="nobody knows whether pod team/tp-1-x still runs on node gpu-1: it was lost",
)


def test_a_training_of_the_same_namespace_keeps_its_name() -> None:
    assert named("team/cats", "team", hide=True) == "team/cats"


def test_a_namespace_that_begins_with_the_name_of_ours_is_another() -> None:
    assert named("team-2/cats", "team", hide=True) == ANOTHER
    assert named("team/cats", "team-2", hide=True) == ANOTHER


def test_without_the_setting_everybody_has_a_name() -> None:
    assert named("team/cats", "demo", hide=False) == "team/cats"


@pytest.mark.parametrize(
    "known",
    [
        pytest.param(joined(lease=OTHERS_LEASE), id="a lock that is held"),
        pytest.param(joined(live_holder="team/other"), id="a live pod"),
        pytest.param(joined(rivals=(HOLDER,)), id="one that is about to take the lock"),
        pytest.param(joined(rivals=(AHEAD,)), id="one that goes first"),
        pytest.param(joined(rivals=(HOLDER, AHEAD), lease=OTHERS_LEASE), id="both"),
        pytest.param(joined(lease=QUARANTINED), id="a quarantined lock"),
        pytest.param(
            facts(rivals=(HOLDER,), settings=replace(SETTINGS, on_busy_node=OnBusyNode.REJECT)),
            id="an older one when machines have one process only",
        ),
        pytest.param(
            attempted(job=RUNNING_JOB, pod=POD, lease=OTHERS_LEASE), id="a lock that was lost"
        ),
    ],
)
def test_no_name_of_another_namespace_gets_into_status_and_events(known: ProcessFacts) -> None:
    open_ = decide_process(known, NOW)
    assert "team/" in str(open_.status.to_wire()), "else this test shows nothing"
    hiding = replace(known, settings=replace(known.settings, hides_other_namespaces=True))
    decision = decide_process(hiding, NOW)
    said = f"{decision.status.to_wire()} {decision.events}"
    assert "team/" not in said
    assert ANOTHER in said
    again = decide_process(with_status(hiding, decision.status), after(1))
    assert again.status.to_wire() == decision.status.to_wire(), "said once"


def test_place_and_times_are_told_all_the_same() -> None:
    known = joined(rivals=(HOLDER, AHEAD), lease=OTHERS_LEASE, settings=HIDING)
    queue = decide_process(known, NOW).status.queue
    assert queue is not None
    assert (queue.position, queue.waiting_for) == (2, ANOTHER)
    assert (queue.held_until, queue.estimated_start_time) == (after(3600), after(3660))


def test_a_sentence_about_a_pod_of_the_same_namespace_is_told_whole() -> None:
    mine = replace(LEASE, quarantined="nobody knows whether pod demo/tp-1-x still runs")
    assert why_quarantined(mine, "demo", hide=True) == mine.quarantined


@pytest.mark.parametrize("lease", [QUARANTINED, replace(QUARANTINED, holder="demo/mine")])
def test_a_quarantine_by_a_pod_of_another_says_what_can_be_done(lease: LeaseFacts) -> None:
    assert why_quarantined(lease, "demo", hide=True) == (
        "nobody knows whether a training of another namespace still runs on node gpu-1: have an "
        "administrator look with trainyard nodes, or use another node"
    )


@pytest.mark.parametrize("hides", [False, True])
def test_who_starts_a_job_knows_whether_a_refusal_may_name_others(hides: bool) -> None:
    known = attempted(lease=LEASE, settings=replace(SETTINGS, hides_other_namespaces=hides))
    [action] = decide_process(known, NOW).actions
    assert isinstance(action, StartJob)
    assert action.hide_names is hides
