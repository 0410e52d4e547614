"""How often each class is labelled, by split."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from trainyard.api.capability import Output
from trainyard.api.metrics import ClassCount, TrainData

UNBALANCED = 20.0
"""So many times as often as the rarest class the most frequent one may be labelled in train, before
there is a warning."""
_LISTED = 10

_log = logging.getLogger("trainyard")


def train_data(outputs: Sequence[Output], samples: int, counts: Mapping[int, int]) -> TrainData:
    """What metrics.json says of the train data.

    Parameters
    ----------
    outputs
        The classes; each is labelled in train.
    samples
        Images (or crops).
    counts
        Annotations by index of the class.
    """
    found = [counts[output.position] for output in outputs]
    return TrainData(
        samples=samples,
        classes=tuple(
            ClassCount(attribute=output.attribute, value=output.value, annotations=count)
            for output, count in zip(outputs, found, strict=True)
        ),
        imbalance=round(max(found) / min(found), 2),
    )


def report(outputs: Sequence[Output], counts: Mapping[str, Mapping[int, int]]) -> None:
    """Log how often the classes are labelled, the most frequent of train first; warn of what hurts.

    Parameters
    ----------
    outputs
        The classes; each is labelled in train.
    counts
        By split (train first) and index of the class, the annotations.
    """
    train = counts["train"]
    ordered = sorted(outputs, key=lambda output: (-train[output.position], output.position))
    shown = ordered
    if len(ordered) > _LISTED:
        shown = [*ordered[: _LISTED // 2], *ordered[-_LISTED // 2 :]]
        _log.info("classes: %d; the most frequent and the rarest are:", len(ordered))
    for output in shown:
        said = ", ".join(
            f"{split} {found.get(output.position, 0)}" for split, found in counts.items()
        )
        _log.info("class %s: annotations in %s", _name(output), said)
    most, least = train[ordered[0].position], train[ordered[-1].position]
    if most > UNBALANCED * least:
        _log.warning(
            "the train data is unbalanced: %s is labelled %d times, %s %d times (more than %g to "
            "1): rare classes are learnt badly; label more of them or leave out some of the others",
            _name(ordered[0]),
            most,
            _name(ordered[-1]),
            least,
            UNBALANCED,
        )
    for split in counts.keys() - {"train"}:
        unseen = [_name(x) for x in outputs if not counts[split].get(x.position)]
        if unseen:
            _log.warning(
                "%s has no annotation of %d of the %d classes, so that nothing is said of how well "
                "they are known: %s",
                split,
                len(unseen),
                len(outputs),
                ", ".join(unseen[:_LISTED]) + (" ..." if len(unseen) > _LISTED else ""),
            )


def _name(output: Output) -> str:
    return f"{output.attribute}={output.value}"
