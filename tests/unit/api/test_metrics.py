"""What metrics.json may say."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from trainyard.api.metrics import RunMetrics


def document(**changes: Any) -> dict[str, Any]:
    return {"primaryMetric": "top-1", "dev": {"samples": 3, "metrics": {"top-1": 0.5}}} | changes


def test_a_plain_evaluation_is_enough() -> None:
    read = RunMetrics.model_validate(document())
    assert read.dev is not None
    assert read.dev.metrics == {"top-1": 0.5}
    assert read.test is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dev": None}, "nothing was measured"),
        ({"dev": {"samples": 1, "metrics": {"top-1": float("nan")}}}, "finite number"),
        ({"operatingThreshold": float("inf")}, "finite number"),
        ({"formatVersion": 2}, "Input should be 1"),
        ({"speed": 3}, "Extra inputs are not permitted"),
        (
            {
                "dev": {
                    "samples": 1,
                    "metrics": {},
                    "confusion": {"labels": ["a", "b"], "matrix": [[1, 0], [1]]},
                }
            },
            "not one row and one column a label",
        ),
        (
            {"dev": {"samples": 1, "metrics": {}, "precisionAtRecall": {"box": [1.0, 0.5]}}},
            "at least 101 items",
        ),
    ],
)
def test_what_is_no_evaluation_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        RunMetrics.model_validate(document(**changes))
