"""Tells a full disk and too little shared memory from what libraries make of them."""

from __future__ import annotations

import errno
import re
import sqlite3
from collections.abc import Iterator

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_SAYS_FULL = re.compile(
    # The C library's words, also in a traceback that a loader process handed over; numpy's;
    # SQLite's; those of torch's writer.
    r"No space left on device|Disk quota exceeded|Not enough free space to write"
    r"|database or disk is full|inline_container\.cc"
)
_SAYS_SHARED = re.compile(r"shared memory ?\(shm\)|out of shared memory|file </torch_")


def disk_is_full(error: BaseException) -> bool:
    """Whether an error comes from a disk that has no room left."""
    return any(
        getattr(one, "errno", None) in _FULL
        or getattr(one, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        or _SAYS_FULL.search(str(one)) is not None
        for one in _with_causes(error)
    )


def shared_memory_is_full(error: BaseException) -> bool:
    """Whether an error comes from /dev/shm, through which loader processes hand over images."""
    return any(_SAYS_SHARED.search(str(one)) is not None for one in _with_causes(error))


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    """An error, and those that it came of."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
