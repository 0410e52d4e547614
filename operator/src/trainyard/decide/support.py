"""Fields that are in the schema and do not act yet. One place, so that the list is true."""

from __future__ import annotations

from trainyard.api.process import TrainingProcessSpec


def unsupported_in_process(spec: TrainingProcessSpec) -> str | None:
    """The first field of a TrainingProcess that does not act yet; None if all act."""
    notifications = spec.notifications
    if notifications is not None and (notifications.email or notifications.webhooks):
        return "spec.notifications"
    return None
