"""Where people find a file: by a link if a browser can open the store, else by a command."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from urllib.parse import quote

from trainyard.api._base import ApiModel


class Place(ApiModel):
    """A file of the store."""

    what: str
    """In a word."""
    uri: str
    """Where it lies, `s3://bucket/key`."""
    url: str | None = None
    """Where a browser finds it."""
    command: str
    """What gets it, typed into a terminal."""


@dataclass(frozen=True)
class StoreAccess:
    """How people come to the files of the store.

    Attributes
    ----------
    external_url
        What stands before BUCKET/KEY in the address of a file; None: no browser can open it.
    endpoint_url
        The S3 endpoint; None: the provider's own.
    """

    external_url: str | None = None
    endpoint_url: str | None = None

    def place(self, what: str, uri: str, command: str | None = None) -> Place:
        """Where a file is found.

        Parameters
        ----------
        command
            What to type instead of opening it; None: what copies it from the store.
        """
        url = None
        if self.external_url is not None and uri.startswith("s3://"):
            url = f"{self.external_url.rstrip('/')}/{quote(uri.removeprefix('s3://'))}"
        return Place(what=what, uri=uri, url=url, command=command or self._copy(uri))

    def _copy(self, uri: str) -> str:
        endpoint = () if self.endpoint_url is None else ("--endpoint-url", self.endpoint_url)
        return typed("aws", "s3", "cp", uri, ".", *endpoint)


def typed(*words: str) -> str:
    """A command line, quoted where a shell needs it."""
    return shlex.join(words)
