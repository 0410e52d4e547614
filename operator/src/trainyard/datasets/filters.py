"""Which of the images found are taken, as far as one image alone can tell.

What a filter says of submissions is for the format `records`, which knows them: it marks images
as not wanted. `limit` is in `sampling`.
"""

from __future__ import annotations

import unicodedata
from heapq import nsmallest
from threading import Lock

from trainyard.api.dataset import DataFormat, Selection, SelectionFilter
from trainyard.datasets.errors import BadData
from trainyard.datasets.formats import Annotations

_LENGTH = 60
_EXAMPLES = 5
_NEEDS_RECORDS = ("latest_submissions_only", "tags", "submitted_after", "submitted_before")


class ImageFilter:
    """A selection's filter; without one, everything that is wanted is taken.

    Raises
    ------
    BadData
        If it asks for what the selection's format does not have. (The API server refuses such a
        Dataset; the command line has none to ask.)
    """

    def __init__(self, selection: Selection) -> None:
        rule = selection.filter or SelectionFilter()
        self._has_tags = selection.format is DataFormat.RECORDS
        if not self._has_tags:
            for name in _NEEDS_RECORDS:
                if getattr(rule, name):
                    alias = type(rule).model_fields[name].alias
                    raise BadData(
                        f"filter.{alias} needs the format 'records', and the selection has the "
                        f"format {selection.format.value!r}: remove it"
                    )
        self._classes = frozenset(rule.classes)
        self._tags = frozenset(rule.tags)
        self._search = _folded(rule.search or "")
        self._rule = rule
        self._others: set[str] = set()
        self._lock = Lock()

    def may_take(self, name: str) -> bool:
        """False if the path alone says that the image is not taken: nothing need be read."""
        return self._has_tags or self._search in _folded(name)

    def takes(self, name: str, annotations: Annotations) -> bool:
        """Whether the image at the path `name` is taken, with all of its labels.

        Called by several threads at once.
        """
        return (
            annotations.wanted
            and self._tags <= annotations.tags
            and self._has_class(annotations)
            and (
                self._search in _folded(name)
                or any(self._search in _folded(tag) for tag in annotations.tags)
            )
        )

    def describe(self) -> str:
        """The filter as it was written, shortened."""
        said = []
        for name, value in self._rule.to_wire().items():
            if value is False or value == [] or (name == "seed" and self._rule.limit is None):
                continue
            if value is True:
                said.append(name)
                continue
            shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            said.append(
                f"{name} {shown if len(shown) <= _LENGTH else shown[: _LENGTH - 3] + '...'}"
            )
        return "; ".join(said)

    def other_classes(self) -> list[str]:
        """Some of the classes of images that were not taken for lack of those asked for."""
        return sorted(self._others)

    def _has_class(self, annotations: Annotations) -> bool:
        if not self._classes:
            return True
        values = {label.value for label in annotations.labels}
        if values & self._classes:
            return True
        if not values <= self._others:
            with self._lock:
                # The first by name: the same ones in whatever order images come.
                self._others = set(nsmallest(_EXAMPLES, self._others | values))
        return False


def _folded(text: str) -> str:
    """For comparison: without case, and composed (some systems store `ä` as two characters)."""
    return unicodedata.normalize("NFC", text).casefold()
