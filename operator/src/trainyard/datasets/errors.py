"""What is wrong with data."""

from __future__ import annotations


class BadData(Exception):
    """Images or labels that cannot be used. The text is one sentence."""

    reason = "BadData"
