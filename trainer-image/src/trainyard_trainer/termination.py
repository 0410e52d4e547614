"""The last words: what the kubelet reads from the container's termination message file."""

from __future__ import annotations

import os
from pathlib import Path

from trainyard.api.report import TERMINATION_MESSAGE_LIMIT, LastWords

VARIABLE = "TRAINYARD_TERMINATION_LOG"
DEFAULT = "/dev/termination-log"

LOG_TAIL_LIMIT = 2048
"""Characters of `LastWords.log_tail`."""
_LINE_LIMIT = 400
_READ_BYTES = 64 << 10


def say(words: LastWords) -> None:
    """Write the last words where the kubelet looks for them.

    Outside of a pod the file is not there, and nothing is written: a regular file in /dev would
    help nobody. A path given by the variable is written in any case.
    """
    named = os.environ.get(VARIABLE)
    path = Path(named or DEFAULT)
    if not named and not path.exists():
        return
    path.write_bytes(encode(words))


def encode(words: LastWords) -> bytes:
    """JSON of at most `TERMINATION_MESSAGE_LIMIT` bytes.

    What is too long loses the oldest lines of the log first, then the end of the message.
    """
    while True:
        data = words.model_dump_json(by_alias=True, exclude_none=True).encode()
        if len(data) <= TERMINATION_MESSAGE_LIMIT:
            return data
        if words.log_tail:
            change = {"log_tail": words.log_tail.partition("\n")[2]}
        else:
            change = {"message": words.message[: len(words.message) // 2]}
        words = words.model_copy(update=change)


def tail(path: Path) -> str:
    """The last whole lines of a log, at most `LOG_TAIL_LIMIT` characters; very long ones are cut.

    Empty if there is no log.
    """
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _READ_BYTES))
            start = file.tell()
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    if start:
        # It began somewhere else.
        lines = lines[1:]
    kept: list[str] = []
    left = LOG_TAIL_LIMIT
    for line in reversed(lines):
        short = line if len(line) <= _LINE_LIMIT else f"{line[:_LINE_LIMIT]} ..."
        left -= len(short) + 1
        if left < 0:
            break
        kept.append(short)
    return "\n".join(reversed(kept))
