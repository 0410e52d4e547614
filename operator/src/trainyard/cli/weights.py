"""Putting weights into the store that templates may start from."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

from trainyard.api.manifest import StoredFile
from trainyard.cli.data.opening import s3_source
from trainyard.cli.errors import CommandError
from trainyard.stores import Store, join
from trainyard.stores.digests import sha256_of, stored_sha256

OURS = ".pth"
PRETRAINED = ".pt"
_HEAD = 1 << 20
"""Bytes that are looked at of what a .pth says about itself."""
_KEYS = (b"state_dict", b"config")


@dataclass(frozen=True)
class Uploaded:
    """Weights in the store.

    Attributes
    ----------
    sent
        False: they were there already.
    """

    uri: str
    file: StoredFile
    sent: bool


def check_kind(path: Path) -> None:
    """See that a file has one of the two kinds of weights.

    Raises
    ------
    CommandError
        If not.
    """
    if path.suffix not in (OURS, PRETRAINED):
        raise CommandError(
            f"{path} is neither a model.pth of Trainyard nor a {PRETRAINED} of ultralytics, by its "
            "name"
        )


def check_ours(path: Path) -> None:
    """See that a file is a model.pth as Trainyard writes it, without opening the pickle in it.

    Raises
    ------
    CommandError
        If not.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            (index,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
            with archive.open(index) as file:
                head = file.read(_HEAD)
    except (OSError, ValueError, zipfile.BadZipFile):
        head = b""
    if not all(key in head for key in _KEYS):
        raise CommandError(
            f"{path} is no model.pth of Trainyard, or not whole: of another program's weights give "
            f"the {PRETRAINED}, which is converted"
        )


def target(place: str, weights: Path) -> str:
    """The URI to upload to: `place`, with the name of the file if it ends in a slash.

    Raises
    ------
    CommandError
        If it is no place in a bucket, or does not end in .pth.
    """
    found = s3_source(place)
    uri = join(f"s3://{found.bucket}", found.prefix) if found.prefix else f"s3://{found.bucket}"
    if place.endswith("/") or not found.prefix:
        uri = join(uri, weights.with_suffix(OURS).name)
    if not uri.endswith(OURS):
        raise CommandError(
            f"{place} does not end in {OURS}: give s3://bucket/path/{weights.stem}{OURS}, or a "
            "folder with a slash at its end"
        )
    return uri


def upload(store: Store, path: Path, uri: str, *, overwrite: bool) -> Uploaded:
    """Store weights. What is there is never replaced unasked: templates name it by its digest.

    Raises
    ------
    CommandError
        If a file with other content is there.
    """
    size = store.stat(uri)
    if size is not None:
        file = StoredFile(
            name=uri.rpartition("/")[2], sha256=sha256_of(path), size_bytes=path.stat().st_size
        )
        if size == file.size_bytes and stored_sha256(store, uri) == file.sha256:
            return Uploaded(uri, file, sent=False)
        if not overwrite:
            raise CommandError(
                f"{uri} is there with other content, and templates that name it by its digest "
                "would not find it any more: give another name, or --overwrite"
            )
    return Uploaded(uri, store.upload(path, uri), sent=True)
