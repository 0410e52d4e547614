"""Tables on disk that threads share: nobody gets another's answer."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from trainyard.datasets.listing import Listing
from trainyard.datasets.scratch import Scratch
from trainyard.stores import ObjectInfo

FILES = 5000


def test_threads_that_ask_at_the_same_time_get_their_own_answers() -> None:
    """Without that, an image gets the labels of another: 1 in 80 did, on Python 3.13."""
    entries = (ObjectInfo(f"s3://data/{n}.txt", f"{n}.txt", n, "") for n in range(FILES))
    with closing(Listing(entries)) as listing, ThreadPoolExecutor(16) as pool:

        def size_of(number: int) -> int | None:
            found = listing.get(f"{number}.txt")
            return None if found is None else found.size

        asked = list(range(FILES)) * 4
        assert list(pool.map(size_of, asked)) == asked


def test_no_two_questions_share_a_statement() -> None:
    """What makes the above true, seen on every Python: before 3.12 the race does not show."""
    compiled: list[object] = []

    def note(*about: object) -> int:
        compiled.append(about)
        return sqlite3.SQLITE_OK

    with closing(Scratch()) as scratch:
        scratch.database.execute("CREATE TABLE named (name TEXT)")
        scratch.database.set_authorizer(note)
        scratch.database.execute("SELECT name FROM named")
        once = len(compiled)
        scratch.database.execute("SELECT name FROM named")
        assert len(compiled) == 2 * once > 0
