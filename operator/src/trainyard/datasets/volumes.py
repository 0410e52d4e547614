"""Sources on volumes: where they are mounted, and how they are named to people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from trainyard.api.dataset import Selection, VolumeSource
from trainyard.api.run import SnapshotRunFile, source_mount
from trainyard.datasets.errors import BadData
from trainyard.stores import StoreError

Mounts = Callable[[int], str]
"""The folder where the volume of the selection with that index is mounted."""


def mounted_uri(index: int, selection: Selection, mounts: Mounts = source_mount) -> str | None:
    """Where a selection's files lie if they are on a volume; None if they are not.

    Raises
    ------
    BadData
        If a symbolic link on the path leads out of the volume.
    """
    volume = selection.source.volume
    if volume is None:
        return None
    root = Path(mounts(index))
    folder = root / volume.path
    # Links within the path are followed as far as they stay inside; those below it are left out.
    if not folder.resolve().is_relative_to(root.resolve()):
        raise BadData(
            f"path {volume.path!r} leads out of the volume {volume.claim_name} by a symbolic link: "
            "give the folder itself"
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
