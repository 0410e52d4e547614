"""No credential of a log comes into a status."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.builders import FAILED_JOB, LEASE, NOW, POD, attempted, ended_pod
from trainyard.decide.process import decide_process
from trainyard.decide.scrub import plain, scrubbed

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


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        pytest.param("\x1b[34m\x1b[1mtrain: \x1b[0m3/30", "train: 3/30", id="colours"),
        pytest.param("a\x1b[2K\x1b[1Gb", "ab", id="a cursor that moves"),
        pytest.param("a\x1b]0;title\x07b\x1b]8;;http://x\x1b\\c", "abc", id="titles and links"),
        pytest.param("a\x1b", "a", id="an escape at the end"),
        pytest.param(" 10%\r 20%\r\nend\r", " 10%\n 20%\nend\n", id="a bar that is drawn over"),
        pytest.param("a\x00b\x08c\x0bd\x9be", "abcde", id="control characters"),
        pytest.param("a\u2028b\u2029c\x85d", "a\nb\nc\nd", id="line ends of Unicode"),
        pytest.param("cat\u202egnp.exe\u2066\u200f", "catgnp.exe", id="what reorders text"),
        pytest.param("pay\u200bpal\ufeff\u2060\u00ad", "paypal", id="what has no width"),
        pytest.param("pass\u200bword: 12345678", "password: ***", id="a credential in disguise"),
    ],
)
def test_nothing_that_a_terminal_or_a_browser_would_obey_is_left(said: str, shown: str) -> None:
    assert scrubbed(said) == shown


@pytest.mark.parametrize(
    "text", ["a\tb\nc", "Köln, 猫, क्\u200dष, 👩\u200d🔬", "C:\\x [31m (x)"], ids=ascii
)
def test_scripts_of_all_kinds_are_plain(text: str) -> None:
    assert plain(text) == text


def test_log_that_a_kubelet_kept_is_scrubbed_and_bounded_before_it_is_recorded() -> None:
    log = "x" * 5000 + f"\nKeyError: AWS_SECRET_ACCESS_KEY={CANARY}\n"
    pod = replace(ended_pod(POD, exit_code=1), log_tail=log)
    status = decide_process(attempted(job=FAILED_JOB, lease=LEASE, pod=pod), NOW).status
    tail = status.attempts[0].log_tail
    assert tail is not None
    assert len(tail) == 2048
    assert tail.endswith("AWS_SECRET_ACCESS_KEY=***\n")
