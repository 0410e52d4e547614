"""What a model said about images, as people read it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import ijson

from trainyard.cli.output import note, print_table

TITLES = ("IMAGE", "ANSWER", "CONFIDENCE", "WHERE")
MOST_ROWS = 300
"""Of the table; the JSON has everything."""
OF_AN_IMAGE = 10
"""Answers about one image that the table has, the first ones."""


def print_answers(document: Path) -> tuple[int, int]:
    """Print a table of the answers, and of images that cannot be used a sentence each.

    Gives how many those are, and how many images there are in all.

    Parameters
    ----------
    document
        What the trainer's `predict --json` wrote; it may be larger than the memory.
    """
    rows: list[tuple[str, ...]] = []
    refused = images = 0
    with document.open("rb") as file:
        for image in ijson.items(file, "images.item", use_float=True):
            images += 1
            if image.get("refused"):
                refused += 1
                note(image["refused"])
            elif len(rows) < MOST_ROWS:
                rows += _rows(image)
    if rows:
        print_table(TITLES, rows)
    shown = len({row[0] for row in rows})
    if len(rows) >= MOST_ROWS and images > shown:
        note(f"the first {shown} of {images} images are shown: --output json has them all")
    return refused, images


def _rows(image: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    name, answers = image["image"], image["answers"]
    if not answers:
        yield name, "nothing", "", ""
    for answer in islice(answers, OF_AN_IMAGE):
        yield name, answer["value"], f"{answer['confidence']:.3f}", _where(answer)
    if len(answers) > OF_AN_IMAGE:
        yield name, f"and {len(answers) - OF_AN_IMAGE} more", "", ""


def _where(answer: dict[str, Any]) -> str:
    """`box 0.12,0.30,0.22,0.41`: left, top, right and bottom in 0..1 of the image's sides."""
    points = answer["points"]
    if not points:
        return "the image"
    across, down = points[0::2], points[1::2]
    corners = (min(across), min(down), max(across), max(down))
    shape = "outline in" if answer["geometry"] == "polygon" else "box"
    return f"{shape} {','.join(f'{number:.3f}' for number in corners)}"
