"""Actions: the writes that a decision asks for, in the order given."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from trainyard.api.model import TrainedModelSpec
from trainyard.api.run import RunFile, SnapshotRunFile
from trainyard.decide.facts import JobFacts, PodFacts
from trainyard.decide.outbox import Message

S = TypeVar("S")


@dataclass(frozen=True)
class CreateTrainingJob:
    """Create the suspended Job of an attempt, then the ConfigMap with its run.yaml."""

    run: RunFile
    attempt: int
    node: str
    image: str | None = None
    """The trainer image that was resolved; None: that of the settings."""


@dataclass(frozen=True)
class StartJob:
    """Take the node's lock, look at the whole cluster once more, then unsuspend the Job."""

    job: JobFacts
    node: str
    process: str
    attempt: int
    hide_names: bool = False
    """Whether a refusal may not name trainings of other namespaces."""


@dataclass(frozen=True)
class SuspendJob:
    """Suspend a Job that runs without holding the lock."""

    job: JobFacts


@dataclass(frozen=True)
class DeleteJob:
    """Remove a Job and its pods."""

    job: JobFacts
    pods_first: bool = False
    """Whether the Job stays, and its name taken, until its pods are gone."""


@dataclass(frozen=True)
class DeletePod:
    """Ask a pod to end that no Job looks after any more."""

    pod: PodFacts


@dataclass(frozen=True)
class CreateSnapshotJob:
    """Create the Job that makes a Dataset's snapshot, then the ConfigMap it reads."""

    run: SnapshotRunFile


@dataclass(frozen=True)
class CreateModel:
    """Create the TrainedModel of a finished run."""

    name: str
    spec: TrainedModelSpec


Action = (
    CreateTrainingJob
    | StartJob
    | SuspendJob
    | DeleteJob
    | DeletePod
    | CreateSnapshotJob
    | CreateModel
)


@dataclass(frozen=True)
class Happening:
    """An event about a transition, for `kubectl describe`."""

    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True)
class Decision(Generic[S]):
    """What to do now: actions in order, then the status, then the events and messages."""

    status: S
    actions: tuple[Action, ...] = ()
    events: tuple[Happening, ...] = ()
    look_again_at: datetime | None = None
    """When to decide again although nothing happens."""
    messages: tuple[Message, ...] = ()
    """To be handed over if the status was written, and only then."""
