"""After the end of a process: what is left is cleared away, and people are told.

The process itself never changes.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from trainyard.api.process_status import TrainingProcessStatus
from trainyard.api.reasons import ConditionType
from trainyard.decide.actions import Decision, DeleteJob
from trainyard.decide.conditions import find
from trainyard.decide.facts import ProcessFacts
from trainyard.decide.outbox import next_step


def after_end(facts: ProcessFacts, now: datetime) -> Decision[TrainingProcessStatus]:
    """Remove a Job that never ended at once, the others when their time has come; tell people."""
    process = facts.process
    ttl = process.spec.ttl_seconds_after_finished
    finished = find(process.status.conditions, ConditionType.FINISHED)
    removed_at = None
    if ttl is not None and finished is not None:
        removed_at = finished.last_transition_time + timedelta(seconds=ttl)
    expired = removed_at is not None and now >= removed_at
    outbox = next_step(process, facts.deliveries, facts.settings.notifications, now)
    times = [outbox.look_again_at, removed_at if facts.jobs and not expired else None]
    return Decision(
        status=process.status.model_copy(update={"notifications": outbox.records}),
        actions=tuple(
            DeleteJob(job)
            for job in facts.jobs
            if not job.deleting and (expired or not job.finished)
        ),
        messages=outbox.messages,
        look_again_at=min((time for time in times if time is not None), default=None),
    )
