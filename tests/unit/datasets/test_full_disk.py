"""A disk that is too small is told in a sentence."""

import errno
import os
import sqlite3
from contextlib import closing

import pytest

from trainyard.datasets.errors import DiskFull
from trainyard.datasets.scratch import Scratch, full_disk_explained


def test_a_table_that_outgrows_the_disk_is_told_in_a_sentence() -> None:
    with closing(Scratch()) as scratch, pytest.raises(DiskFull) as caught, full_disk_explained():
        # What SQLite says when a write fails for want of room, it says here too.
        scratch.database.execute("PRAGMA max_page_count = 20")
        scratch.database.execute("CREATE TABLE t (x BLOB)")
        for _ in range(100):
            scratch.database.execute("INSERT INTO t VALUES (zeroblob(4096))")
    assert "is full: a snapshot needs room there for its tables" in str(caught.value)


def test_a_file_that_has_no_room_is_told_in_a_sentence() -> None:
    # A device that has never any room.
    with pytest.raises(DiskFull), full_disk_explained(), open("/dev/full", "wb", 0) as file:  # noqa: PTH123
        file.write(b"x")


@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, os.strerror(errno.EIO)), sqlite3.OperationalError("locked")]
)
def test_other_errors_stay_what_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, full_disk_explained():
        raise error
    assert caught.value is error
