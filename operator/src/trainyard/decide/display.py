"""Strings for the columns of kubectl."""

from __future__ import annotations

from datetime import UTC, datetime

from trainyard.api.process_status import ProgressStatus


def duration(seconds: float) -> str:
    """A duration for people: `45s`, `12m`, `1h40m`, `3d4h`."""
    total = max(0, round(seconds))
    if total < 60:
        return f"{total}s"
    minutes = total // 60
    if minutes < 60:
        return f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h{minutes:02d}m"
    days, hours = divmod(hours, 24)
    return f"{days}d{hours}h"


def size(count: int) -> str:
    """A size for people: `512 B`, `3.4 MiB`."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def progress(status: ProgressStatus) -> str:
    """`42% (13/30)`, or `42%` without epochs."""
    if status.epoch is None or status.epochs is None:
        return f"{status.percent}%"
    return f"{status.percent}% ({status.epoch}/{status.epochs})"


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def moment(time: datetime) -> str:
    """A time within the next days: `Wed 14:35 UTC`. It stays true while time passes."""
    there = time.astimezone(UTC)
    return f"{_DAYS[there.weekday()]} {there:%H:%M} UTC"


def ordinal(number: int) -> str:
    """`1st`, `2nd`, `3rd`, `4th`, `11th`."""
    suffix = (
        "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    )
    return f"{number}{suffix}"


def metric(name: str, value: float) -> str:
    """`top-1 0.968`."""
    return f"{name} {value:.3f}"


def metric_name(shown: str) -> str:
    """The name in what `metric` made; empty for an empty text."""
    return shown.rpartition(" ")[0]
