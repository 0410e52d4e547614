"""Tensors written to a file, such that a full disk is told as what it is."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch


def save(content: Any, path: Path) -> None:
    """As `torch.save`, but by way of memory.

    torch's own writer says of a full disk that a position was unexpected.

    Raises
    ------
    OSError
        With its errno, if it cannot be written.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    path.write_bytes(buffer.getbuffer())


def save_script(script: torch.jit.ScriptModule, path: Path) -> None:
    """As `torch.jit.save`, which on a full disk ends the whole process; raises as `save` does."""
    buffer = io.BytesIO()
    torch.jit.save(script, buffer)
    path.write_bytes(buffer.getbuffer())
