from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from itertools import count

import pytest

from trainyard.datasets.ahead import ahead


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "ahead"]


def test_items_come_in_their_order() -> None:
    assert list(ahead((number for number in range(1000)), 3)) == list(range(1000))
    assert list(ahead((number for number in range(0)), 3)) == []


def test_no_more_is_taken_than_may_wait() -> None:
    taken: list[int] = []

    def items() -> Generator[int, None, None]:
        for number in count():
            taken.append(number)
            yield number

    with closing(ahead(items(), 4)) as numbers:
        assert next(numbers) == 0
        # Four wait, one is held out; and the first is in use.
        wait_until(lambda: len(taken) == 6)
        time.sleep(0.1)
        assert len(taken) == 6
        assert next(numbers) == 1
        wait_until(lambda: len(taken) == 7)


def test_an_error_is_raised_where_the_items_are_used_and_after_those_before_it() -> None:
    def items() -> Generator[int, None, None]:
        yield 1
        raise ValueError("broken")

    used = []
    with pytest.raises(ValueError, match="broken"):
        for number in ahead(items(), 8):
            used.append(number)  # noqa: PERF402 -- what came before the error counts
    assert used == [1]
    assert not workers()


def test_who_stops_early_leaves_no_thread_and_the_items_are_closed() -> None:
    closed = threading.Event()

    def items() -> Generator[int, None, None]:
        try:
            yield from count()
        finally:
            closed.set()

    with closing(ahead(items(), 2)) as numbers:
        assert next(numbers) == 0
    assert closed.is_set()
    assert not workers()
