"""No credential of a log comes into a status."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.builders import FAILED_JOB, LEASE, NOW, POD, attempted, ended_pod
from trainyard.decide.process import decide_process
from trainyard.decide.scrub import scrubbed

CANARY = "k4n4ry-5ecret/Value+1"


@pytest.mark.parametrize(
    "line",
    [
        f"AWS_SECRET_ACCESS_KEY={CANARY}",
        f"aws_secret_access_key = {CANARY}",
        f"{{'AWS_SESSION_TOKEN': '{CANARY}', 'a': 1}}",
        f'{{"secretKey": "{CANARY}"}}',
        f"GET https://s3/b/k?X-Amz-Signature={CANARY}&X-Amz-Date=2026 HTTP/1.1",
        f"Authorization: Bearer {CANARY}",
        f"password: {CANARY}",
        f"cloning https://user:{CANARY.replace('/', '%2F')}@example.org/repo",
    ],
)
def test_value_that_is_named_like_a_credential_is_taken_out(line: str) -> None:
    found = scrubbed(f"before\n{line}\nafter")
    assert "k4n4ry" not in found
    assert "***" in found
    assert found.startswith("before\n") and found.endswith("\nafter")


@pytest.mark.parametrize(
    "line",
    [
        "epoch 3 of 30: train loss 0.5, top-1 0.91, 4.2 s",
        "no credentials for the object store: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        "labels/a.txt:3: class 9 is not among 0..2",
        "s3://models/runs/team/1/model.pth does not exist",
    ],
)
def test_other_words_stay(line: str) -> None:
    assert scrubbed(line) == line


def test_log_that_a_kubelet_kept_is_scrubbed_and_bounded_before_it_is_recorded() -> None:
    log = "x" * 5000 + f"\nKeyError: AWS_SECRET_ACCESS_KEY={CANARY}\n"
    pod = replace(ended_pod(POD, exit_code=1), log_tail=log)
    status = decide_process(attempted(job=FAILED_JOB, lease=LEASE, pod=pod), NOW).status
    tail = status.attempts[0].log_tail
    assert tail is not None
    assert len(tail) == 2048
    assert tail.endswith("AWS_SECRET_ACCESS_KEY=***\n")
