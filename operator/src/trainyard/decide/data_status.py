"""What a process says about its data: counts, what the capability leaves out, and warnings."""

from __future__ import annotations

from trainyard.api.capability import CapabilitySpec, Geometry, usable_geometries
from trainyard.api.comparison import (
    AlikeImages,
    Comparison,
    NotLookedFor,
    SplitContent,
    SplitPair,
)
from trainyard.api.process_status import DataStatus, DataWarning, LeftOut, SplitStatus
from trainyard.api.reasons import Reason
from trainyard.decide.data import classes_of, unused_classes
from trainyard.decide.facts import ProcessFacts
from trainyard.decide.finding import short, shown_classes, shown_names

LISTED = 20
"""Classes that `leftOut` has room for."""


def data_status(facts: ProcessFacts) -> DataStatus | None:
    """The data seen through the capability; None while one of the two is not known."""
    if facts.capability is None or not isinstance(facts.data, Comparison):
        return None
    spec, data = facts.capability.spec, facts.data
    splits = {name: _split(spec, content) for name, content in data.splits.items()}
    return DataStatus(
        train=splits.get("train"),
        dev=splits.get("dev"),
        test=splits.get("test"),
        warnings=tuple(_warnings(spec, data)),
    )


def _split(spec: CapabilitySpec, content: SplitContent) -> SplitStatus:
    classes, geometries = set(classes_of(spec)), usable_geometries(spec)
    used, left = 0, []
    for label in content.labels:
        if (label.attribute, label.value) in classes and label.geometry in geometries:
            used += label.count
        else:
            left.append(label)
    left.sort(key=lambda label: (-label.count, label))
    return SplitStatus(
        samples=content.samples,
        annotations=used,
        left_out_annotations=sum(label.count for label in left),
        left_out=tuple(
            LeftOut(
                attribute=label.attribute,
                value=label.value,
                geometry=label.geometry,
                count=label.count,
            )
            for label in left[:LISTED]
        ),
    )


def _warnings(spec: CapabilitySpec, data: Comparison) -> list[DataWarning]:
    found = []
    unlearnt = set(unused_classes(spec, data.splits["train"]))
    for split, content in data.splits.items():
        missing = [item for item in unused_classes(spec, content) if item not in unlearnt]
        if missing:
            found.append(
                _warning(
                    Reason.CLASSES_NOT_JUDGED,
                    f"{split} has no example of {shown_classes(missing)}: how well the model "
                    "knows what it lacks is not measured there",
                )
            )
    found += _without_outlines(spec, data)
    for pair in data.pairs:
        if pair.first == "train":
            found += _alike(pair, data)
        else:
            found += _held_out(pair)
    return found


def _without_outlines(spec: CapabilitySpec, data: Comparison) -> list[DataWarning]:
    """Where outlines are learnt, an entity that has only a box would be learnt as background."""
    if spec.geometry is not Geometry.POLYGON:
        return []
    classes, parts = set(classes_of(spec)), []
    for split, content in data.splits.items():
        boxes = sum(
            label.count
            for label in content.labels
            if label.geometry == "box" and (label.attribute, label.value) in classes
        )
        if boxes:
            parts.append(f"{boxes} of {split}")
    if not parts:
        return []
    return [
        _warning(
            Reason.BOXES_WITHOUT_OUTLINE,
            f"annotations of the capability's classes that are boxes ({', '.join(parts)}) say "
            "nothing of an outline: every image that has one is left out",
        )
    ]


def _alike(pair: SplitPair, data: Comparison) -> list[DataWarning]:
    match pair.alike:
        case AlikeImages(count=count, examples=examples):
            names = ", ".join(f"{short(second)} like {short(first)}" for first, second in examples)
            verb = "looks" if count == 1 else "look"
            return [
                _warning(
                    Reason.SIMILAR_IMAGES,
                    f"{count} of {data.splits[pair.second].samples} images of {pair.second} {verb} "
                    f"nearly the same as one of train ({names}): remove what is a copy, or the "
                    "model is measured on what it has learnt; simple things may be alike by nature",
                )
            ]
        case NotLookedFor(why=why):
            return [
                _warning(
                    Reason.SIMILARITY_UNKNOWN,
                    f"images of {pair.second} that look nearly the same as one of train were not "
                    f"looked for, because there are {why}",
                )
            ]
    return []


def _held_out(pair: SplitPair) -> list[DataWarning]:
    parts = []
    if pair.images is not None:
        noun = "image is" if pair.images.count == 1 else "images are"
        parts.append(
            f"{pair.images.count} {noun} in {pair.first} and in {pair.second} "
            f"({shown_names(pair.images.examples)})"
        )
    if pair.groups is not None:
        noun = "group has" if pair.groups.count == 1 else "groups have"
        parts.append(
            f"{pair.groups.count} {noun} samples in {pair.first} and in {pair.second}, for "
            f"example {', '.join(map(short, pair.groups.examples[:3]))}"
        )
    if not parts:
        return []
    return [
        _warning(
            Reason.HELD_OUT_OVERLAP,
            "; ".join(parts) + ": the epoch is chosen on dev, so that the result on test looks "
            "better than it is",
        )
    ]


def _warning(reason: Reason, message: str) -> DataWarning:
    return DataWarning(reason=str(reason), message=message)
