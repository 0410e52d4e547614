"""One class an example, of an image or a crop: what classifiers and embedders have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from PIL import Image
from torchvision.transforms import Compose
from ultralytics.data.augment import classify_transforms

from trainyard.datasets.errors import BadData
from trainyard.datasets.samples import Sample
from trainyard_trainer.config import InputRule, ModelConfig
from trainyard_trainer.crops import RULE, cut
from trainyard_trainer.engines.base import Box, Example, bounds
from trainyard_trainer.faults import ClassesMissing


def class_name(index: int) -> str:
    """Name of a class inside of the libraries: sorts as its index does; people never see it."""
    return f"{index:05d}"


def _check_folders(root: Path, wanted: Sequence[str]) -> None:
    for split in ("train", "dev", "test"):
        folders = [path for path in sorted((root / split).glob("*")) if path.is_dir()]
        for folder in folders:
            if folder.name not in wanted:
                raise BadData(
                    f"{split}/{folder.name} is the folder of no class: they are called "
                    f"{wanted[0]} to {wanted[-1]}, in the order of the capability's outputs"
                )
            if not any(folder.iterdir()):
                raise BadData(f"{split}/{folder.name} is empty: put images into it, or remove it")
        missing = set(wanted) - {folder.name for folder in folders}
        if split == "train" and missing:
            raise ClassesMissing(
                f"train has no folder {min(missing)}: there are to be images of each class"
            )


_LONGEST = 32
"""An image this many times as long as wide is cut before it is resized: what is resized in full
would be so many times as long as the model's input, gigabytes for a line of pixels."""


class Middle:
    """The middle of an image that is longer than `_LONGEST` times its short side."""

    def __call__(self, image: Image.Image) -> Image.Image:
        """Cut off what the model would not see."""
        longest = _LONGEST * min(image.size)
        across, down = (max(0, side - longest) // 2 for side in image.size)
        if not across and not down:
            return image
        return image.crop((across, down, image.width - across, image.height - down))


def plain_transforms(size: int) -> Compose:
    """What is done to an image in use: the centre, `size` pixels a side, in 0..1."""
    return Compose([Middle(), *classify_transforms(size=size).transforms])


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

    def finish_layout(self, root: Path, classes: int) -> Path:
        """The folder itself is the dataset; the library looks for dev under a name of its own.

        Raises
        ------
        BadData
            If its folders are not those of the classes: a person may have edited them, and the
            libraries number the folders that they find.
        """
        _check_folders(root, [class_name(index) for index in range(classes)])
        if not (root / "val").exists():
            (root / "val").symlink_to("dev")
        return root

    def inputs(
        self, image: Image.Image, config: ModelConfig, entities: Sequence[Box] = ()
    ) -> torch.Tensor:
        """The centre of the image, or of the square around each entity."""
        picture, rule = image.convert("RGB"), config.input.crop
        seen = [cut(picture, box, rule) for box in entities] if entities and rule else [picture]
        ready = plain_transforms(config.input.size)
        return torch.stack([ready(one) for one in seen])

    def input_rule(self, size: int) -> InputRule:
        """The shortest side is fitted, and the centre cut out."""
        crop = RULE if self._crops else None
        return InputRule(crop=crop, size=size, resize="shortest-side-centre-crop", antialias=True)
