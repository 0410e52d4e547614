"""What the snapshots of a run hold, and what its splits have in common.

Found by `trainyard.datasets.splits`, judged by `trainyard.decide`: plain values that both know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SplitName = Literal["train", "dev", "test"]
Names = tuple[str, str]
"""Names of two samples: in the first split of a pair, and in the second."""


@dataclass(frozen=True, order=True)
class LabelCount:
    """How often a value occurs with one geometry.

    Attributes
    ----------
    attribute, value
        What is said.
    geometry
        `image`, `box` or `polygon`.
    count
        Number of annotations. Those of an image that is in two datasets of a split count twice.
    """

    attribute: str
    value: str
    geometry: str
    count: int


@dataclass(frozen=True)
class SplitContent:
    """What a split holds.

    Attributes
    ----------
    samples
        Number of distinct images.
    labels
        Counts, sorted.
    """

    samples: int
    labels: tuple[LabelCount, ...] = ()


@dataclass(frozen=True)
class SharedImages:
    """Images that are in two splits, by the digest of their bytes.

    Attributes
    ----------
    count
        Number of distinct images.
    examples
        Up to five of them.
    """

    count: int
    examples: tuple[Names, ...]


@dataclass(frozen=True)
class SharedGroups:
    """Groups with samples in two splits.

    Attributes
    ----------
    count
        Number of groups.
    samples
        Number of their samples in the first split, and in the second.
    examples
        Up to five names of groups.
    """

    count: int
    samples: tuple[int, int]
    examples: tuple[str, ...]


@dataclass(frozen=True)
class AlikeImages:
    """Images of the second split that look nearly the same as one of the first.

    Attributes
    ----------
    count
        Number of distinct images of the second split.
    examples
        Up to five of them, the most similar first, each with what it is most like.
    """

    count: int
    examples: tuple[Names, ...]


@dataclass(frozen=True)
class NotLookedFor:
    """Images that look alike were not looked for; `why` completes "because there are ..."."""

    why: str


@dataclass(frozen=True)
class SplitPair:
    """What two splits have in common; None: nothing.

    Attributes
    ----------
    first, second
        The splits: train and dev, train and test, or dev and test.
    alike
        None as well for dev and test, where it does not matter.
    """

    first: SplitName
    second: SplitName
    images: SharedImages | None = None
    groups: SharedGroups | None = None
    alike: AlikeImages | NotLookedFor | None = None


@dataclass(frozen=True)
class Comparison:
    """All that is known about the data of a run.

    Attributes
    ----------
    splits
        What each split holds that has a dataset.
    pairs
        Those that have something in common, or of which something is not known.
    """

    splits: dict[SplitName, SplitContent]
    pairs: tuple[SplitPair, ...] = ()
