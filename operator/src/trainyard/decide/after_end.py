"""After the end of a process: what is left is cleared away; the process itself never changes."""

from __future__ import annotations

from datetime import datetime, timedelta

from trainyard.api.process_status import TrainingProcessStatus
from trainyard.api.reasons import ConditionType
from trainyard.decide.actions import Decision, DeleteJob
from trainyard.decide.conditions import find
from trainyard.decide.facts import ProcessFacts


def after_end(facts: ProcessFacts, now: datetime) -> Decision[TrainingProcessStatus]:
    """Remove a Job that never ended at once, the others when their time has come."""
    process = facts.process
    ttl = process.spec.ttl_seconds_after_finished
    finished = find(process.status.conditions, ConditionType.FINISHED)
    removed_at = None
    if ttl is not None and finished is not None:
        removed_at = finished.last_transition_time + timedelta(seconds=ttl)
    expired = removed_at is not None and now >= removed_at
    return Decision(
        status=process.status,
        actions=tuple(
            DeleteJob(job)
            for job in facts.jobs
            if not job.deleting and (expired or not job.finished)
        ),
        look_again_at=removed_at if facts.jobs and not expired else None,
    )
