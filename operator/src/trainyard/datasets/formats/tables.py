"""What the formats have in common whose label files are about many images each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from trainyard.api.dataset import Selection
from trainyard.datasets.errors import BadData
from trainyard.datasets.files import SourceFiles
from trainyard.datasets.formats.base import Annotations, is_image
from trainyard.datasets.problems import Problems
from trainyard.datasets.refusals import Refusals
from trainyard.datasets.scratch import Scratch
from trainyard.stores import ObjectInfo

_ROWS_AT_ONCE = 1024


class Tables:
    """What all label files of a source say, on this machine's disk.

    Attributes
    ----------
    files
        Their names, by number.
    """

    _TABLES: ClassVar[str]
    """Statements that make them; one, `_IMAGES`, has the names of the images that were found."""
    _INDEXES: ClassVar[str]
    """Statements for when the rows are there: so many insertions at random places of an index would
    be slow."""
    _IMAGES: ClassVar[str]

    def __init__(self) -> None:
        self.files: list[str] = []
        self._scratch = Scratch()
        self._database = self._scratch.database
        self._database.executescript(self._TABLES)

    def close(self) -> None:
        """Remove them from this machine's disk."""
        self._scratch.close()

    @contextmanager
    def filling(self) -> Iterator[None]:
        """The time in which label files are read; what they say can be asked after it."""
        self._database.execute("BEGIN")
        yield
        self._database.execute("COMMIT")
        self._database.executescript(self._INDEXES)

    def count_images(self) -> int:
        """Number of images that were found."""
        query = f"SELECT count(*) FROM (SELECT DISTINCT name FROM {self._IMAGES})"  # noqa: S608 -- of our own names
        return int(self._database.execute(query).fetchone()[0])

    def image_names(self) -> Iterator[str]:
        """Their names, sorted by code point."""
        query = f"SELECT DISTINCT name FROM {self._IMAGES} ORDER BY name"  # noqa: S608 -- of our own names
        return (name for (name,) in self._stream(query))

    def is_known(self, name: str) -> bool:
        """Whether a label file names the image."""
        query = f"SELECT 1 FROM {self._IMAGES} WHERE name = ?"  # noqa: S608 -- of our own names
        return self._database.execute(query, (name,)).fetchone() is not None

    def _stream(self, query: str, *values: object) -> Iterator[Any]:
        """The rows of an answer, few of them in memory."""
        cursor = self._database.execute(query, values)
        while rows := cursor.fetchmany(_ROWS_AT_ONCE):
            yield from rows


T = TypeVar("T", bound=Tables)


class TableFormat(ABC, Generic[T]):
    """A format that reads all label files of a source when it is opened.

    Images that none of them names are left out.

    Parameters
    ----------
    tables
        Empty; closed with the format.
    problems
        Is told of what cannot be used.

    Raises
    ------
    BadData
        What `problems` raises, or if there is no label file at all.
    """

    _NO_FILES: ClassVar[str]
    """The sentence for images without label files."""

    def __init__(
        self, selection: Selection, files: SourceFiles, tables: T, problems: Problems
    ) -> None:
        self.refused = Refusals()
        self._selection, self._files, self._problems = selection, files, problems
        self._tables = tables
        try:
            self._read()
        except BaseException:
            tables.close()
            raise

    def __len__(self) -> int:
        return self._tables.count_images()

    def images(self) -> Iterator[ObjectInfo]:
        """See `Format.images`."""
        for name in self._tables.image_names():
            entry = self._files.listing.get(name)
            if entry is not None:
                yield entry

    @abstractmethod
    def annotations(self, image: ObjectInfo) -> Annotations:
        """See `Format.annotations`."""

    def close(self) -> None:
        """See `Format.close`."""
        self._tables.close()

    @staticmethod
    @abstractmethod
    def _is_label_file(name: str) -> bool:
        """Whether a file's name makes it one that says something about images."""

    @abstractmethod
    def _read_file(self, path: Path, name: str) -> None:
        """Put what a label file says into the tables."""

    @abstractmethod
    def _connect(self) -> None:
        """Check what the label files say together, once all of them are in the tables."""

    def _read(self) -> None:
        listing = self._files.listing
        with self._tables.filling():
            for entry in listing:
                if self._is_label_file(entry.name):
                    with self._files.local(entry) as path:
                        try:
                            self._read_file(path, entry.name)
                        except BadData as error:
                            self._problems.add(error)
                elif not is_image(entry.name):
                    self.refused.add("OtherFile", entry.name)
        unread = not self._tables.files and not self._problems.count
        if unread and any(is_image(entry.name) for entry in listing):
            raise BadData(self._NO_FILES)
        self._connect()
        for entry in listing:
            if is_image(entry.name) and not self._tables.is_known(entry.name):
                self.refused.add("NotInAnnotations", entry.name)
