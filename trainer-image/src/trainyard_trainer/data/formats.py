"""What lies where in a source: from a listing to images with the place of their labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from trainyard.api.dataset import DataFormat, Selection
from trainyard.api.documents import DocumentError, load_yaml
from trainyard.stores import ObjectInfo
from trainyard_trainer.data.images import EXTENSIONS
from trainyard_trainer.data.labels import Label, parse_yolo
from trainyard_trainer.faults import BadData, InvalidRunFile

LABEL_FILE_LIMIT = 8 << 20
"""Largest label file, in bytes."""

_DATA_YAML = frozenset({"data.yaml", "data.yml"})
_DATA_YAML_LIMIT = 1 << 20
# Text files that tools put beside images and that are not the labels of one.
_NOT_LABELS = frozenset({"classes", "train", "val", "valid", "test", "readme", "obj"})

Reader = Callable[[ObjectInfo, int], bytes]
"""Reads a whole object of at most so many bytes."""


@dataclass(frozen=True)
class Candidate:
    """An image of the listing, and how to find its labels."""

    image: ObjectInfo
    label_file: ObjectInfo | None = None
    labels: tuple[Label, ...] = ()
    """Labels that the place itself gives (folders)."""


@dataclass
class Plan:
    """What a source holds.

    Attributes
    ----------
    candidates
        Images in the order of their names.
    attribute
        What the labels are values of.
    names
        Class names by index, for label files.
    refused
        Names of files left out, by reason.
    """

    candidates: list[Candidate]
    attribute: str
    names: tuple[str, ...] = ()
    refused: dict[str, list[str]] = field(default_factory=dict)

    def labels_of(self, candidate: Candidate, read: Reader) -> tuple[Label, ...]:
        """Labels of an image; raises `BadData` at a line that cannot be used."""
        file = candidate.label_file
        if file is None:
            return candidate.labels
        return parse_yolo(read(file, LABEL_FILE_LIMIT), file.name, self.names, self.attribute)


def plan(selection: Selection, listing: Sequence[ObjectInfo], read: Reader) -> Plan:
    """Sort a listing into images, labels and the rest.

    Parameters
    ----------
    selection
        Format, attribute and class names.
    listing
        All files of the source, names relative to it.
    read
        Reads data.yaml.

    Raises
    ------
    BadData
        If the class names cannot be told.
    InvalidRunFile
        If the format is not supported.
    """
    match selection.format:
        case DataFormat.FOLDERS:
            return _plan_folders(selection, listing)
        case DataFormat.YOLO:
            return _plan_yolo(selection, listing, read)
        case _:
            raise InvalidRunFile(f"the format {selection.format.value!r} is not supported yet")


def _is_image(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return not hidden and path.suffix.lower().lstrip(".") in EXTENSIONS


def _plan_folders(selection: Selection, listing: Sequence[ObjectInfo]) -> Plan:
    """The first folder of a path names the class; what lies outside of any folder is left out."""
    made = Plan([], selection.attribute)
    for entry in listing:
        folder, separator, _ = entry.name.partition("/")
        if not _is_image(entry.name):
            made.refused.setdefault("OtherFile", []).append(entry.name)
        elif not separator:
            made.refused.setdefault("NoClassFolder", []).append(entry.name)
        else:
            value = _folder_class(folder, selection)
            made.candidates.append(
                Candidate(entry, labels=(Label(selection.attribute, value, "image"),))
            )
    return made


def _folder_class(folder: str, selection: Selection) -> str:
    names = selection.class_names
    if not names or folder in names:
        return folder
    if folder.isdecimal() and int(folder) < len(names):
        return names[int(folder)]
    raise BadData(
        f"the folder {folder!r} is neither one of the classNames nor a number below {len(names)}: "
        "rename it, or leave classNames out to use the folders' names"
    )


def _plan_yolo(selection: Selection, listing: Sequence[ObjectInfo], read: Reader) -> Plan:
    texts = {entry.name: entry for entry in listing if entry.name.endswith(".txt")}
    made = Plan([], selection.attribute, names=_yolo_names(selection, listing, read))
    used: set[str] = set()
    for entry in listing:
        if _is_image(entry.name):
            label = next((texts[name] for name in _label_names(entry.name) if name in texts), None)
            if label is not None:
                used.add(label.name)
            made.candidates.append(Candidate(entry, label_file=label))
        elif entry.name not in texts and entry.name not in _DATA_YAML:
            made.refused.setdefault("OtherFile", []).append(entry.name)
    for name in texts:
        if name not in used and PurePosixPath(name).stem.lower() not in _NOT_LABELS:
            made.refused.setdefault("LabelWithoutImage", []).append(name)
    return made


def _label_names(image: str) -> list[str]:
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


def _yolo_names(
    selection: Selection, listing: Sequence[ObjectInfo], read: Reader
) -> tuple[str, ...]:
    if selection.class_names:
        return selection.class_names
    files = [entry for entry in listing if entry.name in _DATA_YAML]
    if not files:
        raise BadData(
            "the classes have no names: put a data.yaml with `names` into the source, or give "
            "classNames in the selection"
        )
    return names_of(read(files[0], _DATA_YAML_LIMIT), files[0].name)


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
    for name in names:
        if not isinstance(name, (str, int)) or not 1 <= len(str(name)) <= 128:
            raise BadData(f"{file}: the class name {name!r} is not a text of 1 to 128 characters")
    if len(set(map(str, names))) < len(names):
        raise BadData(f"{file}: a class name is given twice")
    return tuple(map(str, names))
