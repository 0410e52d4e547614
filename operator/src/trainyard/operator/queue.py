"""Keys to reconcile: each at most once at a time, with backoff and jitter for those that fail."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

FIRST_DELAY_SECONDS = 0.2
LONGEST_DELAY_SECONDS = 60.0


@dataclass
class WorkQueue(Generic[K]):
    """A queue of keys for use inside one event loop.

    A key that is added while it is being worked on is worked on once more afterwards. A key
    with a timer keeps the earliest one.
    """

    jitter: Callable[[], float] = random.random
    _ready: asyncio.Queue[K] = field(default_factory=asyncio.Queue)
    _waiting: set[K] = field(default_factory=set)
    _busy: set[K] = field(default_factory=set)
    _again: set[K] = field(default_factory=set)
    _timers: dict[K, asyncio.TimerHandle] = field(default_factory=dict)
    _failures: dict[K, int] = field(default_factory=dict)

    def add(self, key: K) -> None:
        """Work on the key soon."""
        if key in self._busy:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.put_nowait(key)

    def add_after(self, key: K, seconds: float) -> None:
        """Work on the key after a while, or earlier if it is added before."""
        loop = asyncio.get_running_loop()
        old = self._timers.get(key)
        if old is not None:
            if old.when() <= loop.time() + seconds:
                return
            old.cancel()
        self._timers[key] = loop.call_later(max(0.0, seconds), self._fire, key)

    async def get(self) -> K:
        """The next key; `done` must be called with it."""
        key = await self._ready.get()
        self._waiting.discard(key)
        self._busy.add(key)
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        return key

    def done(self, key: K, *, failed: bool = False) -> None:
        """The work on the key is over; a failed one is tried again, later each time."""
        self._busy.discard(key)
        if failed:
            count = self._failures.get(key, 0)
            self._failures[key] = count + 1
            delay = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0 ** min(count, 20))
            self.add_after(key, delay * (0.5 + self.jitter()))
        else:
            self._failures.pop(key, None)
        if key in self._again:
            self._again.discard(key)
            if not failed:
                self.add(key)

    def clear(self) -> None:
        """Forget every key that is not being worked on, and every timer and failure."""
        for timer in self._timers.values():
            timer.cancel()
        for forgotten in (self._timers, self._failures):
            forgotten.clear()
        self._again.clear()
        self._waiting.clear()
        while not self._ready.empty():
            self._ready.get_nowait()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._busy)

    def _fire(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)
