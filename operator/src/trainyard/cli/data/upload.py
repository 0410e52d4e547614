"""Sending a folder to a bucket: what is there already is not sent again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from trainyard.datasets.formats.base import is_hidden
from trainyard.datasets.in_order import in_order
from trainyard.datasets.listing import Listing
from trainyard.stores import Store, join
from trainyard.stores.folder import FolderStore
from trainyard.stores.s3_upload import etag_of

EXAMPLES = 3
"""Names that are shown of the files that are there and not in the folder."""


@dataclass(frozen=True)
class LocalFile:
    """A file of the folder; `name` is its path there."""

    path: Path
    name: str
    size: int


@dataclass(frozen=True)
class Uploaded:
    """What an upload did.

    Attributes
    ----------
    sent, kept
        Number of files that were sent, and that were there already with the same content.
    sent_bytes
        Size of those that were sent.
    others
        Number of files below the place that the folder does not have.
    other_examples
        The first of them.
    """

    sent: int
    kept: int
    sent_bytes: int
    others: int
    other_examples: tuple[str, ...]


def local_files(folder: Path) -> Iterator[LocalFile]:
    """Files below a folder in the order of their names; no hidden ones and no symbolic links.

    Raises
    ------
    StoreError
        If a folder may not be read, or a name is not in UTF-8.
    """
    for entry in FolderStore().list(f"file://{folder}"):
        if not is_hidden(entry.name):
            yield LocalFile(folder / entry.name, entry.name, entry.size)


def upload_folder(store: Store, folder: Path, uri: str, advance: Callable[[int], None]) -> Uploaded:
    """Send the files that are not there yet with the same size and content.

    The content is compared by the ETag, see `etag_of`.

    Parameters
    ----------
    uri
        Place in a bucket.
    advance
        Told the size of each file that is there, in bytes.

    Raises
    ------
    StoreError
        If the store does not answer or refuses. What was sent stays.
    """
    with closing(Listing(store.list(uri))) as there:

        def send(file: LocalFile) -> tuple[LocalFile, bool]:
            known = there.get(file.name)
            if (
                known is not None
                and known.size == file.size
                and known.version == etag_of(file.path)
            ):
                return file, False
            store.upload(file.path, join(uri, file.name))
            return file, True

        sent = kept = sent_bytes = matched = 0
        with closing(in_order(send, local_files(folder))) as done:
            for file, was_sent in done:
                sent, kept = sent + was_sent, kept + (not was_sent)
                sent_bytes += file.size if was_sent else 0
                matched += file.name in there
                advance(file.size)
        others = len(there) - matched
        examples: list[str] = []
        if others:
            for entry in there:
                if len(examples) == EXAMPLES:
                    break
                path = folder / entry.name
                if is_hidden(entry.name) or path.is_symlink() or not path.is_file():
                    examples.append(entry.name)
    return Uploaded(sent, kept, sent_bytes, others, tuple(examples))
