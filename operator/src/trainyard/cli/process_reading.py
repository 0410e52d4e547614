"""A process as people look at it: reading one, and what it waits for."""

from __future__ import annotations

from trainyard.api.meta import Json
from trainyard.api.model import NamedEvaluation
from trainyard.api.process import TrainingProcess
from trainyard.api.process_status import EvaluationStatus, ProcessPhase
from trainyard.api.reasons import ConditionType, Reason
from trainyard.cli.errors import CommandError
from trainyard.cluster import parse
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.resources import PROCESS
from trainyard.decide.conditions import find, is_true
from trainyard.decide.events import why

AT_REST = (ProcessPhase.SUSPENDED, ProcessPhase.CREATED)
UNSEEN = "not seen by the operator yet"
_WAITS_FOR_THE_MACHINE = (Reason.AWAITING_EVIDENCE, Reason.QUARANTINED)


def read(api: ApiServer, namespace: str, name: str) -> TrainingProcess:
    """A process that is not being deleted.

    Raises
    ------
    CommandError
        If there is none, or it cannot be read.
    """
    raw = api.get(PROCESS, name, namespace)
    if raw is None:
        raise missing(namespace, name)
    process = typed(raw)
    if process.metadata.deletion_timestamp is not None:
        raise CommandError(f"TrainingProcess {process.key} is being deleted")
    return process


def missing(namespace: str, name: str) -> CommandError:
    """The sentence for a process that is not there."""
    return CommandError(
        f"there is no TrainingProcess {name} in namespace {namespace}: kubectl get tp -A lists all"
    )


def typed(raw: Json) -> TrainingProcess:
    """The process as its API type.

    Raises
    ------
    CommandError
        If it does not fit: it was stored under other rules.
    """
    try:
        return parse.typed(TrainingProcess, raw)
    except parse.UnreadableObject as error:
        raise CommandError(f"TrainingProcess {parse.key_of(raw)} cannot be read: {error}") from None


def stopped(process: TrainingProcess) -> bool:
    """Whether it stands still until somebody starts it, as the operator has confirmed."""
    status, generation = process.status, process.metadata.generation
    return (
        process.spec.suspend
        and status.phase in AT_REST
        and (status.observed_generation or 0) >= generation
    )


def explanation(process: TrainingProcess) -> str:
    """Why it stands where it stands, or what it waits for; empty while it simply runs."""
    status = process.status
    if process.metadata.deletion_timestamp is not None:
        return "it is being deleted"
    if status.phase is None:
        return UNSEEN
    if status.phase in (ProcessPhase.SUSPENDING, *AT_REST):
        reserved = find(status.conditions, ConditionType.NODE_RESERVED)
        told = find(status.conditions, ConditionType.SUSPENDED)
        if reserved is not None and reserved.reason in _WAITS_FOR_THE_MACHINE:
            told = reserved
        return told.message if told is not None else ""
    if status.phase is ProcessPhase.RUNNING:
        if is_true(status.conditions, ConditionType.PROGRESS_STALLED):
            stalled = find(status.conditions, ConditionType.PROGRESS_STALLED)
            return stalled.message if stalled is not None else ""
        if is_true(status.conditions, ConditionType.RUNNING):
            return ""
    return why(status)[1]


def columns_of(measured: EvaluationStatus | NamedEvaluation | None) -> dict[str, dict[str, str]]:
    """Metrics as columns of a table: those of each split by name."""
    splits = () if measured is None else (("DEV", measured.dev), ("TEST", measured.test))
    return {
        title: {metric.name: metric.value for metric in found.metrics}
        for title, found in splits
        if found is not None
    }


def line(process: TrainingProcess) -> str:
    """`Queued: node gpu-1 is held by ...`."""
    told = explanation(process)
    if process.status.phase is None:
        return told
    return f"{process.status.phase}: {told}" if told else str(process.status.phase)
