"""Why a process cannot start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trainyard.api.comparison import Names
from trainyard.api.reasons import Reason

_SHOWN = 3
_NAME_LENGTH = 60
_CLASSES_SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """Why a process cannot start.

    Attributes
    ----------
    final
        Nothing that may still come can mend it: the process ends. Otherwise it waits.
    """

    reason: Reason
    message: str
    final: bool


def shown_names(examples: Sequence[Names]) -> str:
    """`a.png, b.png = copy-of-b.png` of images that are the same."""
    return ", ".join(
        short(a) if a == b else f"{short(a)} = {short(b)}" for a, b in examples[:_SHOWN]
    )


def short(name: str) -> str:
    """The end of a long path, so that a sentence keeps its end too."""
    return name if len(name) <= _NAME_LENGTH else f"...{name[3 - _NAME_LENGTH :]}"


def shown_classes(classes: Sequence[tuple[str, str]]) -> str:
    """`class=cat, class=dog and 3 more`."""
    shown = ", ".join(f"{attribute}={value}" for attribute, value in classes[:_CLASSES_SHOWN])
    more = len(classes) - _CLASSES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
