"""predictions.png: what the model says, beside what is right, on images it has never seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from trainyard.datasets import drawing
from trainyard.datasets.drawing import INK, WHITE, Colour, Outline, font
from trainyard.datasets.labels import Label
from trainyard_trainer.engines.base import Prediction, bounds

MAX_IMAGES = 12
"""Images that the picture shows."""

_SIDE = 240
# Of few images more is to be seen.
_LARGEST = 960
_MARGIN = 12
_CAPTION = 22
_HEADER = 34
_TITLE = 16
_COLUMNS = 3
_RIGHT, _WRONG, _LABEL = (0, 130, 60), (200, 30, 30), (20, 90, 200)
_FOUND = (235, 110, 0)


@dataclass(frozen=True)
class Shown:
    """One image of the picture; `note` stands below it, a few words."""

    path: Path
    labels: tuple[Label, ...]
    predictions: tuple[Prediction, ...]
    note: str = ""


@dataclass(frozen=True)
class Section:
    """Images under a line of text."""

    title: str
    images: tuple[Shown, ...]


def draw(sections: Sequence[Section], target: Path) -> None:
    """Write the picture as PNG.

    Detectors: the image with its labels (blue) and, to the right of it, with the predictions
    (orange, with confidence), boxes or outlines; where no image has labels, only the latter. What
    was asked about a labelled box is green where it agrees with the label and red where not.
    Classifiers: the image (or crop) once, label and prediction below it, green and red alike.

    Parameters
    ----------
    sections
        One below the other; at most `MAX_IMAGES` in all are drawn.
    target
        File to write.
    """
    shown = [image for section in sections for image in section.images]
    labelled = any(image.labels for image in shown)
    side = max(_SIDE, min(_LARGEST, _LARGEST // max(1, len(shown))))
    boxes = any(p.points for image in shown for p in image.predictions) or any(
        label.points for image in shown for label in image.labels
    )
    values = {label.value for image in shown for label in image.labels}
    values |= {said.output.value for image in shown for said in image.predictions}
    across = 2 if boxes and labelled else _COLUMNS
    columns = min(across, max(len(section.images) for section in sections))
    sheets, left = [], MAX_IMAGES
    for section in sections:
        chosen = section.images[:left]
        left -= len(chosen)
        tiles = [
            (_found if boxes else _single)(image, side, named=len(values) > 1, labelled=labelled)
            for image in chosen
        ]
        width = columns * (tiles[0].width + _MARGIN) + _MARGIN
        header = Image.new("RGB", (width, _HEADER), WHITE)
        text = drawing.shortened(section.title, width - 2 * _MARGIN, _TITLE)
        ImageDraw.Draw(header).text((_MARGIN, 8), text, fill=INK, font=font(_TITLE))
        sheets.append(drawing.grid(tiles, len(tiles), columns, header, _MARGIN))
    whole = Image.new("RGB", (sheets[0].width, sum(sheet.height for sheet in sheets)), WHITE)
    top = 0
    for sheet in sheets:
        whole.paste(sheet, (0, top))
        top += sheet.height
    whole.save(target, "PNG")


def _single(image: Shown, side: int, *, named: bool, labelled: bool) -> Image.Image:  # noqa: ARG001 -- as `_found`
    """The image once, with what is said of it as a whole."""
    picture = drawing.decoded(image.path.read_bytes(), side)
    tile = Image.new("RGB", (side, side + 2 * _CAPTION), WHITE)
    tile.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    pen = ImageDraw.Draw(tile)
    best = image.predictions[0] if image.predictions else None
    said = f"{best.output.value} ({best.confidence:.2f})" if best else "nothing"
    colour, top = _FOUND, side + 2
    if labelled:
        truth = ", ".join(label.value for label in image.labels) or "-"
        right = best is not None and best.output.value in {label.value for label in image.labels}
        colour = _RIGHT if right else _WRONG
        pen.text((2, top), f"label: {truth} {image.note}".strip(), fill=_LABEL, font=font(15))
        top += _CAPTION - 1
    pen.text((2, top), f"predicted: {said}", fill=colour, font=font(15))
    return tile


def _found(image: Shown, side: int, *, named: bool, labelled: bool) -> Image.Image:
    """The image with its predictions, to the right of the one with its labels.

    The class stands at the outlines only where there is more than one.
    """
    picture = drawing.decoded(image.path.read_bytes(), side)
    found = drawing.draw_outlines(
        picture,
        [
            Outline(
                said.points,
                said.geometry == "polygon",
                _colour(said, image.labels),
                f"{said.output.value if named else ''} {said.confidence:.2f}".strip(),
            )
            for said in image.predictions
            if said.points
        ],
    )
    parts = [(found, f"predicted: {len(image.predictions)}   {image.note}".strip(), _FOUND)]
    if labelled:
        marked = drawing.draw_outlines(
            picture,
            [
                Outline(
                    label.points, label.geometry == "polygon", _LABEL, label.value if named else ""
                )
                for label in image.labels
                if label.points
            ],
        )
        parts.insert(0, (marked, f"labels: {len(image.labels)}", _LABEL))
    tile = Image.new("RGB", (len(parts) * (side + 4) - 4, side + _CAPTION), WHITE)
    pen = ImageDraw.Draw(tile)
    for number, (drawn, caption, colour) in enumerate(parts):
        x = number * (side + 4)
        tile.paste(drawn, (x + (side - drawn.width) // 2, (side - drawn.height) // 2))
        pen.text((x + 2, side + 2), caption, fill=colour, font=font(15))
    return tile


def _colour(said: Prediction, labels: Sequence[Label]) -> Colour:
    """That of what was found, or whether what was asked about a labelled box is right."""
    right = {label.value for label in labels if label.points and bounds(label) == said.points}
    if not right:
        return _FOUND
    return _RIGHT if said.output.value in right else _WRONG
