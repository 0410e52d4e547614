"""Waiting for something to become true, with a sentence when it does not."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(
    what: str,
    probe: Callable[[], T | None],
    *,
    within: float = 60.0,
    every: float = 0.1,
    seen: Callable[[], object] | None = None,
) -> T:
    """The first truthy value of `probe`.

    Parameters
    ----------
    what
        What is waited for, for the sentence.
    probe
        Asked again and again.
    within, every
        Seconds until giving up, and between two questions.
    seen
        Says what is there instead, when time has run out.
    """
    deadline = time.monotonic() + within
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > deadline:
            instead = "" if seen is None else f"; seen instead: {seen()}"
            raise AssertionError(f"{what} did not happen within {within:.0f} s{instead}")
        time.sleep(every)


def never(what: str, probe: Callable[[], object], *, during: float, every: float = 0.1) -> None:
    """Fail as soon as `probe` gives something truthy in the next `during` seconds."""
    deadline = time.monotonic() + during
    while time.monotonic() < deadline:
        value = probe()
        if value:
            raise AssertionError(f"{what} must not happen, and did: {value}")
        time.sleep(every)
