"""Two ways of doing the same, timed in turns."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes
    ----------
    ours_s, peer_s
        Median seconds of a run.
    ratio
        Median of the pairs' peer / ours: above 1 we are faster. Each pair was run one right after
        the other, so what else the machine did in that minute hit both.
    lowest, highest
        The pairs' extremes.
    """

    ours_s: float
    peer_s: float
    ratio: float
    lowest: float
    highest: float


def compare(
    name: str,
    ours: Callable[[], object],
    peer: Callable[[], object],
    *,
    pairs: int = 5,
    before: Callable[[], object] = lambda: None,
    note: str = "",
) -> Comparison:
    """Run both `pairs` times in turns, print one line, and return the numbers.

    Parameters
    ----------
    name
        What is compared, for the line.
    ours, peer
        Each does the whole work once. They are timed by the wall clock.
    before
        Called before each run and not timed: empties caches and folders.
    note
        Said at the end of the line: sizes, versions.
    """
    times: list[tuple[float, float]] = []
    for number in range(pairs):
        # Who is first changes: what the first leaves in the page cache helps each as often.
        if number % 2:
            second = _seconds(peer, before)
            times.append((_seconds(ours, before), second))
        else:
            first = _seconds(ours, before)
            times.append((first, _seconds(peer, before)))
    ratios = [peer_s / ours_s for ours_s, peer_s in times]
    found = Comparison(
        median(first for first, _ in times),
        median(second for _, second in times),
        median(ratios),
        min(ratios),
        max(ratios),
    )
    print(
        f"{name}: ours {found.ours_s:.3g} s, peer {found.peer_s:.3g} s, "
        f"peer/ours {found.ratio:.2f} ({found.lowest:.2f} to {found.highest:.2f}, "
        f"{pairs} pairs in turns){f'; {note}' if note else ''}",
        flush=True,
    )
    return found


def _seconds(work: Callable[[], object], before: Callable[[], object]) -> float:
    before()
    gc.collect()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak_mib() -> float:
    """Most memory of this program so far; what getrusage tells is at least what its parent had."""
    (line,) = (
        line
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmHWM:")
    )
    return int(line.split()[1]) / 1024
