"""Errors of the API server, translated once. What is absent is None, not an error."""

from __future__ import annotations

from collections.abc import Collection


class ApiError(Exception):
    """The API server refused a request, or could not be reached.

    Attributes
    ----------
    status
        HTTP status; 0 if there was no answer.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Conflict(ApiError):
    """The object is not what it was when it was read (409): read again, decide again."""


class AlreadyExists(ApiError):
    """An object of that name is there already."""


class NotFound(ApiError):
    """The object, or the namespace, is gone."""


class Forbidden(ApiError):
    """The operator's permissions, a quota or an admission policy forbid it."""


class NamespaceEnding(Forbidden):
    """The namespace is being deleted: nothing can be created in it any more."""


class Invalid(ApiError):
    """The API server does not accept the object (400, 422)."""


class Unavailable(ApiError):
    """No answer, a time-out, 429 or 5xx: tried again later. The write may have happened."""


NAMESPACE_TERMINATING = "NamespaceTerminating"
"""A cause in the details of a Status object (`k8s.io/api/core/v1`)."""


def translate(
    status: int, reason: str, message: str, causes: Collection[str] = frozenset()
) -> ApiError:
    """The error for an HTTP status, the `reason` of the Status object and those of its causes."""
    if status == 404:
        return NotFound(message, status)
    if status == 409:
        kind = AlreadyExists if reason == "AlreadyExists" else Conflict
        return kind(message, status)
    if status == 403 and NAMESPACE_TERMINATING in causes:
        return NamespaceEnding(message, status)
    if status in (401, 403):
        return Forbidden(message, status)
    if status in (400, 413, 415, 422):
        return Invalid(message, status)
    return Unavailable(message, status)
