"""What a command says when it cannot do its work: one sentence, never a traceback."""

from __future__ import annotations

import sqlite3
import tempfile

import click

FAILED = 1
"""Exit code of a command that was refused or that failed; wrong usage has 2."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as a shell counts it."""


class CommandError(click.ClickException):
    """A command that was refused or that failed. The text is one sentence for people."""

    exit_code = FAILED


def of_refused_change(subject: str, error: Exception) -> CommandError:
    """The sentence for a change, sent with a UID, that the API server does not accept.

    Another UID is another object of that name; the API server calls it an immutable field.

    Parameters
    ----------
    subject
        Kind and name of the object.
    error
        What the API server said.
    """
    if "metadata.uid" in str(error):
        return CommandError(f"{subject} was deleted and made anew meanwhile: try again")
    return CommandError(f"the API server does not accept the change of {subject}: {error}")


def as_command_error(error: Exception) -> CommandError | None:
    """The sentence for what the API server, the store, data or this machine say is wrong.

    None if the error is none of theirs.

    Parameters
    ----------
    error
        What a command raised.
    """
    # Here, because the libraries behind them take most of a second that `--help` need not wait.
    from trainyard.cluster.errors import (
        ApiError,
        Conflict,
        Forbidden,
        Invalid,
        NotFound,
        Unavailable,
    )
    from trainyard.datasets.errors import BadData
    from trainyard.stores.errors import StoreError

    match error:
        case Forbidden():
            why = "your login was not accepted" if error.status == 401 else "you may not do that"
            text = f"{why}: {error}"
        case NotFound():
            text = (
                f"the API server does not know what was asked for ({error}): is Trainyard "
                "installed in this cluster (kubectl get crd trainingprocesses.trainyard.dev)?"
            )
        case Conflict():
            text = f"the object was deleted or made anew meanwhile ({error}): try again"
        case Invalid():
            text = f"the API server does not accept the change: {error}"
        case Unavailable():
            text = (
                "the API server does not answer: is it running, and is it the right --context? "
                f"({error})"
            )
        case ApiError() | StoreError() | BadData():
            text = str(error)
        case sqlite3.OperationalError():
            # Tables of listings and samples, which may be larger than the memory.
            text = f"a table under {tempfile.gettempdir()} cannot be written: {error}"
        case OSError():
            place = f"{error.filename}: " if error.filename else ""
            text = f"{place}{error.strerror or type(error).__name__}"
        case _:
            return None
    return CommandError(text)
