"""Format `voc`: an XML file of boxes for each image, as Pascal VOC has them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from trainyard.api.dataset import Selection
from trainyard.datasets.errors import BadData
from trainyard.datasets.files import SourceFiles
from trainyard.datasets.formats.base import (
    LABEL_FILE_LIMIT,
    Annotations,
    is_hidden,
    is_image,
    value_of,
)
from trainyard.datasets.formats.places import images_with_stem
from trainyard.datasets.formats.xml import Element, parse_xml
from trainyard.datasets.labels import Label, box_points, finite_number
from trainyard.datasets.listing import Listing
from trainyard.datasets.refusals import Refusals
from trainyard.stores import ObjectInfo

_IMAGE_FOLDERS = frozenset({"JPEGImages", "images"})
_LABEL_FOLDERS = ("Annotations", "annotations")
_LONGEST_SIDE = 1_000_000


class Voc:
    """An XML file lies beside its image, or under Annotations/ in place of JPEGImages/ or images/.

    An image without one was labelled by nobody and is left out.
    """

    def __init__(self, selection: Selection, files: SourceFiles) -> None:
        self.refused = Refusals()
        self._selection, self._files = selection, files
        self._count = 0
        for entry in files.listing:
            if is_image(entry.name):
                if _label_of(entry.name, files.listing) is None:
                    self.refused.add("NotInAnnotations", entry.name)
                else:
                    self._count += 1
            elif entry.name.endswith(".xml") and not is_hidden(entry.name):
                if not _has_image(entry.name, files.listing):
                    self.refused.add("LabelWithoutImage", entry.name)
            else:
                self.refused.add("OtherFile", entry.name)

    def __len__(self) -> int:
        return self._count

    def images(self) -> Iterator[ObjectInfo]:
        """See `Format.images`."""
        listing = self._files.listing
        for entry in listing:
            if is_image(entry.name) and _label_of(entry.name, listing) is not None:
                yield entry

    def annotations(self, image: ObjectInfo) -> Annotations:
        """See `Format.annotations`."""
        file = _label_of(image.name, self._files.listing)
        if file is None:
            return Annotations()
        data = self._files.read(file, LABEL_FILE_LIMIT)
        return parse_voc(data, file.name, self._selection.attribute, self._selection.class_names)

    def close(self) -> None:
        """See `Format.close`."""


def label_names(image: str) -> list[str]:
    """Where the labels of an image may lie."""
    beside = PurePosixPath(image).with_suffix(".xml")
    parts = beside.parts
    names: list[str] = []
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] in _IMAGE_FOLDERS:
            names = [
                str(PurePosixPath(*parts[:index], folder, *parts[index + 1 :]))
                for folder in _LABEL_FOLDERS
            ]
            break
    return [*names, str(beside)]


def parse_voc(
    data: bytes, name: str, attribute: str, class_names: Sequence[str] = ()
) -> Annotations:
    """Boxes of one XML file.

    Pascal VOC counts pixels from 1 and a box includes its last pixel, so that a box from 1 to the
    width covers the image: its edges are `xmin - 1` and `xmax`. Tools that count from 0 are one
    pixel off at the left and the top; their 0 is taken for the edge. The image's size is that of
    `<size>`. `difficult` and `truncated` objects are taken like any other, and parts of an object
    (`<part>`) are not.

    Parameters
    ----------
    data
        The file's bytes.
    name
        Its name, for errors.
    attribute
        The attribute that the names are values of.
    class_names
        `Selection.class_names`.

    Raises
    ------
    BadData
        At the first thing that cannot be used, as `name:line: what`.
    """
    root = parse_xml(data, name)
    if root.tag != "annotation":
        raise BadData(f"{name}:{root.line}: the root is <{root.tag[:40]}>, not <annotation>")
    size = _child(root, "size", name)
    width, height = (_side(_child(size, side, name), name) for side in ("width", "height"))
    labels = {
        _label(element, (width, height), name, attribute, class_names)
        for element in root.children
        if element.tag == "object"
    }
    return Annotations(tuple(sorted(labels)), size=(width, height))


def _label(
    element: Element,
    size: tuple[int, int],
    name: str,
    attribute: str,
    class_names: Sequence[str],
) -> Label:
    called = _child(element, "name", name)
    value = value_of(called.text, class_names, f"{name}:{called.line}: the object")
    box = _child(element, "bndbox", name)
    x_min, y_min, x_max, y_max = (
        _number(_child(box, side, name), name) for side in ("xmin", "ymin", "xmax", "ymax")
    )
    where = f"{name}:{box.line}"
    for low, high, axis in ((x_min, x_max, "x"), (y_min, y_max, "y")):
        if low >= high:
            raise BadData(
                f"{where}: {axis}min {low:g} is not below {axis}max {high:g}: the corners are "
                "swapped or the box has no area"
            )
    width, height = size
    corners = (
        _from_zero(x_min) / width,
        _from_zero(y_min) / height,
        x_max / width,
        y_max / height,
    )
    shown = f"{where}: box {x_min:g} {y_min:g} {x_max:g} {y_max:g} in {width} x {height} pixels"
    return Label(attribute, value, "box", box_points(corners, shown))


def _from_zero(edge: float) -> float:
    return edge - 1 if edge >= 1 else min(edge, 0.0)


def _child(element: Element, tag: str, name: str) -> Element:
    found = [child for child in element.children if child.tag == tag]
    if len(found) != 1:
        raise BadData(
            f"{name}:{element.line}: <{element.tag}> has {len(found)} <{tag}>, but needs one"
        )
    return found[0]


def _number(element: Element, name: str) -> float:
    return finite_number(element.text, f"{name}:{element.line}", f"{element.tag} ")


def _side(element: Element, name: str) -> int:
    number = _number(element, name)
    if number != int(number) or not 1 <= number <= _LONGEST_SIDE:
        raise BadData(
            f"{name}:{element.line}: {element.tag} {element.text[:40]!r} is no size of an image in "
            "pixels: write the image's own"
        )
    return int(number)


def _label_of(image: str, listing: Listing) -> ObjectInfo | None:
    for name in label_names(image):
        entry = listing.get(name)
        if entry is not None:
            return entry
    return None


def _has_image(label: str, listing: Listing) -> bool:
    """Whether there is an image that this label file is the first choice of."""
    parts = PurePosixPath(label).parts
    places = [parts]
    for index, part in enumerate(parts[:-1]):
        if part in _LABEL_FOLDERS:
            places += [(*parts[:index], folder, *parts[index + 1 :]) for folder in _IMAGE_FOLDERS]
    for place in places:
        for image in images_with_stem(PurePosixPath(*place), listing):
            found = _label_of(image, listing)
            if found is not None and found.name == label:
                return True
    return False
