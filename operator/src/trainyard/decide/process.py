"""What to do about a TrainingProcess: from the facts to the writes and the status.

The life of a run: it is checked; it waits for its node; its suspended Job is created and the
attempt recorded (`before_start`); in a later pass, which has read that record back, the lock is
taken and the Job unsuspended; the pod is followed (`during_attempt`); its artefacts are verified
(`harvest`), or it is ended (`ending`) and its record completed (`conclude`); another attempt
follows, at once or when it is started again (`between_attempts`); it has succeeded or failed, which
never changes, and those who want to know are told (`after_end`, `outbox`).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from trainyard.api.process import TrainingProcess
from trainyard.api.process_status import ProcessDisplay, ProcessPhase, TrainingProcessStatus
from trainyard.api.reasons import ConditionType, Reason
from trainyard.decide.actions import Decision
from trainyard.decide.after_end import after_end
from trainyard.decide.before_start import before_first_attempt
from trainyard.decide.between_attempts import between_attempts
from trainyard.decide.conditions import find, with_condition
from trainyard.decide.draft import StatusDraft
from trainyard.decide.during_attempt import during_attempt
from trainyard.decide.facts import ProcessFacts
from trainyard.decide.outbox import with_records
from trainyard.decide.queue import as_rival

__all__ = ["as_rival", "decide_process", "when_not_created", "when_refused"]


def decide_process(facts: ProcessFacts, now: datetime) -> Decision[TrainingProcessStatus]:
    """The next step of a TrainingProcess.

    Parameters
    ----------
    facts
        Everything that was gathered, read at one time.
    now
        The time of the decision, with a time zone.
    """
    status, meta = facts.process.status, facts.process.metadata
    if meta.deletion_timestamp is not None:
        return Decision(status)
    if status.phase is not None and status.phase.terminal:
        return after_end(facts, now)
    draft = StatusDraft(status, now, meta.generation)
    if not status.attempts:
        before_first_attempt(facts, draft)
    elif status.attempts[-1].finish_time is None:
        during_attempt(facts, draft, status.attempts[-1])
    else:
        between_attempts(facts, draft, status.attempts[-1])
    decision = draft.decision()
    rules = facts.settings.notifications
    return replace(decision, status=with_records(facts.process, decision.status, rules, now))


def when_refused(
    process: TrainingProcess, status: TrainingProcessStatus, message: str, now: datetime
) -> TrainingProcessStatus:
    """The status of a process whose Job could not be started just now.

    Parameters
    ----------
    process
        As it was read: the condition keeps its transition time while the refusal lasts.
    status
        As it was decided.
    """
    before = find(process.status.conditions, ConditionType.NODE_RESERVED)
    conditions = with_condition(
        tuple(
            before if before is not None and item.type == before.type else item
            for item in status.conditions
        ),
        ConditionType.NODE_RESERVED,
        False,
        Reason.WAITING_FOR_NODE,
        message,
        now=now,
        generation=process.metadata.generation,
    )
    return status.model_copy(update={"conditions": conditions})


def when_not_created(
    process: TrainingProcess, status: TrainingProcessStatus, message: str, now: datetime
) -> TrainingProcessStatus:
    """The status of a process whose Job the API server does not accept: it stays queued.

    Parameters
    ----------
    status
        As it was decided, with an attempt that is not to be recorded now.
    """
    conditions = status.conditions
    for type_ in (ConditionType.NODE_RESERVED, ConditionType.RUNNING):
        conditions = with_condition(
            conditions,
            type_,
            False,
            Reason.POD_REFUSED,
            f"the Job was refused: {message}",
            now=now,
            generation=process.metadata.generation,
        )
    shown = (status.display or ProcessDisplay()).model_copy(
        update={"reason": str(Reason.POD_REFUSED)}
    )
    return status.model_copy(
        update={
            "phase": ProcessPhase.QUEUED,
            "conditions": conditions,
            "attempts": process.status.attempts,
            "resolved": process.status.resolved,
            "display": shown,
        }
    )
