"""Format `coco`: JSON files that list images, categories and annotations."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from trainyard.api.dataset import Selection
from trainyard.datasets.errors import BadData
from trainyard.datasets.files import SourceFiles
from trainyard.datasets.formats.base import Annotations, is_hidden, value_of
from trainyard.datasets.formats.coco_json import SECTIONS
from trainyard.datasets.formats.coco_labels import geometry_of
from trainyard.datasets.formats.coco_tables import CocoTables
from trainyard.datasets.formats.places import find_image, folder_of
from trainyard.datasets.formats.tables import TableFormat
from trainyard.datasets.labels import Label
from trainyard.datasets.problems import Problems
from trainyard.stores import ObjectInfo


class Coco(TableFormat[CocoTables]):
    """All annotation files of a source together: an image may be in several of them.

    Annotation files are `*.json` at the root or in a folder `annotations`, and `*.coco.json`
    anywhere, if they have the three lists. Images that none of them names are left out, and so are
    those with nothing but crowds (`iscrowd`): they show objects, and none that is marked.

    Raises
    ------
    BadData
        If a file cannot be used; the sentence names it and the id.
    """

    _NO_FILES = (
        "there is no COCO file: put a JSON file with the lists "
        f"{', '.join(sorted(SECTIONS))} at its root or into annotations/"
    )

    def __init__(self, selection: Selection, files: SourceFiles, problems: Problems) -> None:
        super().__init__(selection, files, CocoTables(), problems)

    def annotations(self, image: ObjectInfo) -> Annotations:
        """See `Format.annotations`."""
        labels = set()
        sizes: dict[tuple[int, int], str] = {}
        for sample in self._tables.samples(image.name):
            size = (sample.width, sample.height)
            sizes.setdefault(size, sample.file)
            for found in self._tables.annotations(sample):
                value = value_of(
                    found.category_name,
                    self._selection.class_names,
                    f"{sample.file}: category {found.category}",
                )
                where = f"{sample.file}: annotation {found.id}"
                geometry, points = geometry_of(found.shape, size, where)
                labels.add(Label(self._selection.attribute, value, geometry, points))
        if len(sizes) > 1:
            said = ", ".join(f"{w} x {h} in {file}" for (w, h), file in sizes.items())
            raise BadData(f"{image.name} has several sizes: {said}: correct the wrong one")
        return Annotations(tuple(sorted(labels)), size=next(iter(sizes), None))

    @staticmethod
    def _is_label_file(name: str) -> bool:
        if is_hidden(name) or not name.endswith(".json"):
            return False
        folder = PurePosixPath(name).parent
        at_root = str(folder) == "."
        return name.endswith(".coco.json") or at_root or folder.name.lower() == "annotations"

    def _read_file(self, path: Path, name: str) -> None:
        if not self._tables.load(path, name, self._problems):
            self.refused.add("OtherFile", name)

    def _connect(self) -> None:
        self._tables.check(self._selection.class_names, self._problems)
        self._find_images()
        self._leave_out_crowds()

    def _find_images(self) -> None:
        for number, file in enumerate(self._tables.files):
            folders = image_folders(file)
            for image in self._tables.images(number):
                name = find_image(PurePosixPath(image.name), folders, self._files.listing)
                if name is None:
                    self.refused.add("ImageMissing", image.name)
                else:
                    self._tables.add_sample(number, image, name)
        self._tables.check_samples(self._problems)

    def _leave_out_crowds(self) -> None:
        for where in self._tables.crowds():
            self.refused.add("CrowdRegion", where)
        for name in self._tables.take_out_crowds():
            self.refused.add("OnlyCrowd", name)


def image_folders(file: str) -> list[str]:
    """Where the images that a file names may lie, in the order in which they are looked for.

    Next to the file; where the folder `annotations` lies; at the root. In each of them first in a
    folder named after the split in the file's name, with and without `images/`, then directly, then
    in `images/`. So `annotations/instances_train2017.json` finds `train2017/1.jpg`.
    """
    folder = folder_of(file)
    bases = [folder]
    if PurePosixPath(folder).name.lower() == "annotations":
        bases.append(folder_of(folder))
    bases.append("")
    split = PurePosixPath(file).name.partition(".")[0].rpartition("_")[2]
    found: dict[str, None] = {}
    for base in bases:
        for inner in (f"images/{split}", split, "", "images"):
            found.setdefault(str(PurePosixPath(base) / inner))
    return list(found)
