"""Many things at once by threads, their results in order and a bounded number ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar, cast

_WORKERS = 16
AHEAD = 64
"""At most so many results wait for the one before them."""
# Of what the waiting results hold, as `size` says.
_BYTES_AHEAD = 256 << 20

T = TypeVar("T")
R = TypeVar("R")

_END = object()


def in_order(
    work: Callable[[T], R],
    items: Iterable[T],
    ahead: int = AHEAD,
    size: Callable[[T], int] = lambda _: 0,
) -> Generator[R, None, None]:
    """Results of `work` in the order of `items`, computed by threads, a bounded number before use.

    Closing it ends the threads.

    Parameters
    ----------
    work, items
        Is called once for each of the items.
    ahead
        At most so many results wait.
    size
        Bytes that an item's result takes: few large ones wait, whatever `ahead` says.
    """
    remaining = iter(items)
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="read") as pool:
        pending: deque[tuple[Future[R], int]] = deque()
        held = 0
        try:
            upcoming = next(remaining, _END)
            while pending or upcoming is not _END:
                while upcoming is not _END and len(pending) < ahead:
                    item = cast("T", upcoming)
                    if pending and held + size(item) > _BYTES_AHEAD:
                        break
                    pending.append((pool.submit(work, item), size(item)))
                    held += size(item)
                    upcoming = next(remaining, _END)
                future, bytes_ = pending.popleft()
                result = future.result()
                held -= bytes_
                yield result
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
