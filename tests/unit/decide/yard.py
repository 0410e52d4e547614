"""A yard of nodes in memory, in which `decide_process` decides and time passes as it is told.

What a cluster would do is done here by the shortest way: a started Job has a pod at once, a
suspended one has none, a finished attempt frees the lock of its node.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from tests.unit.builders import (
    JOB,
    LEASE,
    NODE,
    NOW,
    POD,
    SETTINGS,
    capability,
    compared,
    ended_pod,
    manifest,
    process,
    ready_datasets,
    template,
)
from trainyard.api.process import TrainingProcess
from trainyard.api.process_status import ProcessPhase, QueueStatus, TrainingProcessStatus
from trainyard.api.report import ProgressReport
from trainyard.api.run import RunFile
from trainyard.decide.actions import CreateTrainingJob, DeleteJob, StartJob, SuspendJob
from trainyard.decide.facts import (
    JobFacts,
    LeaseFacts,
    PodFacts,
    ProcessFacts,
    ReceivedReport,
    VerifiedArtefacts,
)
from trainyard.decide.process import as_rival, decide_process

CAPABILITY, TEMPLATE, DATASETS, DATA = capability(), template(), ready_datasets(), compared()


@dataclass
class Run:
    """A process and what the cluster has of it."""

    process: TrainingProcess
    expected: float | None
    """Seconds that runs like it took."""
    job: JobFacts | None = None
    pod: PodFacts | None = None
    run: RunFile | None = None
    ends: datetime | None = None
    """When the training that runs will be over."""
    told: datetime | None = None
    """What its trainer says about that."""
    verdict: VerifiedArtefacts | None = None

    @property
    def status(self) -> TrainingProcessStatus:
        return self.process.status

    @property
    def phase(self) -> ProcessPhase | None:
        return self.status.phase

    @property
    def queue(self) -> QueueStatus | None:
        return self.status.queue


@dataclass
class Yard:
    """Processes by name, locks by node, and the time."""

    now: datetime = NOW
    runs: dict[str, Run] = field(default_factory=dict)
    locks: dict[str, LeaseFacts] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    """Names in the order in which they got their node."""

    def create(self, name: str, expected: float | None, **spec: Any) -> None:
        """Apply a process."""
        stamp = self.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        metadata = {"creationTimestamp": stamp}
        made = process(name, uid=f"uid-of-{name}", metadata=metadata, **spec)
        self.runs[name] = Run(made, expected)

    def change(self, name: str, **spec: Any) -> None:
        """Edit what may be edited."""
        run = self.runs[name]
        changed = run.process.spec.model_copy(update=spec)
        run.process = run.process.model_copy(update={"spec": changed})

    def delete(self, name: str) -> None:
        """Remove a process with all that belongs to it."""
        key = self.runs.pop(name).process.key
        self.locks = {node: lock for node, lock in self.locks.items() if lock.holder != key}

    def end(self, name: str, *, exit_code: int = 0) -> None:
        """The training that runs ends by itself."""
        run = self.runs[name]
        assert run.job is not None and run.pod is not None
        failed = bool(exit_code)
        phase = "Failed" if failed else "Succeeded"
        run.pod = ended_pod(run.pod, phase, exit_code=exit_code)
        run.job = replace(run.job, complete=not failed, failed=failed)
        run.ends = run.told = None
        if not failed and run.run is not None:
            run.verdict = _published(run.process, run.run)

    def settle(self) -> list[tuple[str, TrainingProcessStatus, TrainingProcessStatus]]:
        """Passes over all until nothing changes; the writes, with what was there before."""
        writes = []
        for _ in range(12):
            changed = list(self._pass())
            writes += changed
            if not changed:
                return writes
        raise AssertionError(f"it never settles: {[name for name, *_ in changed]}")

    def _pass(self) -> Iterator[tuple[str, TrainingProcessStatus, TrainingProcessStatus]]:
        for name, run in list(self.runs.items()):
            old = run.status
            decision = decide_process(self._facts(run), self.now)
            for action in decision.actions:
                self._act(name, run, action)
            wire = decision.status.to_wire()
            if wire != old.to_wire():
                stored = TrainingProcessStatus.model_validate(wire)
                run.process = run.process.model_copy(update={"status": stored})
                yield name, old, stored
            if run.status.attempts and run.status.attempts[-1].finish_time is not None:
                node = run.process.spec.target_node
                if node in self.locks and self.locks[node].holder == run.process.key:
                    del self.locks[node]

    def _facts(self, run: Run) -> ProcessFacts:
        spec, attempts = run.process.spec, run.status.attempts
        holder = self.locks.get(spec.target_node)
        rivals = tuple(
            as_rival(other.process, other.expected)
            for other in self.runs.values()
            if other is not run
            and other.process.spec.target_node == spec.target_node
            and not (other.phase is not None and other.phase.terminal)
        )
        return ProcessFacts(
            process=run.process,
            settings=SETTINGS,
            capability=CAPABILITY,
            template=TEMPLATE,
            datasets=DATASETS,
            data=DATA,
            node=replace(NODE, name=spec.target_node),
            job=run.job,
            run=run.run if attempts else None,
            base=run.run if attempts else None,
            pod=run.pod,
            lease=holder,
            rivals=rivals,
            expected_seconds=run.expected,
            report=self._report(run),
            verdict=run.verdict,
        )

    def _report(self, run: Run) -> ReceivedReport | None:
        if run.told is None:
            return None
        left = max(0, round((run.told - self.now).total_seconds()))
        report = ProgressReport(
            kind="run",
            uid=run.process.metadata.uid,
            attempt=len(run.status.attempts),
            stage="train",
            percent=1,
            epoch=0,
            epochs=30,
            estimated_remaining_seconds=left,
        )
        return ReceivedReport(report, self.now)

    def _act(self, name: str, run: Run, action: object) -> None:
        node = run.process.spec.target_node
        match action:
            case CreateTrainingJob():
                uid = f"job-{name}-{action.attempt}"
                run.job = replace(JOB, name=uid, uid=uid, owner_uid=run.process.metadata.uid)
                run.run, run.pod = action.run, None
            case StartJob():
                assert node not in self.locks, f"{name} starts on a node that is held"
                assert run.job is not None
                self.locks[node] = replace(
                    LEASE, node=node, holder=run.process.key, holder_job_uid=run.job.uid
                )
                run.job = replace(run.job, suspended=False)
                run.pod = replace(POD, name=f"pod-{name}", node=node, job_uid=run.job.uid)
                run.ends = self.now + timedelta(seconds=run.expected or 1800)
                self.started.append(name)
            case SuspendJob() if run.job is not None and run.pod is not None:
                run.job = replace(run.job, suspended=True)
                run.pod = ended_pod(run.pod, exit_code=75)
                run.ends = run.told = None
            case DeleteJob():
                run.job = None


def _published(made_by: TrainingProcess, run: RunFile) -> VerifiedArtefacts:
    found = manifest(
        uid=made_by.metadata.uid,
        attempt=run.attempt,
        run_digest=run.digest,
        fingerprint=run.fingerprint,
    )
    return VerifiedArtefacts(run.output, found)
