"""Sources on volumes: where they are mounted, and how they are named to people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from trainyard.api.dataset import Selection, VolumeSource
from trainyard.api.run import SnapshotRunFile, source_mount
from trainyard.datasets.errors import BadData
from trainyard.stores import StoreError

Mounts = Callable[[int], str]
"""The folder where the volume of the selection with that index is mounted."""


def local_uri(
    index: int,
    selection: Selection,
    mounts: Mounts = source_mount,
    buckets: Mapping[str, Path] | None = None,
) -> str | None:
    """Where a selection's files lie on this machine; None if they are in a bucket.

    Parameters
    ----------
    index, selection
        Which of a Dataset's.
    mounts
        Where volumes are mounted.
    buckets
        Folders that stand for buckets.

    Raises
    ------
    BadData
        If a symbolic link on the path leads out of the volume or folder.
    """
    source = selection.source
    if source.volume is not None:
        name, below = f"volume {source.volume.claim_name}", source.volume.path
        root = Path(mounts(index))
    elif source.s3 is not None and source.s3.bucket in (buckets or {}):
        name, below = f"bucket {source.s3.bucket}", source.s3.prefix
        root = (buckets or {})[source.s3.bucket]
    else:
        return None
    folder = root / below
    # Links within the path are followed as far as they stay inside; those below it are left out.
    if not folder.resolve().is_relative_to(root.resolve()):
        raise BadData(
            f"path {below!r} leads out of the {name} by a symbolic link: give the folder itself"
        )
    return f"file://{folder}"


@contextmanager
def claims_named(run: SnapshotRunFile, mounts: Mounts = source_mount) -> Iterator[None]:
    """Name files of volumes by their claim in errors, as in `pictures:train/a.txt`."""
    try:
        yield
    except (BadData, StoreError) as error:
        text = str(error)
        # The last first: /sources/1 begins /sources/10 too.
        for index, selection in reversed(list(enumerate(run.selections))):
            if selection.source.volume is not None:
                text = _named(text, mounts(index), selection.source.volume)
        if text == str(error):
            raise
        raise type(error)(text) from None


def _named(text: str, mount: str, volume: VolumeSource) -> str:
    for beginning in (f"file://{mount}/", f"file://{mount}"):
        text = text.replace(beginning, f"{volume.claim_name}:")
    return text
