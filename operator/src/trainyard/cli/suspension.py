"""Starting and stopping a process: `spec.suspend`, and what the person is told about it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from trainyard.api.process import TrainingProcess
from trainyard.api.process_status import ProcessPhase
from trainyard.cli.errors import CommandError, of_refused_change
from trainyard.cli.process_reading import AT_REST, line, read
from trainyard.cluster import parse
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.errors import Invalid
from trainyard.cluster.resources import PROCESS

POLL_SECONDS = 1.0
UNSEEN_SECONDS = 20.0
"""After this long without a word of the operator its absence is mentioned."""


@dataclass(frozen=True)
class Told:
    """What was done and what happens next.

    Attributes
    ----------
    process
        As it is now.
    sentence
        For the person.
    """

    process: TrainingProcess
    sentence: str


def start(api: ApiServer, namespace: str, name: str) -> Told:
    """Start a draft, or let a stopped process go on.

    Raises
    ------
    CommandError
        If there is no such process, it is finished, or it is being deleted.
    """
    process = read(api, namespace, name)
    if process.status.phase is not None and process.status.phase.terminal:
        raise CommandError(
            f"TrainingProcess {process.key} has {process.status.phase.lower()} and never runs "
            "again: create a new TrainingProcess"
        )
    if not process.spec.suspend:
        return Told(process, f"TrainingProcess {process.key} is started already{_where(process)}")
    process = _write(api, process, suspend=False)
    checkpoint, node = process.status.checkpoint, process.spec.target_node
    does = (
        f"goes on after epoch {checkpoint.epoch}, from its checkpoint,"
        if checkpoint is not None
        else "starts"
    )
    return Told(
        process,
        f"TrainingProcess {process.key} is started: it {does} when its turn on node {node} comes "
        f"(`trainyard watch {name} -n {namespace}` shows it)",
    )


def stop(api: ApiServer, namespace: str, name: str) -> Told:
    """Stop a process with a checkpoint, or take it out of the queue.

    Raises
    ------
    CommandError
        If there is no such process, or it is being deleted.
    """
    process = read(api, namespace, name)
    phase, node = process.status.phase, process.spec.target_node
    if phase is not None and phase.terminal:
        return Told(
            process, f"TrainingProcess {process.key} has {phase.lower()}: nothing is to be stopped"
        )
    if process.spec.suspend:
        state = {
            ProcessPhase.CREATED: "is a draft and was never started",
            ProcessPhase.SUSPENDED: "is stopped already",
        }.get(phase or ProcessPhase.CREATED, "is being stopped already")
        return Told(process, f"TrainingProcess {process.key} {state}")
    process = _write(api, process, suspend=True)
    if phase in (ProcessPhase.STARTING, ProcessPhase.RUNNING, ProcessPhase.SUSPENDING):
        does = f"writes a checkpoint, uploads it and ends, then node {node} is free"
    else:
        does = f"leaves the queue of node {node}"
    return Told(
        process,
        f"TrainingProcess {process.key} is being stopped: it {does}; "
        f"`trainyard start {name} -n {namespace}` lets it go on",
    )


def wait_stopped(
    api: ApiServer, process: TrainingProcess, say: Callable[[str], None]
) -> TrainingProcess:
    """Follow a process until it is stopped or finished.

    Parameters
    ----------
    process
        As it was when it was told to stop.
    say
        Is given one line whenever something changes.

    Raises
    ------
    CommandError
        If it fails, is deleted, or is started again meanwhile.
    """
    key, uid, generation = process.key, process.metadata.uid, process.metadata.generation
    began, spoken, warned = time.monotonic(), "", False
    while True:
        now = read(api, process.metadata.namespace, process.metadata.name)
        if now.metadata.uid != uid:
            raise CommandError(f"TrainingProcess {key} was deleted and made anew while it stopped")
        if not now.spec.suspend:
            raise CommandError(f"TrainingProcess {key} was started again while it stopped")
        phase, seen = now.status.phase, (now.status.observed_generation or 0) >= generation
        if line(now) != spoken:
            spoken = line(now)
            say(spoken)
        if phase is ProcessPhase.FAILED:
            raise CommandError(f"TrainingProcess {key} failed before it was stopped")
        if phase is ProcessPhase.SUCCEEDED or (seen and phase in AT_REST):
            return now
        if not seen and not warned and time.monotonic() - began > UNSEEN_SECONDS:
            say("the operator has not taken note yet: is it running?")
            warned = True
        time.sleep(POLL_SECONDS)


def _write(api: ApiServer, process: TrainingProcess, *, suspend: bool) -> TrainingProcess:
    meta = process.metadata
    # With the UID, so that the change cannot land on another process of the same name.
    patch = {"metadata": {"uid": meta.uid}, "spec": {"suspend": suspend}}
    try:
        written = api.merge_patch(PROCESS, meta.name, patch, meta.namespace)
    except Invalid as error:
        raise of_refused_change(f"TrainingProcess {process.key}", error) from None
    return parse.typed(TrainingProcess, written)


def _where(process: TrainingProcess) -> str:
    """`: Running on gpu-1`."""
    phase = process.status.phase
    if phase is None:
        return ""
    word = "for" if phase in (ProcessPhase.QUEUED, ProcessPhase.CREATED) else "on"
    return f": {phase} {word} node {process.spec.target_node}"
