"""One split in memory, as far as another is compared with it, and what they turn out to share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trainyard.api.comparison import (
    AlikeImages,
    Names,
    NotLookedFor,
    SharedGroups,
    SharedImages,
)
from trainyard.datasets.alike import Looks
from trainyard.datasets.columns import Rows, SplitFiles, Words

EXAMPLES = 5
"""Names that are kept of each finding."""

_Numbers = npt.NDArray[np.int64]
_Flags = npt.NDArray[np.bool_]


class Held:
    """Digests and groups of a split, and its looks; about 40 bytes a sample, 113 more for looks.

    Parameters
    ----------
    files
        Its manifests.
    with_looks
        Whether looks are held as well.
    """

    def __init__(self, files: SplitFiles, *, with_looks: bool) -> None:
        self.files = files
        keys = np.empty((len(files), 2), np.uint64)
        self.looks = np.empty((len(files) if with_looks else 0, 4), np.uint64)
        self.looked = np.zeros(len(self.looks), np.bool_)
        groups = []
        for rows in files.rows():
            part = slice(rows.start, rows.start + len(rows))
            keys[part] = rows.keys
            groups.append(rows.groups.dictionary_encode())
            if with_looks:
                self.looks[part], self.looked[part] = rows.looks, rows.looked
        order = np.lexsort((keys[:, 1], keys[:, 0]))
        self._keys, self._rows = keys[order], order.astype(np.int32)
        self.repeated = np.zeros(len(keys), np.bool_)
        """bool [N]: rows whose image stands in a row before."""
        self.repeated[order[1:]] = (self._keys[1:] == self._keys[:-1]).all(axis=1)
        self.groups, self.codes = _encoded(groups)
        """The names, string [G], and for each row the index of its group, int32 [N]; -1: none."""

    def find(self, keys: Words) -> tuple[_Numbers, _Numbers]:
        """Which of `keys` are there: their indices, and the first row that has each."""
        wanted = np.arange(len(keys))
        place = np.searchsorted(self._keys[:, 0], keys[:, 0])
        while True:
            there = place < len(self._keys)
            there[there] = self._keys[place[there], 0] == keys[wanted[there], 0]
            wanted, place = wanted[there], place[there]
            same = self._keys[place, 1] == keys[wanted, 1]
            if same.all():
                return wanted, self._rows[place].astype(np.int64)
            # Half a key in common with another image: the next one may be it.
            place = np.where(same, place, place + 1)


class Meeting:
    """What a split that is read has in common with one that is held.

    Parameters
    ----------
    first
        The split that is read.
    second
        The split that is held.
    with_looks
        Whether images that look alike are looked for; `second` holds its looks then.
    """

    def __init__(self, first: SplitFiles, second: Held, *, with_looks: bool) -> None:
        self._first, self._second = first, second
        self._same = np.full(len(second.files), -1, np.int64)
        """Row of the first split that has the same image; -1: none."""
        self._shared = np.zeros(len(second.groups), np.bool_)
        self._in_groups = 0
        self._looks = Looks(second.looks, second.looked & ~second.repeated) if with_looks else None

    def meet(self, rows: Rows) -> None:
        """Compare some rows of the first split with all of the second."""
        mine, theirs = self._second.find(rows.keys)
        new = self._same[theirs] < 0
        # Backwards: of several rows with the same image the first one stays.
        self._same[theirs[new][::-1]] = rows.start + mine[new][::-1]
        if len(self._second.groups):
            self._meet_groups(rows.groups)
        if self._looks is not None:
            self._looks.compare(rows)

    def images(self) -> SharedImages | None:
        """Images that are in both."""
        rows = np.flatnonzero(self._same >= 0)
        if not len(rows):
            return None
        return SharedImages(len(rows), self._names(self._same[rows], rows))

    def groups(self) -> SharedGroups | None:
        """Groups that have samples in both."""
        count = int(self._shared.sum())
        if not count:
            return None
        # The last flag is that of -1, of samples without a group.
        theirs = int(np.append(self._shared, False)[self._second.codes].sum())
        names = sorted(self._second.groups.filter(pa.array(self._shared)).to_pylist())
        return SharedGroups(count, (self._in_groups, theirs), tuple(names[:EXAMPLES]))

    def alike(self) -> AlikeImages | NotLookedFor | None:
        """Images that look nearly the same; without those that are in both."""
        if self._looks is None:
            return None
        found = self._looks.near(but=self._same >= 0)
        if isinstance(found, NotLookedFor):
            return found
        theirs, mine = found
        return AlikeImages(len(theirs), self._names(mine, theirs)) if len(theirs) else None

    def _meet_groups(self, groups: pa.Array) -> None:
        encoded = groups.dictionary_encode()
        found = pc.index_in(encoded.dictionary, value_set=self._second.groups)
        index = np.asarray(found.fill_null(-1))
        self._shared[index[index >= 0]] = True
        codes = np.asarray(encoded.indices.fill_null(-1))
        self._in_groups += int(np.append(index >= 0, False)[codes].sum())

    def _names(self, mine: _Numbers, theirs: _Numbers) -> tuple[Names, ...]:
        rows = zip(mine[:EXAMPLES].tolist(), theirs[:EXAMPLES].tolist(), strict=True)
        return tuple((self._first.name(a), self._second.files.name(b)) for a, b in rows)


def _encoded(parts: Sequence[pa.DictionaryArray]) -> tuple[pa.Array, npt.NDArray[np.int32]]:
    """Distinct strings, and for each row the index of its own; -1 where there is none."""
    if not parts:
        return pa.array([], pa.string()), np.empty(0, np.int32)
    whole = pa.chunked_array(parts).unify_dictionaries()
    codes = [np.asarray(part.indices.fill_null(-1), np.int32) for part in whole.chunks]
    return whole.chunk(whole.num_chunks - 1).dictionary, np.concatenate(codes)
