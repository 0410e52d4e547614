"""What is counted when a status was written: each thing once."""

from __future__ import annotations

from typing import Any

from tests.unit.builders import NOW, after
from tests.unit.operator.test_metrics import metrics_of, scraped
from tests.unit.operator.test_node_metrics import condition, waiting, with_raw_status
from trainyard.api.process import TrainingProcess
from trainyard.operator.transitions import transitions


def running(**status: Any) -> TrainingProcess:
    """A process that got its node at `NOW`, with its first attempt."""
    whole = {
        "phase": "Running",
        "conditions": [
            condition("Validated", "True", after(-100)),
            condition("NodeReserved", "True", NOW, "Reserved"),
        ],
        "attempts": [{"number": 1, "node": "gpu-1", "startTime": NOW.isoformat()}],
        **status,
    }
    return with_raw_status("cats", whole)


def over(reason: str = "TrainingSucceeded", gpu_seconds: int = 120) -> TrainingProcess:
    closed = {
        "number": 1,
        "node": "gpu-1",
        "startTime": NOW.isoformat(),
        "finishTime": after(120).isoformat(),
        "reason": reason,
    }
    return running(phase="Succeeded", attempts=[closed], gpuSeconds=gpu_seconds)


def test_a_wait_ends_when_the_node_is_got_and_only_then() -> None:
    before = waiting("cats", since=after(-100))
    assert transitions(before, running().status).waited_seconds == 100
    assert transitions(before, before.status).waited_seconds is None
    assert transitions(running(), running().status).waited_seconds is None


def test_the_wait_for_a_second_attempt_begins_with_the_end_of_the_first() -> None:
    closed = {"number": 1, "node": "gpu-1", "finishTime": after(-40).isoformat()}
    before = waiting("cats", since=after(-1000), attempts=[closed])
    opened = {"number": 2, "node": "gpu-1", "startTime": NOW.isoformat()}
    new = running(attempts=[closed, opened])
    assert transitions(before, new.status).waited_seconds == 40


def test_the_end_of_an_attempt_is_new_in_one_write() -> None:
    new = transitions(running(), over().status)
    assert [attempt.reason for attempt in new.ended] == ["TrainingSucceeded"]
    assert new.gpu_seconds == 120
    again = transitions(over(), over().status)
    assert (again.ended, again.gpu_seconds) == ((), 0)


def test_gpu_time_of_an_attempt_is_what_was_added_to_the_record() -> None:
    assert transitions(running(gpuSeconds=50), over(gpu_seconds=170).status).gpu_seconds == 120
    assert transitions(running(gpuSeconds=50), over(gpu_seconds=0).status).gpu_seconds == 0


def test_counters_follow() -> None:
    metrics = metrics_of()
    metrics.written(waiting("cats", since=after(-100)), running().status)
    metrics.written(running(), over("Stalled").status)
    metrics.written(running(), over("Made-up").status)
    found = scraped(metrics)
    assert found['trainyard_node_wait_seconds_sum{node="gpu-1"}'] == 100
    assert found['trainyard_node_wait_seconds_count{node="gpu-1"}'] == 1
    assert found['trainyard_gpu_seconds_total{node="gpu-1"}'] == 240
    assert found['trainyard_attempts_ended_total{reason="Stalled"}'] == 1
    assert found['trainyard_attempts_ended_total{reason="Other"}'] == 1
    assert found['trainyard_attempts_ended_total{reason="OutOfMemory"}'] == 0
