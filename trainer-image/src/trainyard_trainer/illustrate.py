"""The pictures of a finished run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trainyard.api.report import EpochReport
from trainyard_trainer import picture, plots, publish, sheet
from trainyard_trainer.engines.base import ImageScore, Seen, SplitResult
from trainyard_trainer.metrics import ranking
from trainyard_trainer.picture import Section, Shown
from trainyard_trainer.prepare import HeldOut, Prepared

if TYPE_CHECKING:
    from trainyard_trainer.model import Predictor

_log = logging.getLogger("trainyard")


@dataclass(frozen=True)
class Story:
    """What the pictures tell of.

    Attributes
    ----------
    name
        Of the run.
    history
        All epochs, over all attempts; none of a checkpoint that was trained before.
    primary
        Name of the primary metric.
    best_epoch
        Its model is the finished one.
    results
        By split.
    prepared
        The data, with the held-out images.
    seen
        Train images as they were varied; none if nothing was left to train.
    """

    name: str
    history: tuple[EpochReport, ...]
    primary: str
    best_epoch: int
    results: Mapping[str, SplitResult]
    prepared: Prepared
    seen: tuple[Seen, ...] = ()


def illustrate(story: Story, predictor: Predictor, folder: Path) -> list[Path]:
    """Draw what can be drawn of the run; returns the files.

    A picture that cannot be drawn is a line in the log: no training is lost for it.
    """
    split = story.prepared.held_out_split
    result = story.results[split]
    pictures: dict[str, Callable[[Path], None]] = {
        publish.PREDICTIONS: lambda path: _predictions(story, predictor, path),
    }
    if story.history:
        pictures[publish.CURVES] = lambda path: _curves(story, path)
    if result.confusion is not None:
        pictures[publish.CONFUSION] = lambda path: plots.confusion(story.name, result, split, path)
    if result.curves:
        pictures[publish.PRECISION_RECALL] = lambda path: plots.precision_recall(
            story.name, result, split, path
        )
    if story.seen:
        title = f"{story.name}: train images as varied"
        pictures[publish.AUGMENTED] = lambda path: sheet.draw(story.seen, title, path)
    drawn = []
    for name, draw in pictures.items():
        try:
            draw(folder / name)
            drawn.append(folder / name)
        except Exception:  # noqa: BLE001 -- whatever a drawing library raises
            _log.exception("%s cannot be drawn; the run goes on without it", name)
    return drawn


def _curves(story: Story, path: Path) -> None:
    test = story.results["test"].metrics.get(story.primary) if "test" in story.results else None
    final = plots.Final(story.best_epoch, test)
    plots.curves(story.name, story.history, story.primary, path, final)


def _predictions(story: Story, predictor: Predictor, path: Path) -> None:
    held, split = story.prepared.held_out, story.prepared.held_out_split
    result = story.results[split]
    by_name = {entry.path.name: entry for entry in held}
    # A person may have put images into a training folder, of which nothing else is known.
    scores = [score for score in result.images if score.name in by_name]
    if not scores:
        # Spread over all of them, so that one source does not fill the picture.
        step = max(1, len(held) // picture.MAX_IMAGES)
        shown = tuple(_shown(entry, predictor) for entry in held[::step][: picture.MAX_IMAGES])
        title = f"{story.name}: predictions beside labels, images of {split}"
        picture.draw([Section(title, shown)], path)
        return
    ranked = ranking(scores, picture.MAX_IMAGES // 2)
    # Of a classifier: the confidence of the right class, after its name.
    words = "F1 {:.2f}" if result.confusion and result.confusion.background else "({:.2f})"

    def section(title: str, scores: Sequence[ImageScore]) -> Section:
        return Section(
            title,
            tuple(
                _shown(by_name[score.name], predictor, words.format(score.score))
                for score in scores
            ),
        )

    confidence = result.confusion.confidence if result.confusion else None
    of = "" if confidence is None else f", of a confidence above {confidence:.2f}"
    sections = [section(f"{story.name}: the best answers on {split}{of}", ranked.best)]
    if ranked.worst:
        sections.append(section(f"{story.name}: the worst answers on {split}{of}", ranked.worst))
    picture.draw(sections, path)


def _shown(entry: HeldOut, predictor: Predictor, note: str = "") -> Shown:
    return Shown(entry.path, entry.labels, tuple(predictor.predict_file(entry.path)), note)
