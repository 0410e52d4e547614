"""One class an example, of an image or a crop: what classifiers and embedders have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from PIL import Image
from ultralytics.data.augment import classify_transforms

from trainyard.datasets.samples import Sample
from trainyard_trainer.config import InputRule, ModelConfig
from trainyard_trainer.crops import RULE, cut
from trainyard_trainer.engines.base import Box, Example, bounds


def class_name(index: int) -> str:
    """Name of a class inside of the libraries: sorts as its index does; people never see it."""
    return f"{index:05d}"


class ClassFolders:
    """Mixed into an engine: one class an example.

    Parameters
    ----------
    crops
        Learns and judges the boxes of an image instead of the image.
    """

    def __init__(self, *, crops: bool = False) -> None:
        self._crops = crops
        self.leaves_out = (
            "the capability names the class of none of their boxes"
            if crops
            else "the capability names none or several of their classes"
        )

    def examples_of(
        self, sample: Sample, classes: Mapping[tuple[str, str], int]
    ) -> list[Example] | None:
        """The one class of the image, for none or several cannot be learnt; or each box's."""
        named = [
            (classes[label.attribute, label.value], label)
            for label in sample.labels
            if (label.attribute, label.value) in classes
            and (label.geometry != "image") == self._crops
        ]
        if self._crops:
            return [Example((str(index),), bounds(label)) for index, label in named] or None
        found = {index for index, _ in named}
        return [Example((str(found.pop()),))] if len(found) == 1 else None

    def place(self, root: Path, split: str, name: str, example: Example) -> Path:
        """A folder a class."""
        return root / split / class_name(int(example.lines[0])) / name

    def finish_layout(self, root: Path, classes: int) -> Path:  # noqa: ARG002
        """The folder itself is the dataset; the library looks for dev under a name of its own."""
        if not (root / "val").exists():
            (root / "val").symlink_to("dev")
        return root

    def inputs(
        self, image: Image.Image, config: ModelConfig, entities: Sequence[Box] = ()
    ) -> torch.Tensor:
        """The centre of the image, or of the square around each entity."""
        picture, rule = image.convert("RGB"), config.input.crop
        seen = [cut(picture, box, rule) for box in entities] if entities and rule else [picture]
        ready = classify_transforms(size=config.input.size)
        return torch.stack([ready(one) for one in seen])

    def input_rule(self, size: int) -> InputRule:
        """The shortest side is fitted, and the centre cut out."""
        crop = RULE if self._crops else None
        return InputRule(crop=crop, size=size, resize="shortest-side-centre-crop", antialias=True)
