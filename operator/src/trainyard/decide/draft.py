"""A status under construction: the few moves that decisions are written in."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from trainyard.api.process_status import ProcessDisplay, ProcessPhase, TrainingProcessStatus
from trainyard.api.reasons import ConditionType, Reason
from trainyard.decide.actions import Action, Decision, Happening
from trainyard.decide.conditions import with_condition

POLL = timedelta(seconds=15)
"""How often something is looked at again that no event announces."""
WARNINGS = frozenset({Reason.VALIDATION_FAILED, Reason.NOT_YET_SUPPORTED})


@dataclass
class StatusDraft:
    """Collects changes to a TrainingProcess's status.

    Everything that is not a record (attempts, resolved, data, progress, metrics, history,
    artefacts) is set anew at each decision.
    """

    old: TrainingProcessStatus
    now: datetime
    generation: int
    changes: dict[str, Any] = field(default_factory=dict)
    actions: list[Action] = field(default_factory=list)
    look_again_at: datetime | None = None

    def __post_init__(self) -> None:
        self.conditions = self.old.conditions
        self.display = ProcessDisplay(
            progress=self.old.display.progress if self.old.display else "",
            metric=self.old.display.metric if self.old.display else "",
        )
        self.changes.update(queue=None, observed_generation=self.generation)

    def condition(
        self, type_: ConditionType, status: bool | None, reason: Reason, message: str = ""
    ) -> None:
        """Set one condition."""
        self.conditions = with_condition(
            self.conditions,
            type_,
            status,
            reason,
            message,
            now=self.now,
            generation=self.generation,
        )

    def show(self, **columns: str) -> None:
        """Set strings for the columns."""
        self.display = self.display.model_copy(update=columns)

    def phase(self, phase: ProcessPhase, reason: Reason | None = None) -> None:
        """Set the phase and the REASON column."""
        self.changes["phase"] = phase
        self.show(reason="" if reason is None else str(reason))

    def fail(self, reason: Reason, message: str) -> None:
        """End it: Failed, for good."""
        self.phase(ProcessPhase.FAILED, reason)
        self.condition(ConditionType.FAILED, True, reason, message)
        self.condition(ConditionType.FINISHED, True, reason, message)
        self.show(eta="", queue="")

    def succeed(self, message: str, reason: Reason = Reason.TRAINING_SUCCEEDED) -> None:
        """End it: Succeeded, for good."""
        self.phase(ProcessPhase.SUCCEEDED, reason)
        self.condition(ConditionType.COMPLETE, True, reason, message)
        self.condition(ConditionType.FINISHED, True, reason, message)
        self.show(eta="", queue="")

    def again(self, at: datetime) -> None:
        """Look again at `at` although nothing happens, or earlier if something asked for that."""
        before = self.look_again_at
        self.look_again_at = at if before is None else min(before, at)

    def decision(self) -> Decision[TrainingProcessStatus]:
        """The decision that was drafted."""
        status = self.old.model_copy(
            update={**self.changes, "conditions": self.conditions, "display": self.display}
        )
        return Decision(
            status=status,
            actions=tuple(self.actions),
            events=happenings(self.old, status),
            look_again_at=self.look_again_at,
        )


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
