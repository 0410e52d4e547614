"""Where people find a file: by a link if a browser can open the store, else by a command."""

from __future__ import annotations

import shlex
from urllib.parse import quote

from trainyard.api._base import ApiModel


class Place(ApiModel):
    """A file or a folder of the store."""

    what: str
    """In a word."""
    uri: str
    """Where it lies, `s3://bucket/key`."""
    url: str | None = None
    """Where a browser finds it."""
    command: str
    """What gets it, typed into a terminal."""


def place(what: str, uri: str, external_url: str | None, command: str) -> Place:
    """Where a file is found.

    Parameters
    ----------
    external_url
        What stands before BUCKET/KEY in the address of a file of the store; None: no browser
        can open it.
    command
        What to type instead of opening it.
    """
    url = None
    if external_url is not None and uri.startswith("s3://"):
        url = f"{external_url.rstrip('/')}/{quote(uri.removeprefix('s3://'))}"
    return Place(what=what, uri=uri, url=url, command=command)


def typed(*words: str) -> str:
    """A command line, quoted where a shell needs it."""
    return shlex.join(words)
