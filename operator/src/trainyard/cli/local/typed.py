"""Paths as a person can type them where they stand."""

from __future__ import annotations

import os
import shlex
from pathlib import Path


def typed(path: Path) -> str:
    """A path, relative to the present folder, quoted for a shell."""
    return shlex.quote(os.path.relpath(path))
