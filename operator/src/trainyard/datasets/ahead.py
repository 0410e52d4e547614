"""Working ahead: one thread takes what another will need next."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import closing
from queue import Empty, Queue
from typing import TypeVar

_LAST_WAIT_SECONDS = 5.0

T = TypeVar("T")


class _End:
    """What comes after the last item; `error` if the items ended with one."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def ahead(items: Generator[T, None, None], limit: int) -> Generator[T, None, None]:
    """The items in their order, taken by a thread of its own.

    At most `limit` + 1 items wait to be used, whatever their number. An error of the items is
    raised where their user stands. When the user stops early, the thread ends after the item it
    is at; it is waited for a few seconds, not for a server that does not answer.
    """
    ready: Queue[T | _End] = Queue(limit)
    over = threading.Event()

    def take() -> None:
        end = _End()
        try:
            with closing(items):
                for item in items:
                    if over.is_set():
                        return
                    ready.put(item)
        except BaseException as error:  # noqa: BLE001 -- raised again in the other thread
            end = _End(error)
        if not over.is_set():
            ready.put(end)

    # Killed with the process: a run that is told to stop must not wait for the store.
    thread = threading.Thread(target=take, name="ahead", daemon=True)
    thread.start()
    try:
        while not isinstance(item := ready.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        over.set()
        _drain(ready)
        thread.join(_LAST_WAIT_SECONDS)


def _drain(queue: Queue[T]) -> None:
    """Make room, so that a thread that waits for it goes on and sees that it is over."""
    try:
        while True:
            queue.get_nowait()
    except Empty:
        pass
