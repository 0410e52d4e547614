"""What an S3 server's refusals mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from trainyard.stores.base import Uri
from trainyard.stores.errors import (
    AccessDenied,
    BucketNotFound,
    ObjectNotFound,
    PreconditionFailed,
    StoreError,
    StoreUnavailable,
)

_NOT_KNOWN = frozenset(
    {
        "InvalidAccessKeyId",
        "XAdminUserNotFound",  # versitygw
        "InvalidToken",
        "ExpiredToken",
        "TokenRefreshRequired",
    }
)
"""Codes for credentials that a store does not know; some send them with status 404."""


@contextmanager
def translated(uri: str, where: str) -> Iterator[None]:
    """Errors of boto3 as errors of a store, without what their texts may carry.

    Parameters
    ----------
    uri
        What is asked for.
    where
        The server that is asked.
    """
    try:
        yield
    except ClientError as error:
        raise _of_reply(error, uri, where) from None
    except (BotoCoreError, HTTPError, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise StoreUnavailable(
            f"{where} cannot be reached ({type(error).__name__}) for {uri}"
        ) from None


def _of_reply(error: ClientError, uri: str, where: str) -> StoreError:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code == "NoSuchBucket":
        return BucketNotFound(f"the bucket {Uri.parse(uri).bucket!r} of {uri} does not exist")
    # SignatureDoesNotMatch, InternalError: a word, never a credential.
    word = code if code.isalpha() else str(status)
    if status in {401, 403} or code in _NOT_KNOWN:
        return AccessDenied(f"{where} refuses access to {uri} ({word})")
    if status == 404 or code == "NoSuchKey":
        return ObjectNotFound(f"{uri} does not exist")
    if status == 412 or code == "ConditionalRequestConflict":
        return PreconditionFailed(f"{uri} is there already with other content")
    return StoreUnavailable(f"{where} answered {word} for {uri}")
