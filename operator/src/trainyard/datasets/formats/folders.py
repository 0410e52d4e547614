"""Format `folders`: the first folder of a path names the class."""

from __future__ import annotations

from collections.abc import Iterator

from trainyard.api.dataset import Selection
from trainyard.datasets.files import SourceFiles
from trainyard.datasets.formats.base import Annotations, is_image, value_of
from trainyard.datasets.labels import Label
from trainyard.datasets.refusals import Refusals
from trainyard.stores import ObjectInfo


class Folders:
    """One folder a class; what lies outside of any folder is left out.

    Raises
    ------
    BadData
        If a folder is not one of the `classNames`.
    """

    def __init__(self, selection: Selection, files: SourceFiles) -> None:
        self.refused = Refusals()
        self._selection, self._files = selection, files
        self._values: dict[str, str] = {}
        self._count = 0
        for entry in files.listing:
            folder, separator, _ = entry.name.partition("/")
            if not is_image(entry.name):
                self.refused.add("OtherFile", entry.name)
            elif not separator:
                self.refused.add("NoClassFolder", entry.name)
            else:
                self._count += 1
                if folder not in self._values:
                    self._values[folder] = value_of(folder, selection.class_names, "the folder")

    def __len__(self) -> int:
        return self._count

    def images(self) -> Iterator[ObjectInfo]:
        """See `Format.images`."""
        for entry in self._files.listing:
            if "/" in entry.name and is_image(entry.name):
                yield entry

    def annotations(self, image: ObjectInfo) -> Annotations:
        """See `Format.annotations`."""
        value = self._values[image.name.partition("/")[0]]
        return Annotations((Label(self._selection.attribute, value, "image"),))

    def close(self) -> None:
        """See `Format.close`."""
