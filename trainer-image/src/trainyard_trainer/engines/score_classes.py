"""How good a classifier's answers are: the library's numbers, and what it does not keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ultralytics.data import ClassificationDataset
from ultralytics.models.yolo.classify import ClassificationValidator
from ultralytics.utils.metrics import ap_per_class

from trainyard.api.capability import Output
from trainyard_trainer.engines.base import ClassResult, Confusion, Curve, ImageScore, SplitResult
from trainyard_trainer.engines.class_folders import plain_transforms
from trainyard_trainer.engines.scoring import Floats, Integers, curve_of

_CONFIDENCES = np.linspace(0, 1, 1001)[:-1]
"""Among which the operating threshold is chosen."""


@dataclass(frozen=True)
class Answers:
    """What a classifier said about each image.

    Attributes
    ----------
    names
        Of the files.
    truth
        int [images]: the right class.
    first
        int [images, k]: the k most probable classes, k = 5 or the number of classes.
    confidence
        float [images, k]: of them.
    of_truth
        float [images]: confidence of the right class.
    """

    names: Sequence[str]
    truth: Integers
    first: Integers
    confidence: Floats
    of_truth: Floats


class _Named(ClassificationDataset):  # type: ignore[misc]
    """Images that come with the name of their file: the library shuffles them."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**super().__getitem__(index), "im_file": self.samples[index][0]}


class AnswerValidator(ClassificationValidator):  # type: ignore[misc]
    """The library's validator, which also keeps confidences and names."""

    def build_dataset(self, img_path: str) -> ClassificationDataset:
        """The dataset, with file names."""
        dataset = _Named(
            img_path, self.args, augment=False, prefix=self.args.split, names=self.names
        )
        dataset.torch_transforms = plain_transforms(self.args.imgsz)
        return dataset

    def init_metrics(self, model: torch.nn.Module) -> None:
        """Begin an evaluation."""
        super().init_metrics(model)
        self._names: list[str] = []
        self._confidence: list[torch.Tensor] = []
        self._of_truth: list[torch.Tensor] = []

    def update_metrics(self, preds: torch.Tensor, batch: dict[str, Any]) -> None:
        """Keep the answers for a batch, probabilities [B, classes]."""
        super().update_metrics(preds, batch)
        first = self.pred[-1].to(preds.device, torch.int64)
        truth = batch["cls"].to(preds.device, torch.int64)[:, None]
        self._names += [Path(name).name for name in batch["im_file"]]
        self._confidence.append(preds.gather(1, first).float().cpu())
        self._of_truth.append(preds.gather(1, truth)[:, 0].float().cpu())

    def answers(self) -> Answers:
        """What was said, once the evaluation is over."""
        return Answers(
            self._names,
            torch.cat(self.targets).numpy().astype(np.int64),
            torch.cat(self.pred).numpy().astype(np.int64),
            np.nan_to_num(torch.cat(self._confidence).numpy()).astype(np.float64),
            np.nan_to_num(torch.cat(self._of_truth).numpy()).astype(np.float64),
        )


def summary(answers: Answers, outputs: Sequence[Output], threshold: float | None) -> SplitResult:
    """The result of a split.

    Precision and recall of a class are those of the first answers, whatever their confidence; its
    curve is that of the first five (an image where it is not among them counts as not found).
    """
    right = answers.first == answers.truth[:, None]
    matrix = np.zeros((len(outputs), len(outputs)), dtype=np.int64)
    np.add.at(matrix, (answers.truth, answers.first[:, 0]), 1)
    curves, mean = _curves(answers, right)
    classes = []
    for position, output in enumerate(outputs):
        labelled, claimed = int(matrix[position].sum()), int(matrix[:, position].sum())
        found = int(matrix[position, position])
        measured = (
            {
                "precision": found / claimed if claimed else 0.0,
                "recall": found / labelled,
                "top-5": float(right[answers.truth == position].any(1).mean()),
            }
            if labelled
            else {}
        )
        drawn = {"class": curves[position]} if position in curves else {}
        classes.append(ClassResult(output, labelled, measured, drawn))
    return SplitResult(
        samples=len(answers.truth),
        metrics={"top-1": float(right[:, 0].mean()), "top-5": float(right.any(1).mean())},
        classes=tuple(classes),
        threshold=best_confidence(answers) if threshold is None else threshold,
        confusion=Confusion(matrix),
        curves={"class": mean},
        images=tuple(
            ImageScore(name, float(score), int(good), int(not good))
            for name, score, good in zip(answers.names, answers.of_truth, right[:, 0], strict=True)
        ),
    )


def best_confidence(answers: Answers) -> float:
    """The confidence from which the first answers have the best F1.

    An answer below it counts as none. Of several that are equally good, the lowest: 0 where no
    wrong answer is less sure than the right ones.
    """
    first = answers.confidence[:, 0]
    right = answers.first[:, 0] == answers.truth
    # Number of answers, and of right ones, of at least each confidence.
    given = len(first) - np.searchsorted(np.sort(first), _CONFIDENCES)
    good = right.sum() - np.searchsorted(np.sort(first[right]), _CONFIDENCES)
    scores = 2 * good / (given + len(first))
    return round(float(_CONFIDENCES[scores.argmax()]), 4)


def _curves(
    answers: Answers, right: np.ndarray[Any, np.dtype[np.bool_]]
) -> tuple[dict[int, Curve], Curve]:
    """Curves by class, and the mean of the classes that have labels."""
    *_, labelled, _, _, _, recalls, precisions = ap_per_class(
        right.reshape(-1, 1),
        answers.confidence.ravel(),
        answers.first.ravel(),
        answers.truth,
    )
    by_class = {
        int(position): curve_of(recalls, row)
        for position, row in zip(labelled, precisions, strict=True)
    }
    return by_class, curve_of(recalls, precisions.mean(0))
