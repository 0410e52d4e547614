"""What is said about the end of a run: the document of a webhook, and what a mail is made of."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from trainyard.api._base import ApiModel
from trainyard.api.meta import API_VERSION
from trainyard.api.process_status import ProcessPhase
from trainyard.api.reasons import ConditionType
from trainyard.decide.conditions import find
from trainyard.decide.outbox import Message
from trainyard.decide.scrub import scrubbed
from trainyard.notify.links import Place, StoreAccess, typed

LONGEST_LOG = 2048
"""Characters of the log's end."""


class Subject(ApiModel):
    """The process that it is about."""

    namespace: str
    """Its namespace."""
    name: str
    """Its name."""
    uid: str
    """Its UID: another object may get the name later."""
    capability: str
    """What its model outputs."""
    template: str
    """Its recipe."""
    node: str
    """The machine that it ran on."""
    start_time: datetime | None = None
    """When it ran for the first time."""
    finish_time: datetime | None = None
    """When it ended."""
    attempts: int
    """How often it was tried."""


class Result(ApiModel):
    """The numbers of a split."""

    split: str
    """`dev` or `test`."""
    metrics: dict[str, str]
    """By name, in decimal notation."""


class Notification(ApiModel):
    """How a run ended. A webhook receives this as JSON."""

    api_version: str = API_VERSION
    """The version of this document."""
    kind: Literal["Notification"] = "Notification"
    id: str
    """The same for each try, and different for each transition and recipient."""
    process: Subject
    """The process that it is about."""
    phase: ProcessPhase
    """Succeeded or Failed."""
    reason: str
    """Why, in one word."""
    message: str
    """Why, in a sentence; after a failure also what to do."""
    log_tail: str | None = None
    """The end of the log of a failed run."""
    model: str | None = None
    """Name of the TrainedModel."""
    results: tuple[Result, ...] = ()
    """How good the model is; test before dev."""
    places: tuple[Place, ...] = ()
    """Where the model and its numbers are."""
    command: str
    """What shows everything that is known, typed into a terminal."""


def notification(message: Message, access: StoreAccess) -> Notification:
    """What there is to say about the end of a process.

    Parameters
    ----------
    message
        To whom; its process has ended.
    access
        How those who are told come to the files.
    """
    process, status = message.process, message.process.status
    meta, spec = process.metadata, process.spec
    phase = status.phase or ProcessPhase.FAILED
    succeeded = phase is ProcessPhase.SUCCEEDED
    told_by = ConditionType.COMPLETE if succeeded else ConditionType.FAILED
    condition = find(status.conditions, told_by)
    attempts = status.attempts
    return Notification(
        id=f"{meta.uid}-{message.id}",
        process=Subject(
            namespace=meta.namespace,
            name=meta.name,
            uid=meta.uid,
            capability=spec.capability,
            template=spec.template,
            node=attempts[-1].node if attempts else spec.target_node,
            start_time=status.start_time,
            finish_time=condition.last_transition_time if condition else None,
            attempts=len(attempts),
        ),
        phase=phase,
        reason=condition.reason if condition else "",
        message=scrubbed(condition.message) if condition else "",
        log_tail=_log(attempts[-1].log_tail) if attempts and not succeeded else None,
        model=status.model if succeeded else None,
        results=tuple(_results(message)) if succeeded else (),
        places=tuple(_places(message, access)),
        command=typed(
            *("kubectl", "describe", "trainingprocess", meta.name, "--namespace", meta.namespace)
        ),
    )


def _log(tail: str | None) -> str | None:
    return scrubbed(tail)[-LONGEST_LOG:] if tail else None


def _results(message: Message) -> Iterable[Result]:
    found = message.process.status.evaluation
    splits = (("test", found.test), ("dev", found.dev)) if found is not None else ()
    for split, numbers in splits:
        if numbers is not None and numbers.metrics:
            yield Result(split=split, metrics={item.name: item.value for item in numbers.metrics})


def _places(message: Message, access: StoreAccess) -> Iterable[Place]:
    process, artefacts = message.process, message.process.status.artefacts
    if artefacts is None:
        return
    namespace = ("--namespace", process.metadata.namespace)
    if artefacts.metrics is not None:
        # Needs no credentials of the store.
        show = typed(
            *("kubectl", "get", "trainingprocess", process.metadata.name, *namespace),
            *("--output", "jsonpath={.status.evaluation}"),
        )
        yield access.place("metrics", artefacts.metrics.uri, show)
    file, model = artefacts.archive or artefacts.weights, process.status.model
    if file is not None:
        download = None if model is None else typed("trainyard", "models", "download", model)
        yield access.place("model", file.uri, download and f"{download} {typed(*namespace)}")
    if artefacts.log is not None:
        yield access.place("log", artefacts.log.uri)
