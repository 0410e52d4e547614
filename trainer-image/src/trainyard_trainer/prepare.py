"""From snapshots in the store to the files that an engine trains on."""

from __future__ import annotations

import io
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from trainyard.api.capability import Output
from trainyard.api.metrics import TrainData
from trainyard.api.run import RunSplits, SnapshotRef
from trainyard.datasets.errors import BadData
from trainyard.datasets.images import plain_image
from trainyard.datasets.labels import Label
from trainyard.datasets.node_cache import NodeCache
from trainyard.datasets.samples import Sample, read_samples
from trainyard.datasets.staging import Staging, shards_of
from trainyard.stores import Store
from trainyard_trainer import balance
from trainyard_trainer.crops import cut
from trainyard_trainer.engines.base import Example, Layout
from trainyard_trainer.faults import ClassesMissing
from trainyard_trainer.gathered import Gathered

if TYPE_CHECKING:
    from trainyard_trainer.engines.engine import TrainingEngine

_EXAMPLES = 5
# What the engines' library calls the splits.
_FOLDERS = {"train": "train", "dev": "val", "test": "test"}

_log = logging.getLogger("trainyard")


@dataclass(frozen=True)
class HeldOut:
    """An image (or a crop) that the model never learnt from, with its labels."""

    path: Path
    name: str
    labels: tuple[Label, ...]


@dataclass(frozen=True)
class Prepared:
    """Data laid out for an engine.

    Attributes
    ----------
    layout
        Where it lies.
    held_out
        Images of test (else of dev), sorted by digest.
    held_out_split
        `test` or `dev`.
    names
        Files of dev and test in the layout -> what the images are called in their source.
    train
        How often each class is labelled in train; None where it was not counted.
    """

    layout: Layout
    held_out: tuple[HeldOut, ...]
    held_out_split: str
    names: dict[str, str]
    train: TrainData | None = None


def prepare(
    store: Store,
    splits: RunSplits,
    outputs: tuple[Output, ...],
    engine: TrainingEngine,
    root: Path,
    progress: Callable[[int, int], None],
    cache: NodeCache | None = None,
) -> Prepared:
    """Lay the snapshots out below `root`.

    What the capability does not name is left out, and images from which the engine can then
    learn nothing. The same image in two snapshots of a split carries the labels of both.

    Parameters
    ----------
    store, splits
        Where the snapshots are.
    outputs
        The classes; index i of the model is outputs[i].
    engine
        Decides the layout.
    root
        An empty folder.
    progress
        Called with the number of images written and of all.
    cache
        Of the node; None: everything comes from the store.

    Raises
    ------
    BadData
        If a snapshot is not what it should be, splits share an image or a group, or one has no
        image.
    ClassesMissing
        If the train data lacks a class.
    """
    classes = {(output.attribute, output.value): output.position for output in outputs}
    staging = Staging(store, cache)
    used = _used(splits)
    held = used[-1][0]
    with Gathered() as images:
        for split, references in used:
            _collect(images, split, staging, references, root / "manifests")
        for split, _ in used[1:]:
            _check_disjoint(images, split)
        for split, _ in used[1:]:
            _check_groups(images, split)
        chosen = {split: _choose(images, split, engine, classes) for split, _ in used}
        _check_classes(chosen["train"].classes, outputs)
        balance.report(outputs, {split: some.classes for split, some in chosen.items()})
        placed = _extract(staging, images, engine, classes, root, progress)
    data = engine.finish_layout(root, len(outputs))
    held_out = tuple(
        HeldOut(one.path, one.sample.name, _labels(one, outputs))
        for one in sorted(placed, key=lambda one: one.sample.digest)
        if one.split == held
    )
    counts = {_FOLDERS[split]: some.examples for split, some in chosen.items()}
    names = {one.path.name: one.sample.name for one in placed}
    learnt = balance.train_data(outputs, chosen["train"].examples, chosen["train"].classes)
    return Prepared(Layout(data, counts), held_out, held, names, learnt)


@dataclass(frozen=True)
class _Chosen:
    """What is learnt of a split: the number of examples, and of labels by index of the class."""

    examples: int
    classes: Counter[int]


@dataclass(frozen=True)
class _Placed:
    """An example of dev or test, and its file. Of train there are too many to keep."""

    split: str
    sample: Sample
    example: Example
    path: Path


def _labels(placed: _Placed, outputs: tuple[Output, ...]) -> tuple[Label, ...]:
    """What is right for an example: the labels that the model knows, or the class of a crop."""
    example = placed.example
    if example.box is not None:
        output = outputs[int(example.lines[0])]
        return (Label(output.attribute, output.value, "image"),)
    known = {(output.attribute, output.value) for output in outputs}
    return tuple(x for x in placed.sample.labels if (x.attribute, x.value) in known)


