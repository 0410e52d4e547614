"""Dealing samples out to splits: whole groups, the classes' shares alike, the same each time."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter

from trainyard.cli.data.stored import from_text, to_text
from trainyard.cli.errors import CommandError
from trainyard.datasets.labels import Label
from trainyard.datasets.samples import Sample
from trainyard.datasets.scratch import Scratch

# Stands for the class of samples without labels; no class has this name.
NO_LABELS = ""


@dataclass(frozen=True)
class Share:
    """A split and how much of everything it gets.

    Attributes
    ----------
    name
        `train`, `dev` or `test`.
    percent
        Above 0, at most 100.
    """

    name: str
    percent: float


@dataclass
class Dealt:
    """What a split got.

    Attributes
    ----------
    samples, units
        Number of samples, and of what is never spread: groups, and samples without one.
    classes
        Samples with a label of the class, by `attribute=value`; `NO_LABELS` for those without any.
    """

    samples: int = 0
    units: int = 0
    classes: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class DealtFile:
    """An image file whose content is a sample.

    Attributes
    ----------
    split
        Index of the split.
    labels
        Of the sample.
    """

    name: str
    split: int
    labels: tuple[Label, ...]


class Deck:
    """Samples and the split that each of them is dealt to; on this machine's disk."""

    def __init__(self) -> None:
        self._scratch = Scratch()
        self._database = self._scratch.database
        for table in (
            "files (name TEXT PRIMARY KEY, digest BLOB)",
            "samples (digest BLOB PRIMARY KEY, unit TEXT, classes TEXT, labels TEXT)",
            "units (unit TEXT PRIMARY KEY, rank INTEGER, size INTEGER, lot TEXT, counts TEXT)",
            "dealt (unit TEXT PRIMARY KEY, split INTEGER)",
        ):
            self._database.execute(f"CREATE TABLE {table} WITHOUT ROWID")
        self._database.execute("BEGIN")
        self._totals: Counter[str] = Counter()
        self._samples = 0

    @property
    def classes(self) -> set[str]:
        """The classes, as `attribute=value`."""
        return self._totals.keys() - {NO_LABELS}

    def add_file(self, name: str, digest: bytes) -> None:
        """Take an image file and the digest of its bytes."""
        self._database.execute("INSERT INTO files VALUES (?, ?)", (name, digest))

    def add(self, sample: Sample) -> None:
        """Take a sample; each digest once."""
        classes = sorted({f"{label.attribute}={label.value}" for label in sample.labels})
        classes = classes or [NO_LABELS]
        # A group never has the name of a digest that is alone.
        unit = f"g{sample.group}" if sample.group is not None else f"d{sample.digest.hex()}"
        self._database.execute(
            "INSERT INTO samples VALUES (?, ?, ?, ?)",
            (sample.digest, unit, json.dumps(classes), to_text(sample.labels)),
        )
        self._totals.update(classes)
        self._samples += 1

    def deal(self, shares: Sequence[Share], seed: int) -> list[Dealt]:
        """Deal all samples out; gives what each split got.

        After K. Sechidis and others, "On the stratification of multi-label data" (2011): what has
        the rarest class is dealt first, to the split that lacks most of that class; here in units
        of whole groups, the largest first. No split stays empty.

        Raises
        ------
        CommandError
            If there are fewer units than splits.
        """
        names = sorted(self._totals, key=lambda name: (self._totals[name], name))
        left = self._rank(names, seed)
        if left < len(shares):
            raise CommandError(
                f"there are {left} groups, and {len(shares)} splits need one each: choose a finer "
                "--group-by, or give a split 0"
            )
        dealt = [Dealt() for _ in shares]
        rows = self._database.execute(
            "SELECT unit, rank, size, counts FROM units ORDER BY rank, size DESC, lot"
        )
        for unit, rank, size, counts in rows:
            chosen = self._choose(shares, dealt, names[rank], left)
            got = dealt[chosen]
            got.units += 1
            got.samples += size
            got.classes.update(json.loads(counts))
            self._database.execute("INSERT INTO dealt VALUES (?, ?)", (unit, chosen))
            left -= 1
        return dealt

    def files(self) -> Iterator[DealtFile]:
        """The files of all samples, in the order of their names."""
        rows = self._database.execute(
            "SELECT name, split, labels FROM files JOIN samples USING (digest)"
            " JOIN dealt USING (unit) ORDER BY name"
        )
        for name, split, labels in rows:
            yield DealtFile(name, split, from_text(labels))

    def close(self) -> None:
        """Forget what lies on this machine's disk."""
        self._scratch.close()

    def _choose(self, shares: Sequence[Share], dealt: list[Dealt], rarest: str, left: int) -> int:
        """Index of the split that the next of `left` units goes to."""
        allowed = [index for index, got in enumerate(dealt) if not got.units]
        if left > len(allowed):
            # The last ones fill what would stay empty, the others go anywhere.
            allowed = list(range(len(shares)))

        def lacks(index: int) -> tuple[float, float, int]:
            part, got = shares[index].percent / 100, dealt[index]
            return (
                part * self._totals[rarest] - got.classes[rarest],
                part * self._samples - got.samples,
                -index,
            )

        return max(allowed, key=lacks)

    def _rank(self, names: Sequence[str], seed: int) -> int:
        """Fill the table of units, rarest class first; gives their number."""
        ranks = {name: rank for rank, name in enumerate(names)}
        count = 0
        for unit, counts, size in self._units():
            count += 1
            lot = hashlib.sha256(f"{seed}:{unit}".encode()).hexdigest()
            self._database.execute(
                "INSERT INTO units VALUES (?, ?, ?, ?, ?)",
                (unit, min(ranks[name] for name in counts), size, lot, json.dumps(counts)),
            )
        return count

    def _units(self) -> Iterator[tuple[str, Counter[str], int]]:
        """Each unit with its samples by class, and their number."""
        rows = self._database.execute(
            "SELECT unit, classes, count(*) FROM samples GROUP BY unit, classes ORDER BY unit"
        )
        for unit, some in groupby(rows, key=itemgetter(0)):
            counts: Counter[str] = Counter()
            size = 0
            for _, classes, number in some:
                size += number
                for name in json.loads(classes):
                    counts[name] += number
            yield unit, counts, size
