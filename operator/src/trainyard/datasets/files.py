"""Reading the files of a source: each one as it was when it was listed, or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainyard.datasets.errors import BadData
from trainyard.datasets.listing import Listing
from trainyard.stores import ObjectChanged, ObjectInfo, ObjectNotFound, ObjectTooLarge, Store


class SourceFiles:
    """The files below a prefix.

    Parameters
    ----------
    store
        Where they lie.
    uri
        The prefix.
    """

    def __init__(self, store: Store, uri: str) -> None:
        self.uri = uri
        self._store = store
        self.listing = Listing(store.list(uri))

    def read(self, entry: ObjectInfo, limit: int) -> bytes:
        """Whole content of a file of at most `limit` bytes.

        Raises
        ------
        BadData
            If it is larger, or not what was listed.
        """
        with _as_bad_data(entry):
            return self._store.read_bytes(entry.uri, limit, entry.version)

    @contextmanager
    def local(self, entry: ObjectInfo) -> Iterator[Path]:
        """A copy of a file of any size on this machine's disk, gone at the end.

        Raises
        ------
        BadData
            If the file is not what was listed.
        """
        with tempfile.NamedTemporaryFile(prefix="trainyard-source-") as file:
            with _as_bad_data(entry):
                for chunk in self._store.stream(entry.uri, version=entry.version):
                    file.write(chunk)
            file.flush()
            yield Path(file.name)

    def close(self) -> None:
        """Forget the listing."""
        self.listing.close()


@contextmanager
def _as_bad_data(entry: ObjectInfo) -> Iterator[None]:
    try:
        yield
    except (ObjectChanged, ObjectNotFound):
        raise BadData(
            f"{entry.uri} was changed or removed while the source was being read: make the "
            "dataset again when nobody writes to it"
        ) from None
    except ObjectTooLarge as error:
        raise BadData(str(error)) from None
