"""What the selections of a Dataset would take, before there is a snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import itemgetter

from trainyard.api.dataset import Selection, SelectionFilter
from trainyard.cli.data.statistics import Statistics
from trainyard.cli.data.stored import from_text, to_text
from trainyard.datasets.errors import BadData
from trainyard.datasets.found import LeftOut, Match
from trainyard.datasets.images import MAX_BYTES, RefusedImage, inspect
from trainyard.datasets.in_order import in_order
from trainyard.datasets.pictures import Picture, spread
from trainyard.datasets.problems import Problems
from trainyard.datasets.refusals import Refusals
from trainyard.datasets.sampling import order_of
from trainyard.datasets.scratch import Scratch
from trainyard.datasets.source import Source
from trainyard.stores import Store


@dataclass(frozen=True)
class Found:
    """What one selection takes.

    Attributes
    ----------
    images
        Number of images in the source.
    matches
        Of them, how many the filter takes, but for its `limit`.
    taken
        Of them, how many `limit` leaves.
    refused
        What is left out.
    problems
        See `Read`.
    """

    images: int
    matches: int
    taken: int
    refused: Refusals
    problems: Problems


class Matches:
    """Images that selections take, on this machine's disk."""

    def __init__(self) -> None:
        self._scratch = Scratch()
        self._database = self._scratch.database
        self._database.execute(
            "CREATE TABLE found (lot BLOB, name TEXT, uri TEXT, size INTEGER, version TEXT,"
            " labels TEXT, grp TEXT)"
        )
        self._database.execute("CREATE TABLE taken AS SELECT * FROM found")
        self._database.execute("BEGIN")

    def search(
        self,
        source: Source,
        selection: Selection,
        statistics: Statistics,
        advance: Callable[[int], None],
    ) -> Found:
        """Add what a lenient source has for a selection.

        With a limit those are taken that come first in the order of `order_of`, as in the
        snapshot; only reading the images could say which of them are copies, or broken.

        Parameters
        ----------
        statistics
            Counts what is taken.
        advance
            Told of each image that was looked at.
        """
        rule = selection.filter or SelectionFilter()
        refused = Refusals()
        refused.add_all(source.refused)
        problems = Problems(lenient=True)
        problems.add_all(source.problems)
        matches = 0
        for match in source.matches():
            match match:
                case Match():
                    matches += 1
                    self._add(match, rule.seed)
                case LeftOut(error=None):
                    refused.add(match.reason, match.name)
                case LeftOut(error=str() as error):
                    problems.add(BadData(error.removesuffix(f" (in {source.uri})")))
            advance(1)
        taken = 0
        for labels, group in self._take(rule.limit):
            taken += 1
            statistics.add_unread(from_text(labels), group)
        return Found(len(source), matches, taken, refused, problems)

    def pictures(self, store: Store, count: int) -> Iterator[Picture]:
        """Some of what is taken, evenly spread over the names.

        Parameters
        ----------
        store
            Has the images.
        count
            At most so many; an image that cannot be used is left out.
        """
        (total,) = self._database.execute("SELECT count(*) FROM taken").fetchone()
        places = set(spread(total, count))
        rows = self._database.execute(
            "SELECT name, uri, size, version, labels FROM taken ORDER BY uri"
        )
        chosen = [row for place, row in enumerate(rows) if place in places]

        def read(row: tuple[str, str, int, str, str]) -> Picture | None:
            name, uri, size, version, labels = row
            if size > MAX_BYTES:
                return None
            data = store.read_bytes(uri, MAX_BYTES, version)
            try:
                inspect(data, name)
            except (RefusedImage, BadData):
                return None
            return Picture(name, data, from_text(labels))

        found = in_order(read, chosen, size=itemgetter(2))
        return (picture for picture in found if picture is not None)

    def close(self) -> None:
        """Remove it from this machine's disk."""
        self._scratch.close()

    def _add(self, match: Match, seed: int) -> None:
        entry = match.entry
        self._database.execute(
            "INSERT INTO found VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                order_of(entry.name, seed),
                entry.name,
                entry.uri,
                entry.size,
                entry.version,
                to_text(match.annotations.labels),
                match.group,
            ),
        )

    def _take(self, limit: int | None) -> Iterator[tuple[str, str | None]]:
        """Move what was found to what is taken; gives the labels and groups."""
        self._database.execute(
            "INSERT INTO taken SELECT * FROM found ORDER BY lot LIMIT ?",
            (-1 if limit is None else limit,),
        )
        yield from self._database.execute(
            "SELECT labels, grp FROM found ORDER BY lot LIMIT ?",
            (-1 if limit is None else limit,),
        )
        self._database.execute("DELETE FROM found")
