"""The artefact store: S3, or a folder for local use."""

from __future__ import annotations

from trainyard.stores.base import Credentials, ObjectInfo, Store, Uri, join, parent
from trainyard.stores.errors import (
    AccessDenied,
    ArtefactMismatch,
    BucketNotFound,
    DigestMismatch,
    InvalidUri,
    ObjectChanged,
    ObjectNotFound,
    ObjectTooLarge,
    PreconditionFailed,
    StoreError,
    StoreUnavailable,
)
from trainyard.stores.routed import open_store
from trainyard.stores.verify import verify_manifest

__all__ = [
    "AccessDenied",
    "ArtefactMismatch",
    "BucketNotFound",
    "Credentials",
    "DigestMismatch",
    "InvalidUri",
    "ObjectChanged",
    "ObjectInfo",
    "ObjectNotFound",
    "ObjectTooLarge",
    "PreconditionFailed",
    "Store",
    "StoreError",
    "StoreUnavailable",
    "Uri",
    "join",
    "open_store",
    "parent",
    "verify_manifest",
]
