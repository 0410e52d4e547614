"""Reading the images of all selections, packing them, and going on where a killed Job was."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trainyard.api.dataset import Selection
from trainyard.api.report import Stage
from trainyard.datasets.bounds import Bounds
from trainyard.datasets.found import LeftOut, LoadedImage
from trainyard.datasets.labels import Label
from trainyard.datasets.parts import Fate, Parts
from trainyard.datasets.refusals import Refusals
from trainyard.datasets.shards import ShardWriter
from trainyard.datasets.source import Source
from trainyard.datasets.union import Place, SeenImage, Union

READ_PERCENT = 95.0
"""How far everything is when all images are read: that is nearly all of the work."""

Say = Callable[[Stage, float, str], None]
"""Told the stage, how far everything is (0..100), and what is being done."""


class Packer:
    """One snapshot's images.

    Parameters
    ----------
    sources
        One for each selection; closed as soon as they are read.
    selections
        What they are.
    parts, shards, union, refused
        Where everything goes.
    bounds
        Of all of it.
    say
        Told about the progress.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        selections: Sequence[Selection],
        *,
        parts: Parts,
        shards: ShardWriter,
        union: Union,
        refused: Refusals,
        bounds: Bounds,
        say: Say,
    ) -> None:
        self._sources, self._selections = sources, selections
        self._parts, self._shards = parts, shards
        self._union, self._refused, self._bounds = union, refused, bounds
        self._say = say
        self._total = sum(len(source) for source in sources)
        self._done = 0
        self._resumed = 0

    def resume(self) -> int:
        """Take over what an earlier attempt has packed; returns the number of its images."""
        for shard, steps in self._parts.resume():
            for step in steps:
                source, fate = self._sources[step.selection], step.fate
                if isinstance(fate, LeftOut):
                    source.went_before(reason=fate.reason)
                else:
                    source.went_before(digest=fate.digest)
                self._take(source, fate)
            if shard is not None:
                self._shards.finished.append(shard)
            self._tell(f"took over {self._done} of {self._total} images of an earlier attempt")
        self._resumed = self._done
        return self._resumed

    def read(self) -> None:
        """Read and pack what is left.

        Raises
        ------
        BadData
            If a label cannot be used, a file changed since it was listed, or it becomes too large.
        """
        noted = False
        for index, source in enumerate(self._sources):
            before = f", {self._resumed} of them by an earlier attempt" if self._resumed else ""
            for image in source.images():
                fate = image if isinstance(image, LeftOut) else self._pack(index, image)
                self._parts.note(index, fate)
                self._take(source, fate)
                noted = True
                self._tell(f"read {self._done} of {self._total} images{before}; now {source.uri}")
            source.close()
        if noted:
            self._seal()

    def _pack(self, index: int, image: LoadedImage) -> SeenImage:
        place = None
        if image.digest not in self._union:
            if self._shards.full_with(len(image.data)):
                self._seal()
            name = f"{image.digest.hex()}.{image.facts.extension}"
            shard, offset = self._shards.add(image.data, name)
            place = Place(shard, offset, len(image.data))
        return seen_image(image, self._selections[index].attribute, place)

    def _take(self, source: Source, fate: Fate) -> None:
        self._done += 1
        if isinstance(fate, LeftOut):
            self._refused.add(fate.reason, fate.name)
        else:
            self._union.add(fate)
            self._bounds.take(source, self._union.size_of(fate.digest))

    def _seal(self) -> None:
        self._parts.seal(self._shards.finish())

    def _tell(self, message: str) -> None:
        self._say(Stage.READ, READ_PERCENT * self._done / self._total, message)


def seen_image(image: LoadedImage, attribute: str, place: Place | None) -> SeenImage:
    """What a union takes of an image.

    Parameters
    ----------
    attribute
        The selection's.
    place
        Where its bytes lie; None if they were seen before.
    """
    return SeenImage(
        name=image.name,
        digest=image.digest,
        width=image.facts.width,
        height=image.facts.height,
        look=image.facts.look,
        group=image.group,
        labels=_by_attribute(image.annotations.labels, attribute),
        place=place,
    )


def _by_attribute(labels: Sequence[Label], attribute: str) -> dict[str, tuple[Label, ...]]:
    """Labels by their attribute; without any, the selection's own has none."""
    found: dict[str, list[Label]] = {} if labels else {attribute: []}
    for label in labels:
        found.setdefault(label.attribute, []).append(label)
    return {name: tuple(some) for name, some in found.items()}
