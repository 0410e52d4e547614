"""What can go wrong with a store: one sentence each, never with a credential or a signed URL."""

from __future__ import annotations


class StoreError(Exception):
    """Base of all errors of a store. The text is one sentence for people."""


class StoreUnavailable(StoreError):
    """The store did not answer, or answered with an error of its own; later may work."""


class ObjectNotFound(StoreError):
    """There is no object of that name."""


class BucketNotFound(ObjectNotFound):
    """There is no bucket of that name."""


class AccessDenied(StoreError):
    """The credentials are missing, wrong, or do not allow the request."""


class PreconditionFailed(StoreError):
    """An object that had to be absent is there already, with other content."""


class ObjectChanged(StoreError):
    """The object is not the one that was listed: it was changed in between."""


class ObjectTooLarge(StoreError):
    """The object is larger than the reader allows."""


class InvalidUri(StoreError):
    """The text does not name a place in a store."""


class DigestMismatch(StoreError):
    """The bytes read are not the bytes expected."""


class ArtefactMismatch(StoreError):
    """A manifest, or a file that it names, is not what it should be."""
