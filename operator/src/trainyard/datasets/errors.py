"""What is wrong with data."""

from __future__ import annotations


class BadData(Exception):
    """Images or labels that cannot be used. The text is one sentence."""

    reason = "BadData"


class DatasetTooLarge(BadData):
    """More images than a dataset may have."""

    reason = "DatasetTooLarge"


class DiskFull(Exception):
    """No room on this machine's disk for what is being made. The text is one sentence."""
