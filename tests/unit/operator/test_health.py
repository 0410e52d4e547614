"""What makes a process unhealthy, and what does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.unit.builders import NOW
from trainyard.cluster.resources import JOB, POD
from trainyard.operator.health import PASS_LIMIT_SECONDS, Health

STALLED_AFTER_SECONDS = 120.0


@dataclass
class Patient:
    """A healthy process whose time is moved by hand."""

    time: float = 0.0

    def __post_init__(self) -> None:
        self.health = Health(300, STALLED_AFTER_SECONDS, lambda: self.time)
        self.health.synced(NOW)
        self.health.watches_started()
        self.health.watches_ready()

    def lists(self, *items: dict[str, Any], changed: set[str] | None = None) -> None:
        """A resync whose pods are these."""
        keys = {f"demo/{raw['metadata']['name']}" for raw in items} if changed is None else changed
        self.health.listed(POD, items, keys)
        self.health.synced(NOW)


def pod(name: str = "a", version: int = 1) -> dict[str, Any]:
    meta = {"namespace": "demo", "name": name, "uid": name, "resourceVersion": str(version)}
    return {"metadata": meta}


def test_it_is_ready_when_all_was_listed_and_the_watches_run() -> None:
    health = Health(300, STALLED_AFTER_SECONDS, lambda: 0.0)
    assert not health.ready
    health.synced(NOW)
    assert not health.ready
    health.watches_ready()
    assert health.ready
    assert health.trouble() is None


def test_no_resync_in_time_is_trouble() -> None:
    patient = Patient()
    patient.time = 300 + STALLED_AFTER_SECONDS
    assert patient.health.trouble() is None
    patient.time += 1
    assert patient.health.trouble() == f"no resync since {NOW.isoformat()}"
    patient.health.synced(NOW)
    assert patient.health.trouble() is None


def test_waiting_for_the_api_server_at_the_start_is_no_trouble() -> None:
    health = Health(300, STALLED_AFTER_SECONDS, lambda: 10_000.0)
    assert health.trouble() is None


def test_watches_that_do_not_begin_are_trouble() -> None:
    now = [0.0]
    health = Health(300, STALLED_AFTER_SECONDS, lambda: now[0])
    health.synced(NOW)
    health.watches_started()
    now[0] = STALLED_AFTER_SECONDS
    assert health.trouble() is None
    now[0] += 1
    assert health.trouble() == "the watches have not begun within 120 s"
    health.watches_ready()
    assert health.trouble() is None


def test_pass_that_does_not_end_is_trouble_and_names_its_object() -> None:
    patient = Patient()
    patient.health.pass_begun(0, "TrainingProcess demo/digits")
    patient.health.pass_begun(1, "Node gpu-1")
    patient.health.pass_over(1)
    patient.time = PASS_LIMIT_SECONDS + 1
    patient.health.synced(NOW)
    assert patient.health.trouble() == (
        "a worker has been busy with TrainingProcess demo/digits for 1801 s"
    )
    patient.health.pass_over(0)
    assert patient.health.trouble() is None


class TestSilentWatch:
    def test_change_that_only_a_list_shows_is_trouble_when_the_next_one_still_does(self) -> None:
        patient = Patient()
        patient.lists(pod(version=5))
        patient.time = STALLED_AFTER_SECONDS + 1
        assert patient.health.trouble() is None, "its event may still come"
        patient.lists(pod(version=5), changed=set())
        assert patient.health.trouble() == "no event came of pods demo/a, which has changed"

    def test_event_that_comes_late_is_good_enough(self) -> None:
        patient = Patient()
        patient.lists(pod(version=5))
        patient.health.event(POD, pod(version=5))
        patient.time = STALLED_AFTER_SECONDS + 1
        patient.lists(pod(version=5), changed=set())
        assert patient.health.trouble() is None

    def test_older_event_of_the_object_does_not_count(self) -> None:
        patient = Patient()
        patient.lists(pod(version=5))
        patient.health.event(POD, pod(version=4))
        patient.time = STALLED_AFTER_SECONDS + 1
        patient.lists(pod(version=5), changed=set())
        assert patient.health.trouble() is not None

    def test_objects_that_are_gone_are_not_waited_for(self) -> None:
        patient = Patient()
        patient.lists(pod(version=5))
        patient.time = STALLED_AFTER_SECONDS + 1
        patient.lists()
        patient.lists(pod("b", 9), changed=set())
        assert patient.health.trouble() is None

    def test_two_lists_shortly_after_another_prove_nothing(self) -> None:
        patient = Patient()
        patient.lists(pod(version=5))
        patient.time = 1
        patient.lists(pod(version=5), changed=set())
        assert patient.health.trouble() is None

    def test_it_heals_when_the_watch_of_that_type_speaks_again(self) -> None:
        patient = Patient()
        patient.lists(pod(version=5))
        patient.time = STALLED_AFTER_SECONDS + 1
        patient.lists(pod(version=5), changed=set())
        patient.health.event(JOB, pod(version=9))
        assert patient.health.trouble() is not None
        patient.health.event(POD, pod("other", 9))
        assert patient.health.trouble() is None
