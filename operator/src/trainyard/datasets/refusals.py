"""Files that were left out, counted by reason."""

from __future__ import annotations

from trainyard.api.dataset import RefusedCount

EXAMPLES = 5
"""Names that are kept of each reason."""

HARMLESS = frozenset({"OtherFile", "Filtered", "NotInAnnotations", "CrowdRegion", "OnlyCrowd"})
"""Reasons that say nothing against a source: files that were never meant to be samples, images
that nobody has labelled, regions that are no single object, and samples that its filter does not
want."""


class Refusals:
    """Counts by one-word reason, with the first names."""

    def __init__(self) -> None:
        self._examples: dict[str, list[str]] = {}
        self._counts: dict[str, int] = {}

    def add(self, reason: str, name: str) -> None:
        """Count a file."""
        self._counts[reason] = self._counts.get(reason, 0) + 1
        examples = self._examples.setdefault(reason, [])
        if len(examples) < EXAMPLES:
            examples.append(name)

    def add_all(self, others: Refusals) -> None:
        """Count what others have counted."""
        for entry in others.counts():
            self._counts[entry.reason] = self._counts.get(entry.reason, 0) + entry.count
            examples = self._examples.setdefault(entry.reason, [])
            examples.extend(entry.examples[: EXAMPLES - len(examples)])

    def counts(self) -> tuple[RefusedCount, ...]:
        """All of them, sorted by reason."""
        return tuple(
            RefusedCount(reason=reason, count=count, examples=tuple(self._examples[reason]))
            for reason, count in sorted(self._counts.items())
        )
