"""When a node's lock is released."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.builders import COMPLETE_JOB, FAILED_JOB, JOB, LEASE, POD, RUNNING_JOB
from trainyard.decide.facts import JobFacts, LockFacts, PodFacts
from trainyard.decide.lock import may_release

OVER = replace(POD, phase="Succeeded")
PENDING = replace(POD, phase="Pending", node="")
OTHER = replace(POD, job_uid="another", uid="other-pod")

CASES: dict[str, tuple[JobFacts | None, tuple[PodFacts, ...], bool]] = {
    "a complete Job whose pod is over": (COMPLETE_JOB, (OVER,), True),
    "a failed Job whose pod is gone": (FAILED_JOB, (), True),
    "a deleted Job without a pod": (None, (), True),
    "a Job that may still make a pod": (RUNNING_JOB, (), False),
    "a Job that is about to be started": (JOB, (), False),
    "a complete Job whose pod still runs": (COMPLETE_JOB, (POD,), False),
    "a deleted Job whose pod still runs": (None, (POD,), False),
    "a deleted Job whose pod is not bound yet": (None, (PENDING,), False),
    "a deleted Job while the pod of another lives": (None, (OTHER,), False),
    "one pod over and one alive": (FAILED_JOB, (OVER, POD), False),
}


@pytest.mark.parametrize(("job", "pods", "expected"), CASES.values(), ids=CASES)
def test_release(job: JobFacts | None, pods: tuple[PodFacts, ...], expected: bool) -> None:
    assert may_release(LockFacts(LEASE, job, pods)) is expected


def test_no_lock_no_release() -> None:
    assert not may_release(LockFacts(None, None, ()))
