"""Format `yolo`: a text file of boxes or polygons for each image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from trainyard.api.dataset import Selection
from trainyard.api.documents import DocumentError, load_yaml
from trainyard.datasets.errors import BadData
from trainyard.datasets.files import SourceFiles
from trainyard.datasets.formats.base import LABEL_FILE_LIMIT, Annotations, is_hidden, is_image
from trainyard.datasets.formats.places import images_with_stem
from trainyard.datasets.labels import Label, box_points, checked_name, finite_number, polygon_points
from trainyard.datasets.listing import Listing
from trainyard.datasets.refusals import Refusals
from trainyard.stores import ObjectInfo

DATA_YAML = ("data.yaml", "data.yml")
"""Where the names of the classes stand; the first of them that is there counts."""

_DATA_YAML_LIMIT = 1 << 20
# Text files that tools put beside images and that are not the labels of one.
_NOT_LABELS = frozenset({"classes", "train", "val", "valid", "test", "readme", "obj"})


class Yolo:
    """Labels lie under labels/ in place of images/, or beside the image.

    Raises
    ------
    BadData
        If the class names cannot be told.
    """

    def __init__(self, selection: Selection, files: SourceFiles) -> None:
        self.refused = Refusals()
        self._attribute, self._files = selection.attribute, files
        self._names = _names(selection, files)
        self._count = 0
        for entry in files.listing:
            if is_image(entry.name):
                self._count += 1
            elif entry.name.endswith(".txt") and not is_hidden(entry.name):
                stem = PurePosixPath(entry.name).stem.lower()
                if stem not in _NOT_LABELS and not _has_image(entry.name, files.listing):
                    self.refused.add("LabelWithoutImage", entry.name)
            elif entry.name not in DATA_YAML:
                self.refused.add("OtherFile", entry.name)

    def __len__(self) -> int:
        return self._count

    def images(self) -> Iterator[ObjectInfo]:
        """See `Format.images`."""
        return (entry for entry in self._files.listing if is_image(entry.name))

    def annotations(self, image: ObjectInfo) -> Annotations:
        """See `Format.annotations`."""
        for name in label_names(image.name):
            file = self._files.listing.get(name)
            if file is not None:
                data = self._files.read(file, LABEL_FILE_LIMIT)
                return Annotations(parse_yolo(data, file.name, self._names, self._attribute))
        return Annotations()

    def close(self) -> None:
        """See `Format.close`."""


def label_names(image: str) -> list[str]:
    """Where the labels of an image may lie: under labels/ in place of images/, or beside it."""
    path = PurePosixPath(image)
    beside = path.with_suffix(".txt")
    parts = list(beside.parts)
    found = []
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            found.append(str(PurePosixPath(*parts[:index], "labels", *parts[index + 1 :])))
            break
    return [*found, str(beside)]


def _has_image(label: str, listing: Listing) -> bool:
    """Whether there is an image that this label file is the first choice of."""
    parts = PurePosixPath(label).parts
    places = [parts]
    for index, part in enumerate(parts[:-1]):
        # Only the last images/ of a path is replaced.
        if part == "labels" and "images" not in parts[index + 1 : -1]:
            places.append((*parts[:index], "images", *parts[index + 1 :]))
    for place in places:
        for image in images_with_stem(PurePosixPath(*place), listing):
            if next(x for x in label_names(image) if x in listing) == label:
                return True
    return False


def _names(selection: Selection, files: SourceFiles) -> tuple[str, ...]:
    if selection.class_names:
        return selection.class_names
    for name in DATA_YAML:
        entry = files.listing.get(name)
        if entry is not None:
            return names_of(files.read(entry, _DATA_YAML_LIMIT), entry.name)
    raise BadData(
        "the classes have no names: put a data.yaml with `names` into the source, or give "
        "classNames in the selection"
    )


def names_of(data: bytes, file: str) -> tuple[str, ...]:
    """Class names of a data.yaml, which is read as data: `download` and the like are ignored.

    Raises
    ------
    BadData
        If it has no usable `names`.
    """
    try:
        document = load_yaml(data, file)
    except DocumentError as error:
        raise BadData(str(error)) from None
    names = document.get("names") if isinstance(document, dict) else None
    if isinstance(names, dict):
        if set(names) != set(range(len(names))):
            raise BadData(f"{file}: names must have the keys 0 to {len(names) - 1}, each once")
        names = [names[index] for index in range(len(names))]
    if not isinstance(names, list) or not names:
        raise BadData(f"{file}: names must be a list of class names, or a map from 0, 1, ...")
    # Numbers are fine as names: 0..9 are the ten digits of many a set.
    texts = [str(name) if type(name) is int else name for name in names]
    checked = tuple(checked_name(text, file) for text in texts)
    if len(set(checked)) < len(checked):
        raise BadData(f"{file}: a class name is given twice")
    return checked


def parse_yolo(data: bytes, name: str, names: Sequence[str], attribute: str) -> tuple[Label, ...]:
    """Labels of one YOLO text file, sorted and without repeats.

    A line is `class x_centre y_centre width height` for a box or `class x y x y x y ...` for a
    polygon, all but the class in 0..1. A byte order mark, Windows line ends and empty lines are
    fine.

    Parameters
    ----------
    data
        The file's bytes.
    name
        Its name, for errors.
    names
        Class names by index.
    attribute
        The attribute that these are values of.

    Raises
    ------
    BadData
        At the first line that cannot be used, as `name:line: what`.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadData(f"{name}: not a text file in UTF-8") from None
    labels = set()
    for number, line in enumerate(text.splitlines(), start=1):
        if fields := line.split():
            labels.add(_parse_line(fields, f"{name}:{number}", names, attribute))
    return tuple(sorted(labels))


def _parse_line(fields: list[str], where: str, names: Sequence[str], attribute: str) -> Label:
    value = names[_class_index(fields[0], where, names)]
    count = len(fields) - 1
    if count != 4 and (count < 6 or count % 2):
        raise BadData(
            f"{where}: {len(fields)} columns; a box has 5 (class x_centre y_centre width height), "
            "a polygon 7 or more (class x y x y x y ...)"
        )
    numbers = [finite_number(field, where) for field in fields[1:]]
    if count > 4:
        return Label(attribute, value, "polygon", polygon_points(numbers, where))
    for number, field in zip(numbers, fields[1:], strict=True):
        if not 0 <= number <= 1:
            raise BadData(
                f"{where}: {field[:40]} is outside of 0..1: coordinates are fractions of the "
                "image's width and height"
            )
    x, y, width, height = numbers
    corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    return Label(attribute, value, "box", box_points(corners, where))


def _class_index(field: str, where: str, names: Sequence[str]) -> int:
    number = finite_number(field, where)
    if number != int(number) or number < 0:
        raise BadData(f"{where}: the class {field!r} is not a whole number from 0")
    if number >= len(names):
        are = f"are {len(names)} classes" if len(names) > 1 else "is 1 class"
        known = f"0 to {len(names) - 1}" if len(names) > 1 else "0"
        raise BadData(f"{where}: class {int(number)}, but there {are} only ({known})")
    return int(number)
