"""Who goes next on a node."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest

from tests.unit.builders import LEASE, NOW, OTHERS_LEASE, after, process
from trainyard.api.process_status import ProcessPhase, TrainingProcessStatus
from trainyard.decide.facts import Rival
from trainyard.decide.queue import Place, as_rival, order, place

ME = Rival("demo/me", "u0", ProcessPhase.QUEUED, True, False, 0, NOW)
OLDER = replace(ME, key="demo/older", uid="u1", created=after(-60))
YOUNGER = replace(ME, key="demo/younger", uid="u2", created=after(60))


def test_alone_on_a_free_node_is_first() -> None:
    found = place(ME, (), None, None)
    assert found == Place(1, 1, None)
    assert found.first


def test_older_goes_first() -> None:
    assert place(ME, (OLDER, YOUNGER), None, None) == Place(2, 3, "demo/older")


def test_priority_comes_before_age() -> None:
    urgent = replace(YOUNGER, priority=5)
    assert place(ME, (urgent,), None, None) == Place(2, 2, "demo/younger")
    assert place(replace(ME, priority=9), (OLDER, urgent), None, None) == Place(1, 3, None)


def test_of_the_same_age_the_name_decides() -> None:
    twin = replace(ME, key="demo/a-twin", uid="u9")
    assert place(ME, (twin,), None, None).waiting_for == "demo/a-twin"


@pytest.mark.parametrize(
    "rival",
    [
        pytest.param(replace(OLDER, validated=False), id="one that is not validated"),
        pytest.param(replace(OLDER, suspended=True), id="a draft"),
        pytest.param(replace(OLDER, phase=None), id="one that nobody has looked at"),
        pytest.param(replace(OLDER, phase=ProcessPhase.CREATED), id="one that was not started"),
        pytest.param(replace(OLDER, phase=ProcessPhase.FAILED), id="one that is over"),
    ],
)
def test_does_not_stand_in_the_queue(rival: Rival) -> None:
    assert place(ME, (rival,), None, None).first


@pytest.mark.parametrize(
    "phase", [ProcessPhase.STARTING, ProcessPhase.RUNNING, ProcessPhase.SUSPENDING]
)
def test_active_process_holds_the_node_before_it_has_the_lock(phase: ProcessPhase) -> None:
    active = replace(YOUNGER, phase=phase)
    assert place(ME, (active,), None, None) == Place(1, 1, "demo/younger")


def test_lock_of_another_holds_the_node() -> None:
    found = place(ME, (), OTHERS_LEASE, None)
    assert found == Place(1, 1, "team/other")
    assert not found.first


def test_own_lock_does_not_keep_from_starting() -> None:
    assert place(replace(ME, key=LEASE.holder), (), LEASE, None).first


def test_live_pod_without_a_lock_holds_the_node() -> None:
    assert place(ME, (), None, "team/rogue") == Place(1, 1, "team/rogue")


def test_exactly_one_of_those_that_wait_is_first_whoever_asks() -> None:
    rivals = [
        replace(ME, key=f"demo/{number}", uid=str(number), priority=number % 2, created=after(age))
        for number, age in enumerate((30, 10, 10, 20, 0))
    ]
    for group in permutations(rivals, 4):
        places = [
            place(me, tuple(other for other in group if other is not me), None, None)
            for me in group
        ]
        assert sorted(item.position for item in places) == [1, 2, 3, 4]
        assert sum(item.first for item in places) == 1


def test_order_is_total() -> None:
    assert sorted([YOUNGER, ME, OLDER], key=order) == [OLDER, ME, YOUNGER]


def test_process_as_its_rivals_see_it() -> None:
    status = TrainingProcessStatus.model_validate(
        {
            "phase": "Queued",
            "conditions": [
                {
                    "type": "Validated",
                    "status": "True",
                    "reason": "Valid",
                    "lastTransitionTime": "2026-11-23T12:00:00Z",
                }
            ],
        }
    )
    seen = as_rival(process(priority=3, status=status))
    assert seen == Rival(
        key="demo/digits",
        uid="11111111-2222-3333-4444-555555555555",
        phase=ProcessPhase.QUEUED,
        validated=True,
        suspended=False,
        priority=3,
        created=after(-3600),
    )


@pytest.mark.parametrize(
    ("phase", "reason", "leaves", "knows"),
    [
        ("Running", "PodsReady", False, True),
        ("Running", "AwaitingEvidence", False, False),
        ("Suspending", "Stopping", True, False),
        ("Suspending", "AwaitingEvidence", False, False),
        ("Queued", "Stopping", False, False),
    ],
)
def test_end_of_an_attempt_is_foretold_unless_its_kubelet_should_have_spoken(
    phase: str, reason: str, leaves: bool, knows: bool
) -> None:
    stamp = {"lastTransitionTime": "2026-11-23T12:00:00Z"}
    conditions = [{"type": "Running", "status": "False", "reason": reason, **stamp}]
    attempt = {"number": 1, "node": "gpu-1", "startTime": "2026-11-23T12:00:00Z"}
    status = TrainingProcessStatus.model_validate(
        {"phase": phase, "conditions": conditions, "attempts": [attempt]}
    )
    seen = as_rival(process(status=status), 600)
    assert (seen.leaves, seen.done_at) == (leaves, after(600) if knows else None)


def test_process_without_a_creation_time_is_an_error() -> None:
    made = process(metadata={"creationTimestamp": None})
    with pytest.raises(ValueError, match="demo/digits has no creationTimestamp"):
        as_rival(made)
