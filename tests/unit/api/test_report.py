"""What a trainer may say: nothing that a decision or the API server could stumble over."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError
from tests.unit.builders import report

from trainyard.api.report import LONGEST_REMAINING_SECONDS, ProgressReport

GOOD = report().report.to_wire()
INT32 = 2**31 - 1


def read(**changes: Any) -> ProgressReport:
    return ProgressReport.model_validate_json(json.dumps({**GOOD, **changes}))


def epoch(**changes: Any) -> dict[str, Any]:
    return {"history": [{"epoch": 1, **changes}]}


REFUSED: dict[str, dict[str, Any]] = {
    "an unknown field": {"surprise": 1},
    "a percentage of a billion": {"percent": 1e9},
    "half a percent": {"percent": 5.5},
    "a number of epochs that the API server does not take": {"epoch": 2**63},
    "more epochs than 32 bits hold": {"epochs": INT32 + 1},
    "an attempt that nobody counts": {"attempt": 10**30},
    "an end after the end of all times": {"estimatedRemainingSeconds": 10**18},
    "an end that added to others would be one": {"estimatedRemainingSeconds": 250_000_000_000},
    "a loss that is no number": epoch(trainLoss=float("nan")),
    "a learning rate without end": epoch(learningRate=float("inf")),
    "a metric that is no number": epoch(metrics={"top-1": float("nan")}),
    "an epoch without end": epoch(seconds=float("inf")),
    "a curve of more points than are kept": {"history": [{"epoch": 1}] * 51},
    "more metrics than are kept": epoch(metrics={str(name): 1 for name in range(65)}),
    "a message without end": {"message": "x" * 513},
    "another shape": {"history": {"epoch": 1}},
}


@pytest.mark.parametrize("changes", REFUSED.values(), ids=REFUSED)
def test_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read(**changes)


def test_the_most_that_can_be_said_is_taken() -> None:
    told = read(
        percent=100,
        epoch=INT32,
        epochs=INT32,
        estimatedRemainingSeconds=LONGEST_REMAINING_SECONDS,
        **epoch(epoch=INT32, trainLoss=1e308),
    )
    assert told.epoch == told.history[0].epoch == INT32


def test_what_would_act_on_a_terminal_is_not_passed_on() -> None:
    told = read(message="a\x1b[31m\u202e.png\n", **epoch(metrics={"to\x00p": 1}))
    assert told.message == "a\ufffd[31m\ufffd.png\ufffd"
    assert list(told.history[0].metrics) == ["to\ufffdp"]
