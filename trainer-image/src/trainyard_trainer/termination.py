"""The last words: what the kubelet reads from the container's termination message file."""

from __future__ import annotations

import os
from pathlib import Path

from trainyard.api.report import TERMINATION_MESSAGE_LIMIT, LastWords

VARIABLE = "TRAINYARD_TERMINATION_LOG"
DEFAULT = "/dev/termination-log"


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
    """JSON of at most `TERMINATION_MESSAGE_LIMIT` bytes; a long message is cut."""
    message = words.message
    while True:
        text = words.model_copy(update={"message": message}).model_dump_json(
            by_alias=True, exclude_none=True
        )
        data = text.encode()
        if len(data) <= TERMINATION_MESSAGE_LIMIT:
            return data
        message = message[: len(message) // 2]
