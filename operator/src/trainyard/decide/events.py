"""Events: one for each transition, in the words of the condition that explains it."""

from __future__ import annotations

from trainyard.api.meta import Condition
from trainyard.api.process_status import ProcessPhase, TrainingProcessStatus
from trainyard.api.reasons import ConditionType
from trainyard.decide.actions import Happening
from trainyard.decide.conditions import find, is_true


def happenings(old: TrainingProcessStatus, new: TrainingProcessStatus) -> tuple[Happening, ...]:
    """One event for each new warning, and one for a transition: a phase, a reason for waiting."""
    warnings = tuple(
        Happening(warning.reason, warning.message, warning=True)
        for warning in (new.data.warnings if new.data is not None else ())
        if old.data is None or warning not in old.data.warnings
    )
    reason, message = why(new)
    if old.phase is new.phase and why(old)[0] == reason:
        return warnings
    return (
        *warnings,
        Happening(
            reason=str(new.phase) if old.phase is not new.phase else reason,
            message=message or f"the process is {new.phase}",
            warning=new.phase is ProcessPhase.FAILED,
        ),
    )


_TOLD_BY = {
    ProcessPhase.CREATED: (ConditionType.SUSPENDED,),
    ProcessPhase.QUEUED: (ConditionType.VALIDATED, ConditionType.NODE_RESERVED),
    ProcessPhase.STARTING: (ConditionType.NODE_RESERVED, ConditionType.RUNNING),
    ProcessPhase.RUNNING: (ConditionType.RUNNING,),
    ProcessPhase.SUSPENDING: (ConditionType.RUNNING, ConditionType.NODE_RESERVED),
    ProcessPhase.SUSPENDED: (ConditionType.SUSPENDED,),
    ProcessPhase.SUCCEEDED: (ConditionType.COMPLETE,),
    ProcessPhase.FAILED: (ConditionType.FAILED,),
}


def why(status: TrainingProcessStatus) -> tuple[str, str]:
    """Reason and message of the condition that explains the phase."""
    types = _TOLD_BY.get(status.phase, ()) if status.phase is not None else ()
    found = [item for type_ in types for item in status.conditions if item.type == type_]
    not_true = [item for item in found if item.status != "True"]
    told = (not_true or found[-1:])[:1]
    return (told[0].reason, told[0].message) if told else ("", "")


def turned(
    old: tuple[Condition, ...], new: tuple[Condition, ...], type_: ConditionType
) -> tuple[Happening, ...]:
    """One event if a condition has another reason than before.

    That an object can be used, as nearly all can from the start, is told only after it could not.
    """
    before, now = find(old, type_), find(new, type_)
    if now is None or (before is not None and before.reason == now.reason):
        return ()
    good = is_true(new, type_)
    if before is None and good:
        return ()
    return (Happening(now.reason, now.message, warning=not good),)
