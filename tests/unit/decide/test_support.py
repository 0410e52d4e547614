"""Each field that does not act yet is found and named; those that act are not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.builders import process
from trainyard.decide import support

PROCESS: dict[str, tuple[dict[str, Any], str | None]] = {
    "a plain process acts": ({}, None),
    "e-mail": ({"notifications": {"email": ["a@b.c"]}}, "spec.notifications"),
    "webhooks": ({"notifications": {"webhooks": ["https://b.c"]}}, "spec.notifications"),
    "empty notifications act": ({"notifications": {}}, None),
    "retries act": ({"retry": {"limit": 2}}, None),
    "a smaller batch acts": ({"retry": {"shrinkBatchOnOutOfMemory": True}}, None),
    "a start deadline acts": ({"startDeadlineSeconds": 5}, None),
    "an active deadline acts": ({"activeDeadlineSeconds": 5}, None),
    "a stall time-out acts": ({"stallTimeoutSeconds": 5}, None),
    "a time to live acts": ({"ttlSecondsAfterFinished": 5}, None),
    "reuse acts": ({"onExistingRun": "Reuse"}, None),
    "overrides act": ({"overrides": {"hyperparameters": {"epochs": 3}}}, None),
    "an engine argument acts": (
        {"overrides": {"hyperparameters": {"extra": {"mixup": "1"}}}},
        None,
    ),
    "priority acts": ({"priority": 5}, None),
}


@pytest.mark.parametrize(("spec", "field"), PROCESS.values(), ids=PROCESS)
def test_process_field(spec: dict[str, Any], field: str | None) -> None:
    assert support.unsupported_in_process(process(**spec).spec) == field
