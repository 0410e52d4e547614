"""The whole life of a process, and what holds in every state of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.builders import (
    COMPLETE_JOB,
    FAILED_JOB,
    JOB,
    LEASE,
    NODE,
    NOW,
    OTHERS_LEASE,
    POD,
    RUNNING_JOB,
    after,
    attempted,
    capability,
    ended_pod,
    facts,
    last_words,
    process,
    report,
    template,
    verified,
    with_status,
)
from trainyard.api.process_status import ProcessPhase, TrainingProcessStatus
from trainyard.api.reasons import ConditionType
from trainyard.decide.actions import CreateModel, CreateTrainingJob, StartJob, SuspendJob
from trainyard.decide.conditions import find
from trainyard.decide.events import happenings
from trainyard.decide.facts import Mismatch, ProcessFacts, Rival, Unavailable
from trainyard.decide.process import decide_process, when_not_created, when_refused

RIVAL = Rival("demo/older", "other-uid", ProcessPhase.QUEUED, True, False, 0, after(-7200))
PENDING = replace(POD, phase="Pending", node="")
ENDED = ended_pod(POD, "Succeeded", exit_code=0)
BROKEN = ended_pod(POD, exit_code=65, last_words=last_words("BadData", "bad"))
DONE = attempted(job=COMPLETE_JOB, lease=LEASE, pod=ENDED)
GPU = template(resources={"gpus": 1})

STATES: dict[str, ProcessFacts] = {
    "a draft": facts(process=process(suspend=True)),
    "a capability is missing": facts(capability=None),
    "a dataset is missing": facts(datasets={}),
    "the store does not answer": facts(data=Unavailable("503")),
    "validation failed": facts(capability=capability("owl")),
    "no such node": facts(node=None),
    "too few GPUs": facts(template=GPU),
    "second in the queue": facts(rivals=(RIVAL,)),
    "the node is held": facts(lease=OTHERS_LEASE),
    "its Job's name is taken": facts(job=replace(JOB, owner_uid="x")),
    "its Job runs before the record": facts(job=RUNNING_JOB, lease=OTHERS_LEASE),
    "the Job is created": attempted(),
    "the Job is created and the node is held": attempted(lease=OTHERS_LEASE),
    "the lock is held and the Job is suspended": attempted(lease=LEASE),
    "started without a pod": attempted(job=RUNNING_JOB, lease=LEASE),
    "the pod is pending": attempted(job=RUNNING_JOB, lease=LEASE, pod=PENDING),
    "it runs": attempted(job=RUNNING_JOB, lease=LEASE, pod=POD),
    "it runs and reports": attempted(job=RUNNING_JOB, lease=LEASE, pod=POD, report=report()),
    "it runs without a lock": attempted(job=RUNNING_JOB, pod=POD),
    "it runs and another has the lock": attempted(job=RUNNING_JOB, pod=POD, lease=OTHERS_LEASE),
    "the pod has ended": attempted(job=RUNNING_JOB, lease=LEASE, pod=ENDED),
    "the artefacts cannot be read": replace(DONE, verdict=Unavailable("503")),
    "the artefacts are wrong": replace(DONE, verdict=Mismatch("wrong")),
    "the artefacts are right": replace(DONE, verdict=verified(DONE)),
    "the Job failed": attempted(job=FAILED_JOB, lease=LEASE, pod=BROKEN),
    "the Job was deleted": attempted(job=None, lease=LEASE),
    "the run file was deleted": attempted(run=None),
}


@pytest.mark.parametrize("known", STATES.values(), ids=STATES)
def test_deciding_again_with_the_written_status_changes_nothing(known: ProcessFacts) -> None:
    first = decide_process(known, after(5))
    # Actions that are done change the facts; what is left is the status that was written.
    if any(isinstance(item, CreateTrainingJob) for item in first.actions):
        return
    second = decide_process(with_status(known, first.status), after(20))
    assert second.status.to_wire() == first.status.to_wire()
    assert second.events == ()


@pytest.mark.parametrize("known", STATES.values(), ids=STATES)
def test_decision_is_a_function_of_its_facts(known: ProcessFacts) -> None:
    assert decide_process(known, after(5)) == decide_process(known, after(5))


@pytest.mark.parametrize("known", STATES.values(), ids=STATES)
def test_status_fits_its_own_schema_and_names_its_phase(known: ProcessFacts) -> None:
    status = decide_process(known, after(5)).status
    assert TrainingProcessStatus.model_validate(status.to_wire()) == status
    assert status.phase is not None
    assert status.observed_generation == 1
    types = [item.type for item in status.conditions]
    assert len(types) == len(set(types))


@pytest.mark.parametrize("known", STATES.values(), ids=STATES)
def test_events_have_a_reason_and_a_message(known: ProcessFacts) -> None:
    for event in decide_process(known, after(5)).events:
        assert event.reason and event.message


@pytest.mark.parametrize("known", STATES.values(), ids=STATES)
def test_started_only_with_an_attempt_on_record_and_created_only_as_the_last_or_next(
    known: ProcessFacts,
) -> None:
    for action in decide_process(known, after(5)).actions:
        if isinstance(action, StartJob):
            assert [item.number for item in known.process.status.attempts] == [action.attempt]
        if isinstance(action, CreateTrainingJob):
            last = len(known.process.status.attempts)
            assert action.attempt in (last, last + 1)


@pytest.mark.parametrize("known", STATES.values(), ids=STATES)
def test_live_job_beside_the_lock_of_another_is_suspended(known: ProcessFacts) -> None:
    job = known.job
    if job is None or not job.live or known.lease != OTHERS_LEASE:
        return
    assert decide_process(known, after(5)).actions == (SuspendJob(job),)


@pytest.mark.parametrize("known", STATES.values(), ids=STATES)
def test_what_waits_for_no_event_has_a_time_to_look_again(known: ProcessFacts) -> None:
    """Secrets, locks, stores and Jobs of others are not watched."""
    status = decide_process(known, after(5))
    unwatched = {"StoreSecretMissing", "StoreUnavailable", "JobNameTaken", "InsufficientGPUs"}
    shown = status.status.display
    waits_unwatched = shown is not None and shown.reason in unwatched
    ended = status.status.phase is not None and status.status.phase.terminal
    if waits_unwatched and not ended:
        assert status.look_again_at is not None


@pytest.mark.parametrize("phase", [ProcessPhase.SUCCEEDED, ProcessPhase.FAILED])
@pytest.mark.parametrize("known", STATES.values(), ids=STATES)
def test_terminal_phase_never_changes(known: ProcessFacts, phase: ProcessPhase) -> None:
    ended = with_status(known, known.process.status.model_copy(update={"phase": phase}))
    decision = decide_process(ended, after(9999))
    assert decision.status == ended.process.status
    assert (decision.actions, decision.events, decision.look_again_at) == ((), (), None)


@pytest.mark.parametrize("known", STATES.values(), ids=STATES)
def test_nothing_is_done_for_an_object_that_is_being_deleted(known: ProcessFacts) -> None:
    meta = known.process.metadata.model_copy(update={"deletion_timestamp": NOW})
    gone = replace(known, process=known.process.model_copy(update={"metadata": meta}))
    decision = decide_process(gone, after(5))
    assert (decision.status, decision.actions) == (gone.process.status, ())


@pytest.mark.parametrize("known", STATES.values(), ids=STATES)
def test_finished_is_true_with_either_end_and_only_then(known: ProcessFacts) -> None:
    status = decide_process(known, after(5)).status
    assert status.phase is not None
    finished = find(status.conditions, ConditionType.FINISHED)
    ends = [
        item
        for type_ in (ConditionType.COMPLETE, ConditionType.FAILED)
        if (item := find(status.conditions, type_)) is not None
    ]
    assert (finished is not None) == status.phase.terminal == bool(ends)


@pytest.mark.parametrize("known", STATES.values(), ids=STATES)
def test_records_are_kept(known: ProcessFacts) -> None:
    """What is resolved and which attempts there were never changes, whatever the inputs do."""
    status = known.process.status
    if not status.attempts:
        return
    changed = replace(known, template=None, capability=None, datasets={}, node=None)
    after_all = decide_process(changed, after(5)).status
    assert after_all.resolved == status.resolved
    assert [item.number for item in after_all.attempts] == [1]
    assert after_all.attempts[0].start_time == status.attempts[0].start_time


def test_whole_life() -> None:
    """Applied, checked, queued, created, started, followed, verified, succeeded."""
    known = facts(datasets={})
    phases: list[str] = []
    done: list[str] = []

    def step(seconds: float, **changes: Any) -> None:
        nonlocal known
        known = replace(known, **changes)
        decision = decide_process(known, after(seconds))
        for action in decision.actions:
            done.append(type(action).__name__)
            if isinstance(action, CreateTrainingJob):
                known = replace(known, run=action.run)
        known = with_status(known, decision.status)
        phases.append(str(decision.status.phase))

    step(0)
    step(10, datasets=facts().datasets, lease=OTHERS_LEASE)
    step(20, lease=None)
    step(21, job=JOB)
    step(22, job=RUNNING_JOB, lease=LEASE)
    step(25, pod=PENDING)
    step(30, pod=POD, report=report())
    step(600, pod=ENDED)
    step(601, job=COMPLETE_JOB)
    step(602, verdict=verified(known))
    step(900, lease=None, pod=None, job=None, report=None)
    assert phases == [
        *("Queued", "Queued", "Starting", "Starting", "Starting", "Starting", "Running"),
        *("Running", "Running", "Succeeded", "Succeeded"),
    ]
    assert done == [CreateTrainingJob.__name__, StartJob.__name__, CreateModel.__name__]
    assert known.process.status.attempts[0].finish_time == after(602)


class TestRefusal:
    """A Job that could not be started just now: the lock looked again and said no."""

    def refused(self, known: ProcessFacts, seconds: float, message: str) -> TrainingProcessStatus:
        decided = decide_process(known, after(seconds)).status
        return when_refused(known.process, decided, message, after(seconds))

    @pytest.mark.parametrize(
        "known",
        [
            pytest.param(attempted(lease=LEASE), id="a suspended Job"),
            pytest.param(attempted(job=RUNNING_JOB, pod=POD), id="a Job whose lock was removed"),
        ],
    )
    def test_is_written_once_however_often_it_is_repeated(self, known: ProcessFacts) -> None:
        first = self.refused(known, 5, "another training is live on node gpu-1: pod team/x")
        for seconds in (10, 15):
            again = self.refused(
                with_status(known, first),
                seconds,
                "another training is live on node gpu-1: pod team/x",
            )
            assert again.to_wire() == first.to_wire()
            assert happenings(first, again) == ()

    def test_says_why(self) -> None:
        known = attempted(lease=LEASE)
        status = self.refused(known, 5, "node gpu-1 was taken by another process just now")
        found = find(status.conditions, ConditionType.NODE_RESERVED)
        assert found is not None
        assert (found.status, found.reason, found.message) == (
            "False",
            "WaitingForNode",
            "node gpu-1 was taken by another process just now",
        )


class TestJobThatIsNotAccepted:
    MESSAGE = 'jobs.batch "tp-1" is forbidden: exceeded quota'

    def refused(self, known: ProcessFacts, seconds: float) -> TrainingProcessStatus:
        decided = decide_process(known, after(seconds)).status
        return when_not_created(known.process, decided, self.MESSAGE, after(seconds))

    def test_records_no_attempt_and_says_why(self) -> None:
        status = self.refused(facts(), 5)
        assert (status.phase, status.attempts, status.resolved) == (ProcessPhase.QUEUED, (), None)
        for type_ in (ConditionType.NODE_RESERVED, ConditionType.RUNNING):
            found = find(status.conditions, type_)
            assert found is not None
            assert (found.status, found.reason) == ("False", "PodRefused")
            assert found.message == f"the Job was refused: {self.MESSAGE}"
        assert status.display is not None
        assert status.display.reason == "PodRefused"

    def test_stays_in_the_queue_as_validated(self) -> None:
        found = find(self.refused(facts(), 5).conditions, ConditionType.VALIDATED)
        assert found is not None
        assert found.status == "True"

    def test_is_written_once_however_often_it_is_repeated(self) -> None:
        first = self.refused(facts(), 5)
        again = self.refused(with_status(facts(), first), 60)
        assert again.to_wire() == first.to_wire()

    def test_is_over_when_it_is_accepted(self) -> None:
        waiting = with_status(facts(), self.refused(facts(), 5))
        decision = decide_process(waiting, after(60))
        assert [type(item) for item in decision.actions] == [CreateTrainingJob]
        known = with_status(
            waiting, decision.status, job=RUNNING_JOB, lease=LEASE, pod=POD, node=NODE
        )
        found = find(decide_process(known, after(70)).status.conditions, ConditionType.RUNNING)
        assert found is not None
        assert found.status == "True"
