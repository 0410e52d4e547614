"""A status under construction: the few moves that decisions are written in."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from trainyard.api.process_status import ProcessDisplay, ProcessPhase, TrainingProcessStatus
from trainyard.api.reasons import ConditionType, Reason
from trainyard.decide.actions import Action, Decision
from trainyard.decide.conditions import with_condition
from trainyard.decide.events import happenings

POLL = timedelta(seconds=15)
"""How often something is looked at again that no event announces."""


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
