"""What makes a source unusable: the first of it, or as much as a person can mend at once."""

from __future__ import annotations

from trainyard.datasets.errors import BadData

EXAMPLES = 20
"""Sentences that are kept."""


class Problems:
    """Places of a source that cannot be used.

    Parameters
    ----------
    lenient
        Count them and go on. Otherwise the first one is raised.

    Attributes
    ----------
    count
        Number of all of them.
    first
        The first sentences: `file:line: what`.
    """

    def __init__(self, *, lenient: bool = False) -> None:
        self.lenient = lenient
        self.count = 0
        self.first: list[str] = []

    def add(self, error: BadData) -> None:
        """Count one, or raise it.

        Raises
        ------
        BadData
            What is given, unless lenient.
        """
        if not self.lenient:
            raise error
        self.count += 1
        if len(self.first) < EXAMPLES:
            self.first.append(str(error))

    def add_all(self, others: Problems) -> None:
        """Count what others have counted, or raise the first.

        Raises
        ------
        BadData
            If others have counted any, unless lenient.
        """
        if others.count and not self.lenient:
            raise BadData(others.first[0])
        self.count += others.count
        self.first.extend(others.first[: EXAMPLES - len(self.first)])

    def said(self) -> str:
        """All of them in a sentence; empty if there is none."""
        if not self.count:
            return ""
        return f"{self.first[0]}{f' (and {self.count - 1} more)' if self.count > 1 else ''}"