def _used(splits: RunSplits) -> list[tuple[str, Sequence[SnapshotRef]]]:
    named = (("train", splits.train), ("dev", splits.dev), ("test", splits.test))
    return [(split, references) for split, references in named if references]


def _collect(
    images: Gathered,
    split: str,
    staging: Staging,
    references: Sequence[SnapshotRef],
    folder: Path,
) -> None:
    """Gather the images of a split, and the groups that they are of."""
    for reference in references:
        path = folder / f"{reference.digest}.parquet"
        snapshot = staging.samples(reference.uri, path)
        if snapshot.digest != reference.digest:
            raise BadData(
                f"the dataset {reference.name!r} has the digest {snapshot.digest}, the run was "
                f"resolved with {reference.digest}: create a new TrainingProcess"
            )
        shards = shards_of(reference.uri, snapshot)
        for sample in read_samples(path):
            images.add(split, sample, shards[sample.shard])


def _check_disjoint(images: Gathered, split: str) -> None:
    """Train shares no image with dev or test: the operator has proven it, and so do we."""
    shared = images.shared_images("train", split, _EXAMPLES)
    if shared.count:
        raise BadData(
            f"{shared.count} images are in train and in {split}, for example "
            f"{', '.join(shared.examples)}: a model must be judged on images that it has not "
            "learnt from"
        )


def _check_groups(images: Gathered, split: str) -> None:
    """Nor a group: samples of one video or patient are nearly the same image many times."""
    shared = images.shared_groups("train", split, _EXAMPLES)
    if shared.count:
        raise BadData(
            f"{shared.count} groups have samples in train and in {split}, for example "
            f"{', '.join(shared.examples)}: keep each group whole on one side"
        )


def _choose(
    images: Gathered, split: str, engine: TrainingEngine, classes: Mapping[tuple[str, str], int]
) -> _Chosen:
    """Keep the images that the engine can use."""
    total, count, learnt = images.count(split), 0, Counter[int]()
    for sample in images.of(split):
        examples = engine.examples_of(sample, classes)
        if examples is None:
            images.drop(split, sample.digest)
            continue
        count += len(examples)
        learnt.update(
            int(line.split(maxsplit=1)[0]) for example in examples for line in example.lines
        )
    kept = images.count(split)
    left_out = total - kept
    _log.info(
        "%s: %d images%s",
        split,
        kept,
        f"; {left_out} left out, for {engine.leaves_out}" if left_out else "",
    )
    if not kept:
        raise BadData(
            f"{split} has no image to use, for {engine.leaves_out} (all {total}): check the "
            "attributes and values of the capability's outputs against the datasets' classes"
        )
    return _Chosen(count, learnt)


def _check_classes(learnt: Mapping[int, int], outputs: tuple[Output, ...]) -> None:
    missing = [f"{x.attribute}={x.value}" for x in outputs if x.position not in learnt]
    if missing:
        shown = ", ".join(missing[: 2 * _EXAMPLES]) + (" ..." if len(missing) > 10 else "")
        raise ClassesMissing(
            f"the train data has no example of {len(missing)} of the capability's "
            f"{len(outputs)} classes: {shown}"
        )


def _extract(
    staging: Staging,
    images: Gathered,
    engine: TrainingEngine,
    classes: Mapping[tuple[str, str], int],
    root: Path,
    progress: Callable[[int, int], None],
) -> list[_Placed]:
    """Write the images of all examples, a shard after the other; returns those of dev and test."""
    total, done = sum(map(images.count, _FOLDERS)), 0
    placed = []
    with closing(staging.images(images.wanted)) as packed_images:
        for shard, packed_sample, packed in packed_images:
            data, extension = plain_image(packed)
            name = f"{packed_sample.digest.hex()}.{extension}"
            for split, sample in images.of_shard(shard, packed_sample.digest):
                # As they were when it was chosen; kept, they would fill the memory.
                for number, example in enumerate(engine.examples_of(sample, classes) or ()):
                    path = _write(engine, root, split, name, data, number, example)
                    if split != "train":
                        placed.append(_Placed(split, sample, example, path))
                done += 1
                progress(done, total)
    return placed


def _write(
    engine: TrainingEngine,
    root: Path,
    split: str,
    name: str,
    data: bytes,
    number: int,
    example: Example,
) -> Path:
    """The image of one example: all of it, byte for byte, or the crop of its box."""
    if example.box is not None:
        name = f"{Path(name).stem}-{number:04d}.png"
    path = engine.place(root, split, name, example)
    path.parent.mkdir(parents=True, exist_ok=True)
    if example.box is None:
        path.write_bytes(data)
    else:
        with Image.open(io.BytesIO(data)) as image:
            cut(image.convert("RGB"), example.box).save(path, "PNG")
    return path
