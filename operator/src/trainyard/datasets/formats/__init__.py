"""Layouts of labelled images: from the files of a source to images with labels."""

from __future__ import annotations

from trainyard.api.dataset import DataFormat, Selection
from trainyard.datasets.files import SourceFiles
from trainyard.datasets.formats.base import Annotations, Format
from trainyard.datasets.formats.coco import Coco
from trainyard.datasets.formats.folders import Folders
from trainyard.datasets.formats.records import Records
from trainyard.datasets.formats.voc import Voc
from trainyard.datasets.formats.yolo import Yolo
from trainyard.datasets.problems import Problems

__all__ = ["Annotations", "Format", "open_format"]


def open_format(
    selection: Selection,
    files: SourceFiles,
    *,
    group_by: str | None = None,
    problems: Problems | None = None,
) -> Format:
    """Understand the files of a selection.

    Parameters
    ----------
    selection
        What they are, and which of them are wanted.
    files
        The files.
    group_by
        Column of records that names the group of an image.
    problems
        Is told of what cannot be used in label files that are about many images each; by default
        the first of it is raised.

    Raises
    ------
    BadData
        If they are not in the format, or the class names cannot be told.
    """
    problems = problems or Problems()
    match selection.format:
        case DataFormat.FOLDERS:
            return Folders(selection, files)
        case DataFormat.YOLO:
            return Yolo(selection, files)
        case DataFormat.COCO:
            return Coco(selection, files, problems)
        case DataFormat.VOC:
            return Voc(selection, files)
        case DataFormat.RECORDS:
            return Records(selection, files, problems, group_by)
