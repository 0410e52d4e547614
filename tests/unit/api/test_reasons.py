"""Every reason says when it appears and what to do, in the catalogue too."""

from __future__ import annotations

import pytest

from trainyard.api.catalogue import reasons_page
from trainyard.api.reasons import Reason
from trainyard.decide.attempts import NEVER_MENDS

FAILURES = {
    Reason.VALIDATION_FAILED,
    Reason.NODE_BUSY,
    Reason.GPU_NOT_VISIBLE,
    Reason.GPU_OUT_OF_MEMORY,
    Reason.OUT_OF_MEMORY,
    Reason.DISK_FULL,
    Reason.DISK_LIMIT_EXCEEDED,
    Reason.SHARED_MEMORY_FULL,
    Reason.CONTAINER_NOT_CREATED,
    Reason.STORE_SECRET_MISSING,
    Reason.STORE_ACCESS_DENIED,
    Reason.STORE_CONTENT_UNUSABLE,
    Reason.TRAINER_ERROR,
    Reason.INTERRUPTED,
    Reason.NODE_PRESSURE,
    Reason.NODE_LOST,
    Reason.RETRIES_EXHAUSTED,
    Reason.JOB_DELETED,
    Reason.ARTEFACT_UPLOAD_FAILED,
    Reason.STORE_UNAVAILABLE,
    Reason.STALLED,
    Reason.IMAGE_PULL_FAILED,
    Reason.UNSCHEDULABLE,
    Reason.POD_REFUSED,
    Reason.VOLUME_NOT_MOUNTED,
    Reason.SNAPSHOT_FAILED,
    Reason.INVALID_GROUP_BY,
    Reason.DATASET_TOO_LARGE,
} | NEVER_MENDS
"""Reasons for which a process or a Dataset ends."""


@pytest.mark.parametrize("reason", Reason)
def test_says_when_it_appears(reason: Reason) -> None:
    assert reason.when
    assert not reason.when.endswith(".")
    assert not reason.remedy.endswith(".")
    assert Reason(str(reason)) is reason


@pytest.mark.parametrize("reason", sorted(FAILURES))
def test_that_ends_something_says_what_to_do(reason: Reason) -> None:
    assert reason.remedy
    assert reason.sentence == f"{reason.when}: {reason.remedy}"


def test_has_one_row_in_the_catalogue() -> None:
    rows = [line.split("|") for line in reasons_page().splitlines() if line.startswith("| `")]
    assert sorted(row[1].strip(" `") for row in rows) == sorted(Reason)
    assert all(len(row) == 5 for row in rows), "no text has a bar that would break its row"
