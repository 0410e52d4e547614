"""Reading a COCO file of any size an entry at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import ijson

from trainyard.datasets.errors import BadData

SECTIONS = frozenset({"images", "annotations", "categories"})
"""What makes a JSON file one of COCO."""

_DEEPEST = 32
_MOST_VALUES = 1_000_000
_LONGEST_TEXT = 8 << 20
_BOM = b"\xef\xbb\xbf"


class CocoFile:
    """Entries of the three sections of a file, in its order.

    Memory is bounded whatever the file is: by one entry, which may not be larger than any
    annotation is, and one text.

    Parameters
    ----------
    file
        Opened at its beginning.
    name
        Its name, for errors.

    Attributes
    ----------
    seen
        The sections found so far.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name = file, name
        self.seen: set[str] = set()

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """The section and the entry, whatever its type.

        Raises
        ------
        BadData
            If the file is not JSON, is nested too deep, or an entry is too large.
        """
        try:
            yield from self._entries()
        except (ijson.JSONError, ValueError) as error:
            # ValueError: bytes that are not UTF-8, a number of thousands of digits.
            text = " ".join(str(error).split())[:160]
            said = " (NaN is no number of JSON)" if "nan" in text.lower() else ""
            raise BadData(f"{self._name}: not valid JSON{said}: {text}") from None

    def _entries(self) -> Iterator[tuple[str, Any]]:
        depth = values = 0
        section: str | None = None
        entry = _Entry()
        reader = _Reader(self._file, self._name)
        for event, value in ijson.basic_parse(reader, use_float=True):
            reader.unanswered = 0
            values += 1
            if event == "number" and entry.into_list is not None:
                # Nearly everything of a large file is a coordinate.
                entry.into_list(value)
            elif event == "start_map" or event == "start_array":
                depth += 1
                if depth > _DEEPEST:
                    raise BadData(f"{self._name}: nested more than {_DEEPEST} deep")
                if depth == 2 and section and event == "start_array":
                    self.seen.add(section)
                elif depth > 2 and section:
                    entry.open({} if event == "start_map" else [])
            elif event == "end_map" or event == "end_array":
                depth -= 1
                if entry.is_open:
                    entry.close()
            elif event == "map_key":
                if depth == 1:
                    section = value if value in SECTIONS else None
                elif entry.is_open:
                    entry.key(value)
            elif depth >= 2 and section:
                entry.add(value)
            if values > _MOST_VALUES and entry.is_open:
                raise BadData(
                    f"{self._name}: an entry of {section!r} has more than {_MOST_VALUES} values"
                )
            if not entry.is_open:
                values = 0
                if section and entry.finished:
                    yield section, entry.take()


class _Reader:
    """What the parser reads from; `unanswered` are the bytes since it said something."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name = file, name
        self._at_start = True
        self.unanswered = 0

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self.unanswered += len(data)
        if self.unanswered > _LONGEST_TEXT + size:
            raise BadData(f"{self._name}: a text is longer than {_LONGEST_TEXT >> 20} MiB")
        # The parser begins with a read of nothing, to see whether bytes come.
        if self._at_start and data:
            self._at_start = False
            data = data.removeprefix(_BOM)
        return data


class _Entry:
    """One value, put together from what the parser says.

    Attributes
    ----------
    is_open
        Whether it has begun and not ended.
    finished
        Whether it has ended and was not taken.
    into_list
        Adds to the innermost container, if that is a list.
    """

    def __init__(self) -> None:
        self._containers: list[Any] = []
        self._keys: list[str] = []
        self._done: Any = None
        self.is_open = self.finished = False
        self.into_list: Callable[[Any], None] | None = None

    def open(self, container: Any) -> None:
        self._containers.append(container)
        self._keys.append("")
        self.is_open = True
        self.into_list = container.append if isinstance(container, list) else None

    def close(self) -> None:
        done = self._containers.pop()
        self._keys.pop()
        self.is_open = bool(self._containers)
        above = self._containers[-1] if self._containers else None
        self.into_list = above.append if isinstance(above, list) else None
        self.add(done)

    def key(self, name: str) -> None:
        self._keys[-1] = name

    def add(self, value: Any) -> None:
        if not self.is_open:
            self._done, self.finished = value, True
        elif self.into_list is not None:
            self.into_list(value)
        else:
            self._containers[-1][self._keys[-1]] = value

    def take(self) -> Any:
        done, self._done, self.finished = self._done, None, False
        return done
