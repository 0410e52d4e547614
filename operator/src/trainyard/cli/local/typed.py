"""Commands and paths as a person can type them where they stand."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path


def typed(path: Path) -> str:
    """A path, relative to the present folder, quoted for a shell."""
    return shlex.quote(os.path.relpath(path))


PROGRAM = "TRAINYARD_PROGRAM"
"""Tells the trainer what `program` is, for the commands that it prints."""


def program() -> str:
    """What a person types: the name if a shell finds it, else the path."""
    own = Path(sys.executable).with_name("trainyard")
    found = shutil.which("trainyard")
    if found is not None and Path(found).resolve() == own.resolve():
        return "trainyard"
    return typed(own) if own.is_file() else f"{typed(Path(sys.executable))} -m trainyard.cli"
