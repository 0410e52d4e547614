"""Keeping two commands out of one folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainyard.cli.errors import CommandError


@contextmanager
def only_one(folder: Path, busy: str) -> Iterator[int]:
    """Hold a folder; gives a handle, and whoever inherits it holds the folder too.

    Parameters
    ----------
    folder
        Which is there.
    busy
        The sentence if another command holds it.

    Raises
    ------
    CommandError
        If so.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(busy) from None
        yield handle
    finally:
        os.close(handle)
