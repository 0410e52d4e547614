"""From snapshots in the store to the files that an engine trains on."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from trainyard.api.capability import Output
from trainyard.api.run import RunSplits, SnapshotRef
from trainyard.datasets.errors import BadData
from trainyard.datasets.images import plain_image
from trainyard.datasets.labels import Label
from trainyard.datasets.node_cache import NodeCache
from trainyard.datasets.samples import Sample, read_samples
from trainyard.datasets.staging import Shard, Staging, shards_of
from trainyard.stores import Store
from trainyard_trainer.crops import cut
from trainyard_trainer.engines.base import Example, Layout
from trainyard_trainer.faults import ClassesMissing

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
    """

    layout: Layout
    held_out: tuple[HeldOut, ...]
    held_out_split: str
    names: dict[str, str]


@dataclass
class _Merged:
    """A distinct image of one split, wherever it came from, and what is learnt of it."""

    sample: Sample
    shard: Shard
    labels: set[Label]
    examples: list[Example]


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
    found: dict[str, dict[bytes, _Merged]] = {}
    groups: dict[str, set[str]] = {}
    for split, references in _used(splits):
        found[split], groups[split] = _collect(staging, references, root / "manifests")
    _check_disjoint(found)
    _check_groups(groups)
    counts = {}
    for split, images in found.items():
        _choose(images, split, engine, classes)
        counts[_FOLDERS[split]] = sum(len(image.examples) for image in images.values())
    _check_classes(found["train"], outputs)
    paths = _extract(staging, found, engine, root, progress)
    data = engine.finish_layout(root, len(outputs))
    held = "test" if "test" in found else "dev"
    held_out = tuple(
        HeldOut(path, image.sample.name, _labels(image, example, outputs))
        for digest, image in sorted(found[held].items())
        for path, example in zip(paths[held, digest], image.examples, strict=True)
    )
    names = {
        path.name: found[split][digest].sample.name
        for (split, digest), files in paths.items()
        if split != "train"
        for path in files
    }
    return Prepared(Layout(data, counts), held_out, held, names)


def _labels(image: _Merged, example: Example, outputs: tuple[Output, ...]) -> tuple[Label, ...]:
    """What is right for an example: the labels that the model knows, or the class of a crop."""
    if example.box is not None:
        output = outputs[int(example.lines[0])]
        return (Label(output.attribute, output.value, "image"),)
    known = {(output.attribute, output.value) for output in outputs}
    return tuple(sorted(x for x in image.labels if (x.attribute, x.value) in known))


def _used(splits: RunSplits) -> list[tuple[str, Sequence[SnapshotRef]]]:
    named = (("train", splits.train), ("dev", splits.dev), ("test", splits.test))
    return [(split, references) for split, references in named if references]


def _collect(
    staging: Staging, references: Sequence[SnapshotRef], folder: Path
) -> tuple[dict[bytes, _Merged], set[str]]:
    """The images of a split, and the groups that they are of."""
    images: dict[bytes, _Merged] = {}
    groups: set[str] = set()
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
            shard = shards[sample.shard]
            known = images.setdefault(sample.digest, _Merged(sample, shard, set(), []))
            known.labels.update(sample.labels)
            if sample.group is not None:
                groups.add(sample.group)
    return images, groups


def _check_disjoint(found: dict[str, dict[bytes, _Merged]]) -> None:
    """Train shares no image with dev or test: the operator has proven it, and so do we."""
    train = found["train"]
    for split in ("dev", "test"):
        shared = [image for digest, image in found.get(split, {}).items() if digest in train]
        if shared:
            names = ", ".join(image.sample.name for image in shared[:_EXAMPLES])
            raise BadData(
                f"{len(shared)} images are in train and in {split}, for example {names}: a model "
                "must be judged on images that it has not learnt from"
            )


def _check_groups(groups: dict[str, set[str]]) -> None:
    """Nor a group: samples of one video or patient are nearly the same image many times."""
    for split in ("dev", "test"):
        shared = sorted(groups["train"] & groups.get(split, set()))
        if shared:
            names = ", ".join(shared[:_EXAMPLES])
            raise BadData(
                f"{len(shared)} groups have samples in train and in {split}, for example {names}: "
                "keep each group whole on one side"
            )


def _choose(
    images: dict[bytes, _Merged],
    split: str,
    engine: TrainingEngine,
    classes: dict[tuple[str, str], int],
) -> None:
    """Keep the images that the engine can use, with the labels that it will see."""
    total = len(images)
    for digest, image in list(images.items()):
        sample = image.sample
        examples = engine.examples_of(
            Sample(
                digest=sample.digest,
                name=sample.name,
                width=sample.width,
                height=sample.height,
                shard=sample.shard,
                offset=sample.offset,
                size=sample.size,
                labels=tuple(sorted(image.labels)),
            ),
            classes,
        )
        if examples is None:
            del images[digest]
        else:
            image.examples = examples
    left_out = total - len(images)
    _log.info(
        "%s: %d images%s",
        split,
        len(images),
        f"; {left_out} left out, for {engine.leaves_out}" if left_out else "",
    )
    if not images:
        raise BadData(
            f"{split} has no image to use, for {engine.leaves_out} (all {total}): check the "
            "attributes and values of the capability's outputs against the datasets' classes"
        )


def _check_classes(train: dict[bytes, _Merged], outputs: tuple[Output, ...]) -> None:
    used = {
        int(line.split()[0])
        for image in train.values()
        for example in image.examples
        for line in example.lines
    }
    missing = [f"{x.attribute}={x.value}" for x in outputs if x.position not in used]
    if missing:
        shown = ", ".join(missing[: 2 * _EXAMPLES]) + (" ..." if len(missing) > 10 else "")
        raise ClassesMissing(
            f"the train data has no example of {len(missing)} of the capability's "
            f"{len(outputs)} classes: {shown}"
        )


def _extract(
    staging: Staging,
    found: dict[str, dict[bytes, _Merged]],
    engine: TrainingEngine,
    root: Path,
    progress: Callable[[int, int], None],
) -> dict[tuple[str, bytes], list[Path]]:
    """Write the images of all examples, a shard after the other.

    Returns
    -------
    dict
        By split and digest, the files of the image's examples in their order.
    """
    uses: dict[Shard, dict[bytes, list[tuple[str, _Merged]]]] = {}
    for split, images in found.items():
        for digest, image in images.items():
            uses.setdefault(image.shard, {}).setdefault(digest, []).append((split, image))
    total, done = sum(map(len, found.values())), 0
    paths: dict[tuple[str, bytes], list[Path]] = {}
    wanted = {
        shard: [splits[0][1].sample for splits in images.values()] for shard, images in uses.items()
    }
    with closing(staging.images(wanted)) as packed_images:
        for shard, sample, packed in packed_images:
            data, extension = plain_image(packed)
            name = f"{sample.digest.hex()}.{extension}"
            for split, image in uses[shard][sample.digest]:
                paths[split, sample.digest] = [
                    _write(engine, root, split, name, data, number, example)
                    for number, example in enumerate(image.examples)
                ]
                done += 1
                progress(done, total)
    return paths


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
