"""Processes that have ended, as the passes make them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.unit.builders import (
    COMPLETE_JOB,
    FAILED_JOB,
    LEASE,
    POD,
    SETTINGS,
    after,
    attempted,
    ended_pod,
    process,
    verified,
    with_status,
)
from trainyard.api.process import TrainingProcess
from trainyard.api.process_status import NotificationChannel, ProcessPhase
from trainyard.api.report import LastWords
from trainyard.decide.facts import ProcessFacts
from trainyard.decide.outbox import Message
from trainyard.decide.process import decide_process
from trainyard.decide.recipients import NotificationRules, Recipient

RULES = NotificationRules(mail=True)
TEAM = "team@example.org"
FILES = {
    "weights": ("model.pth", "1"),
    "config": ("config.yaml", "2"),
    "archive": ("model.zip", "3"),
    "metrics": ("metrics.json", "4"),
    "curves": ("curves.png", "5"),
    "log": ("train.log", "6"),
}


def ending(*, good: bool = True, rules: NotificationRules = RULES, **spec: Any) -> ProcessFacts:
    """Facts of the pass that ends a process."""
    settings = replace(SETTINGS, notifications=rules)
    if not good:
        words = LastWords(
            reason="GPUOutOfMemory",
            message="the GPU's memory did not suffice: use a smaller batchSize",
            log_tail="epoch 3\nRuntimeError: <b>CUDA out of memory</b> in a & b\n.\nlast line",
        )
        pod = ended_pod(POD, exit_code=1, last_words=words)
        known = attempted(process=process(**spec), job=FAILED_JOB, lease=LEASE, pod=pod)
        return replace(known, settings=settings)
    pod = ended_pod(POD, "Succeeded", exit_code=0)
    known = attempted(process=process(**spec), job=COMPLETE_JOB, lease=LEASE, pod=pod)
    files = [
        {"name": name, "sha256": digit * 64, "size_bytes": 100} for name, digit in FILES.values()
    ]
    roles = {role: name for role, (name, _) in FILES.items()}
    verdict = verified(known, files=files, roles=roles)
    return replace(known, settings=settings, verdict=verdict)


def ended(*, good: bool = True, rules: NotificationRules = RULES, **spec: Any) -> ProcessFacts:
    """Facts in the passes after the end."""
    known = ending(good=good, rules=rules, **spec)
    for seconds in range(60, 66):
        if known.process.status.phase in (ProcessPhase.SUCCEEDED, ProcessPhase.FAILED):
            return known
        known = with_status(known, decide_process(known, after(seconds)).status)
    raise AssertionError(known.process.status.phase)


def message(
    known: ProcessFacts, address: str = TEAM, channel: str = "Email", attempt: int = 1
) -> Message:
    recipient = Recipient(NotificationChannel(channel), address)
    phase = known.process.status.phase
    assert phase is not None
    return Message(known.process, recipient, recipient.id(phase), attempt)


def of(known: ProcessFacts) -> TrainingProcess:
    return known.process
