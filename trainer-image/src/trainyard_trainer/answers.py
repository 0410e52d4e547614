"""The answers of a model as a JSON document, which is written an image at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from trainyard_trainer.engines.base import Prediction
from trainyard_trainer.entities import PREDICTIONS


class Document:
    """One JSON document with an image a line."""

    def __init__(self, file: TextIO) -> None:
        self._file, self._next = file, ""
        head = {"apiVersion": "trainyard.dev/v1alpha1", "kind": PREDICTIONS}
        file.write(json.dumps(head)[:-1] + ', "images": [')

    def image(self, name: str, answers: Sequence[Prediction], refused: str = "") -> None:
        """Add an image.

        Parameters
        ----------
        refused
            Why it cannot be used; empty: it can.
        """
        entry: dict[str, Any] = {"image": name, "answers": [_wire(answer) for answer in answers]}
        if refused:
            entry["refused"] = refused
        self._file.write(f"{self._next}\n{json.dumps(entry, ensure_ascii=False)}")
        self._next = ","

    def end(self) -> None:
        """Nothing comes after this."""
        self._file.write("\n]}\n")


def _wire(answer: Prediction) -> dict[str, Any]:
    wire: dict[str, Any] = {
        "attribute": answer.output.attribute,
        "value": answer.output.value,
        "confidence": round(answer.confidence, 6),
        "geometry": answer.geometry,
        "points": [round(number, 6) for number in answer.points],
    }
    if answer.embedding:
        wire["embedding"] = list(answer.embedding)
    return wire


@contextmanager
def writing(path: Path | None) -> Iterator[Document | None]:
    """A document that has its name once it is whole."""
    if path is None:
        yield None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            document = Document(file)
            yield document
            document.end()
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
