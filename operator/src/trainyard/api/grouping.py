"""`groupBy` of a Dataset: what its text means."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import re2

from trainyard.api.dataset import DataFormat

_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class InvalidGroupBy(Exception):
    """The text says no groups. The message is one sentence."""


@dataclass(frozen=True)
class GroupColumn:
    """The column of records that names the group."""

    name: str


@dataclass(frozen=True)
class GroupPattern:
    """A regular expression with one group in parentheses, which is what belongs together."""

    text: str
    _compiled: Any = field(repr=False, compare=False)

    def group_of(self, name: str) -> str | None:
        """What the parentheses match in an image's path in its source; None if nothing does."""
        # This runs in the snapshot's pod and in the command line, once an image, and by RE2: in
        # time linear in the path's length whatever the pattern is.
        match = self._compiled.search(name)
        return (match.group(1) or None) if match else None


def parse_group_by(text: str, formats: Iterable[DataFormat]) -> GroupColumn | GroupPattern:
    """What `groupBy` means for selections of these formats.

    A plain identifier is a column of records, anything else a regular expression in the syntax
    of RE2 (https://github.com/google/re2/wiki/Syntax: no look-around, no back-references).

    Raises
    ------
    InvalidGroupBy
        If it is a column and a format has no columns, or a pattern that cannot be used.
    """
    if _COLUMN.fullmatch(text):
        for wrong in formats:
            if wrong is not DataFormat.RECORDS:
                raise InvalidGroupBy(
                    f"groupBy '{text}' is the name of a column, and the format {wrong.value!r} "
                    "has no columns: give a regular expression over the images' paths, for "
                    r"example ^(cam\d+)_"
                )
        return GroupColumn(text)
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(text, options)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        said = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        raise InvalidGroupBy(
            f"groupBy '{text}' is no regular expression that can be used ({said}): correct it; "
            "look-around and back-references are not available"
        ) from None
    if compiled.groups != 1:
        raise InvalidGroupBy(
            f"groupBy '{text}' has {compiled.groups} groups in parentheses and needs exactly one, "
            r"around what belongs together, for example ^(cam\d+)_; write (?:...) for parentheses "
            "that only bracket"
        )
    return GroupPattern(text, compiled)
