"""Labels in tables on this machine's disk."""

from __future__ import annotations

from collections.abc import Iterable

from trainyard.datasets.labels import Label
from trainyard.datasets.union import labels_from_json, labels_to_json


def to_text(labels: Iterable[Label]) -> str:
    """Labels as text, exactly."""
    by_attribute: dict[str, list[Label]] = {}
    for label in labels:
        by_attribute.setdefault(label.attribute, []).append(label)
    return labels_to_json({name: tuple(some) for name, some in by_attribute.items()})


def from_text(text: str) -> tuple[Label, ...]:
    """What `to_text` wrote."""
    return tuple(label for some in labels_from_json(text).values() for label in some)
