"""What a snapshot would take of a source and what it would refuse, found out without making one."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass

from trainyard.api.dataset import RefusedCount
from trainyard.cli.data.statistics import Statistics
from trainyard.datasets.errors import BadData
from trainyard.datasets.found import LeftOut, LoadedImage
from trainyard.datasets.packing import seen_image
from trainyard.datasets.problems import Problems
from trainyard.datasets.refusals import Refusals
from trainyard.datasets.snapshot import check_classes, check_refused
from trainyard.datasets.source import Source
from trainyard.datasets.union import Place, Union


@dataclass(frozen=True)
class Read:
    """What reading a source has found beside the images.

    Attributes
    ----------
    listed, refused
        What was left out, by reason: when the source was listed, and in all.
    problems
        What fails a snapshot.
    """

    listed: Refusals
    refused: Refusals
    problems: Problems


@dataclass(frozen=True)
class Findings:
    """What a snapshot of a source would be.

    Attributes
    ----------
    read
        What reading it has found.
    statistics
        Of the samples that a snapshot would have.
    refused
        Files that are left out.
    copies
        Number of images that are the same as another one, and say the same.
    problem
        Why there would be no snapshot, in a sentence; None if there would.
    """

    read: Read
    statistics: Statistics
    refused: tuple[RefusedCount, ...]
    copies: int
    problem: str | None


def read_source(
    source: Source,
    attribute: str,
    union: Union,
    advance: Callable[[int], None],
    each: Callable[[LoadedImage], None] = lambda _: None,
) -> Read:
    """Put all images of a lenient source into `union`, as the snapshot Job does.

    Parameters
    ----------
    attribute
        The selection's.
    advance
        Told of each file that was read.
    each
        Shown each image that can be used.
    """
    refused = Refusals()
    refused.add_all(source.refused)
    problems = Problems(lenient=True)
    problems.add_all(source.problems)
    for image in source.images():
        match image:
            case LoadedImage():
                each(image)
                known = image.digest in union
                place = None if known else Place(0, 0, len(image.data))
                union.add(seen_image(image, attribute, place))
            case LeftOut(error=None):
                refused.add(image.reason, image.name)
            case LeftOut(error=str() as error):
                # Where it lies stands above the list.
                problems.add(BadData(error.removesuffix(f" (in {source.uri})")))
        advance(1)
    return Read(source.refused, refused, problems)


def examine(
    source: Source, attribute: str, statistics: Statistics, advance: Callable[[int], None]
) -> Findings:
    """Read a lenient source and judge it as the snapshot Job would.

    Parameters
    ----------
    statistics
        Empty; counts the samples.
    advance
        Told of each image that was read.
    """
    with closing(Union()) as union:
        read = read_source(source, attribute, union, advance)
        for sample in union.samples(read.refused):
            statistics.add(sample.width, sample.height, sample.labels, sample.group)
    return Findings(
        read,
        statistics,
        read.refused.counts(),
        union.taken - statistics.samples,
        problem_of(read, union.taken, [f"{name}={value}" for name, value in statistics.labels]),
    )


def problem_of(read: Read, taken: int, classes: Collection[str]) -> str | None:
    """Why there would be no snapshot of what was read, in a sentence; None if there would.

    Parameters
    ----------
    taken
        `Union.taken`.
    classes
        Names of the classes, `attribute=value`.
    """
    if read.problems.count:
        return read.problems.said()
    try:
        check_refused(taken, read.refused, read.listed)
        check_classes(classes)
    except BadData as error:
        return str(error)
    return None
