"""What stands in the columns of kubectl."""

from __future__ import annotations

import pytest

from trainyard.api.process_status import ProgressStatus
from trainyard.decide import display


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0s"),
        (0, "0s"),
        (45.4, "45s"),
        (59.6, "1m"),
        (719, "11m"),
        (3599, "59m"),
        (6000, "1h40m"),
        (3660, "1h01m"),
        (86_399, "23h59m"),
        (273_600, "3d4h"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert display.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (3_565_158, "3.4 MiB"),
        (5 * 1024**3, "5.0 GiB"),
        (3 * 1024**4, "3.0 TiB"),
        (3 * 1024**5, "3072.0 TiB"),
    ],
)
def test_size(count: int, text: str) -> None:
    assert display.size(count) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1, "1st"),
        (2, "2nd"),
        (3, "3rd"),
        (4, "4th"),
        (11, "11th"),
        (12, "12th"),
        (13, "13th"),
        (21, "21st"),
        (101, "101st"),
        (111, "111th"),
        (112, "112th"),
    ],
)
def test_ordinal(number: int, text: str) -> None:
    assert display.ordinal(number) == text


def test_progress_with_and_without_epochs() -> None:
    assert display.progress(ProgressStatus(percent=42, epoch=13, epochs=30)) == "42% (13/30)"
    assert display.progress(ProgressStatus(percent=42)) == "42%"


def test_metric_has_three_digits() -> None:
    assert display.metric("top-1", 0.96789) == "top-1 0.968"
    assert display.metric_name(display.metric("top-1", 0.96789)) == "top-1"
    assert display.metric_name("") == ""
