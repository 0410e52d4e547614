"""From the wish to stop, or from a failure, to the next attempt."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.builders import (
    COMPLETE_JOB,
    FAILED_JOB,
    JOB,
    JOB_UID,
    LEASE,
    LOCATION,
    NODE,
    NOW,
    POD,
    RUNNING_JOB,
    SETTINGS,
    after,
    attempted,
    ended_pod,
    facts,
    last_words,
    process,
    report,
    run_of,
    verified,
    with_status,
)
from trainyard.api.process_status import ProcessPhase, TrainingProcessStatus
from trainyard.api.reasons import ConditionType, Reason
from trainyard.decide.actions import (
    CreateTrainingJob,
    DeleteJob,
    DeletePod,
    StartJob,
    SuspendJob,
)
from trainyard.decide.conditions import find
from trainyard.decide.facts import (
    Mismatch,
    ProcessFacts,
    StartFailure,
    Unavailable,
    VerifiedCheckpoint,
)
from trainyard.decide.process import decide_process
from trainyard.decide.queue import as_rival

CHECKPOINT = VerifiedCheckpoint(f"{LOCATION}/checkpoints/000012", "c" * 64, 12, 1)
STOPPED = ended_pod(
    POD, exit_code=75, deletion_time=after(160), last_words=last_words("Stopped", "stopped at 12")
)


def told(status: TrainingProcessStatus, type_: ConditionType) -> tuple[str, str, str]:
    found = find(status.conditions, type_)
    assert found is not None, f"no condition {type_}"
    return str(found.status), found.reason, found.message


def running(**spec: Any) -> ProcessFacts:
    """A run that the operator has seen running."""
    known = attempted(process=process(**spec))
    known = replace(known, job=RUNNING_JOB, lease=LEASE, pod=POD)
    return with_status(known, decide_process(known, after(5)).status)


def wish(known: ProcessFacts, suspend: bool) -> ProcessFacts:
    """The same process after somebody set spec.suspend."""
    spec = known.process.spec.model_copy(update={"suspend": suspend})
    return replace(known, process=known.process.model_copy(update={"spec": spec}))


class TestStop:
    def test_from_running_to_suspended_and_on_to_the_next_attempt(self) -> None:
        known = wish(running(), True)
        run = run_of(known)
        first = decide_process(known, after(40))
        # Why it ends is on record before anything is done about it.
        assert first.actions == ()
        assert first.status.phase is ProcessPhase.SUSPENDING
        assert (first.status.attempts[0].reason, first.status.attempts[0].finish_time) == (
            "Stopped",
            None,
        )
        known = with_status(known, first.status)
        assert decide_process(known, after(41)).actions == (SuspendJob(RUNNING_JOB),)
        known = replace(known, job=JOB, pod=replace(POD, deletion_time=after(160)))
        waiting = decide_process(known, after(42))
        assert waiting.actions == ()
        assert told(waiting.status, ConditionType.RUNNING)[1] == "Stopping"
        known = replace(known, pod=STOPPED, checkpoint=CHECKPOINT)
        ended = decide_process(known, after(60)).status
        assert ended.phase is ProcessPhase.SUSPENDING
        assert (ended.attempts[0].reason, ended.attempts[0].message) == ("Stopped", "stopped at 12")
        assert ended.attempts[0].finish_time == after(60)
        assert ended.checkpoint is not None and ended.checkpoint.epoch == 12
        known = with_status(known, ended)
        leaving = decide_process(known, after(61))
        assert leaving.actions == (DeleteJob(JOB),)
        assert leaving.status.phase is ProcessPhase.SUSPENDING
        known = replace(with_status(known, leaving.status), job=None, pod=None, lease=None)
        rest = decide_process(known, after(70))
        assert rest.actions == ()
        assert rest.status.phase is ProcessPhase.SUSPENDED
        assert told(rest.status, ConditionType.SUSPENDED) == (
            "True",
            "StoppedByUser",
            "stopped after epoch 12: set spec.suspend to false to go on",
        )
        known = wish(with_status(known, rest.status), False)
        queued = decide_process(known, after(100)).status
        assert queued.phase is ProcessPhase.QUEUED
        upgraded = replace(SETTINGS, image="trainer:2")
        known = replace(with_status(known, queued), base=run, run=None, settings=upgraded)
        again = decide_process(known, after(101))
        (action,) = again.actions
        assert isinstance(action, CreateTrainingJob)
        assert action.attempt == 2 and action.run.resume is not None
        assert action.image == "trainer:1"
        assert (action.run.resume.location, action.run.resume.epoch) == (CHECKPOINT.location, 12)
        assert again.status.phase is ProcessPhase.STARTING
        assert [item.number for item in again.status.attempts] == [1, 2]
        assert again.status.attempts[1].resumed_from_epoch == 12
        assert again.status.attempts[1].location == action.run.output != LOCATION

    def test_waits_for_the_kubelets_word_however_long_it_takes(self) -> None:
        known = wish(running(), True)
        known = with_status(known, decide_process(known, after(40)).status)
        lost = replace(
            known,
            job=JOB,
            pod=replace(POD, deletion_time=after(160)),
            node=replace(NODE, ready=False),
        )
        decision = decide_process(lost, after(5000))
        assert decision.actions == ()
        assert decision.status.phase is ProcessPhase.SUSPENDING
        state, reason, message = told(decision.status, ConditionType.RUNNING)
        assert (state, reason) == ("False", "AwaitingEvidence")
        assert "trainyard nodes release gpu-1" in message

    def test_waits_for_the_store_before_the_end_is_written(self) -> None:
        known = wish(running(), True)
        known = with_status(known, decide_process(known, after(40)).status)
        known = replace(known, job=JOB, pod=STOPPED, checkpoint=Unavailable("the store said 503"))
        decision = decide_process(known, after(60))
        assert decision.status.attempts[0].finish_time is None
        assert told(decision.status, ConditionType.RUNNING)[1:] == (
            "StoreUnavailable",
            "the store said 503",
        )
        assert decision.look_again_at is not None

    def test_of_a_run_that_was_done_before_it_heard_of_it_is_a_success(self) -> None:
        known = wish(running(), True)
        known = with_status(known, decide_process(known, after(40)).status)
        known = replace(known, job=COMPLETE_JOB, pod=ended_pod(POD, "Succeeded"))
        status = decide_process(replace(known, verdict=verified(known)), after(60)).status
        assert status.phase is ProcessPhase.SUCCEEDED

    @pytest.mark.parametrize(
        "job",
        [
            pytest.param(JOB, id="its Job is suspended"),
            pytest.param(FAILED_JOB, id="its Job failed"),
            pytest.param(None, id="its Job was deleted"),
        ],
    )
    @pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
    def test_that_meets_a_trainer_which_has_just_published_loses_no_model(
        self, job: Any, phase: str
    ) -> None:
        known = wish(running(), True)
        known = with_status(known, decide_process(known, after(40)).status)
        known = replace(known, job=job, pod=ended_pod(POD, phase, deletion_time=after(50)))
        status = decide_process(replace(known, verdict=verified(known)), after(60)).status
        assert status.phase is ProcessPhase.SUCCEEDED

    def test_without_a_manifest_in_the_store_is_a_stop(self) -> None:
        known = wish(running(), True)
        known = with_status(known, decide_process(known, after(40)).status)
        known = replace(known, job=JOB, pod=STOPPED, verdict=Mismatch("no manifest"))
        status = decide_process(known, after(60)).status
        assert status.attempts[0].reason == "Stopped"

    def test_before_the_start_removes_the_job_that_a_late_rival_could_still_start(self) -> None:
        known = wish(attempted(lease=LEASE), True)
        known = with_status(known, decide_process(known, after(1)).status)
        ended = decide_process(known, after(2)).status
        assert ended.attempts[0].message == "stopped before it began"
        leaving = decide_process(with_status(known, ended), after(3))
        assert leaving.actions == (DeleteJob(JOB),)
        known = replace(with_status(known, leaving.status), job=None, lease=None)
        rest = decide_process(known, after(4)).status
        assert rest.phase is ProcessPhase.SUSPENDED
        assert told(rest, ConditionType.SUSPENDED)[2] == (
            "stopped before a checkpoint was written: set spec.suspend to false to go on"
        )

    def test_that_is_taken_back_at_once_ends_the_attempt_and_queues_the_next(self) -> None:
        known = wish(running(), True)
        known = wish(with_status(known, decide_process(known, after(40)).status), False)
        known = replace(known, job=JOB, pod=STOPPED, checkpoint=CHECKPOINT)
        assert decide_process(known, after(60)).status.phase is ProcessPhase.QUEUED

    def test_job_that_somebody_else_suspended_ends_its_attempt(self) -> None:
        decision = decide_process(replace(running(), job=JOB), after(40))
        assert decision.status.attempts[0].reason == "Stopped"
        assert decision.actions == ()


class TestEviction:
    def test_goes_on_from_the_checkpoint_without_using_a_retry(self) -> None:
        known = replace(running(), job=FAILED_JOB, pod=STOPPED, checkpoint=CHECKPOINT)
        status = decide_process(known, after(60)).status
        assert status.phase is ProcessPhase.QUEUED
        assert status.attempts[0].reason == "Evicted"
        assert status.checkpoint is not None

    def test_that_killed_the_trainer_goes_on_too(self) -> None:
        pod = ended_pod(POD, exit_code=137, deletion_time=after(20))
        status = decide_process(replace(running(), job=FAILED_JOB, pod=pod), after(60)).status
        assert (status.phase, status.attempts[0].reason) == (ProcessPhase.QUEUED, "Evicted")


class TestRetry:
    BROKEN = ended_pod(POD, exit_code=1, log_tail="Traceback\nValueError: x")

    def failed(self, **spec: Any) -> ProcessFacts:
        return replace(running(**spec), job=FAILED_JOB, pod=self.BROKEN, checkpoint=CHECKPOINT)

    def test_backs_off_then_queues_then_makes_the_next_attempt(self) -> None:
        known = self.failed(retry={"limit": 1})
        run = run_of(known)
        status = decide_process(known, after(60)).status
        assert status.phase is ProcessPhase.QUEUED
        assert status.attempts[0].log_tail == "Traceback\nValueError: x"
        known = replace(with_status(known, status), lease=None, base=run)
        off = decide_process(known, after(61))
        assert told(off.status, ConditionType.NODE_RESERVED)[1] == "BackingOff"
        assert off.look_again_at == after(70)
        known = with_status(known, off.status)
        assert not as_rival(known.process).validated
        queued = decide_process(known, after(71))
        assert queued.actions == ()
        known = with_status(known, queued.status)
        assert as_rival(known.process).validated
        (action,) = decide_process(known, after(72)).actions
        assert isinstance(action, CreateTrainingJob) and action.attempt == 2

    def test_after_the_last_one_names_limit_and_cause(self) -> None:
        known = self.failed(retry={"limit": 1})
        first = decide_process(known, after(60)).status
        once = first.attempts[0]
        second = once.model_copy(update={"number": 2, "finish_time": None, "reason": None})
        twice = first.model_copy(update={"attempts": (once, second), "phase": ProcessPhase.RUNNING})
        status = decide_process(with_status(known, twice), after(120)).status
        assert status.phase is ProcessPhase.FAILED
        state, reason, message = told(status, ConditionType.FAILED)
        assert (state, reason) == ("True", "RetriesExhausted")
        assert message.startswith("attempt 2 failed too, and retry.limit is 1: TrainerError: ")

    def test_without_a_limit_fails_with_the_cause(self) -> None:
        status = decide_process(self.failed(), after(60)).status
        assert told(status, ConditionType.FAILED)[1] == "TrainerError"

    def test_halves_the_batch_when_the_gpu_ran_out_of_memory(self) -> None:
        known = self.failed(retry={"limit": 2, "shrinkBatchOnOutOfMemory": True})
        run = run_of(known)
        known = replace(known, pod=ended_pod(POD, exit_code=81))
        known = with_status(known, decide_process(known, after(60)).status)
        known = replace(known, lease=None, base=run)
        known = with_status(known, decide_process(known, after(80)).status)
        decision = decide_process(known, after(81))
        (action,) = decision.actions
        assert isinstance(action, CreateTrainingJob)
        half = run.template.hyperparameters.batch_size // 2
        assert action.run.template.hyperparameters.batch_size == half
        assert decision.status.attempts[1].batch_size == half

    def test_waits_until_its_own_lock_is_freed(self) -> None:
        known = self.failed(retry={"limit": 1})
        known = with_status(known, decide_process(known, after(60)).status)
        decision = decide_process(known, after(80))
        assert decision.actions == ()
        assert told(decision.status, ConditionType.NODE_RESERVED)[1] == "AwaitingEvidence"

    def test_on_a_quarantined_node_waits_and_says_why(self) -> None:
        lease = replace(LEASE, quarantined="node gpu-1 is quarantined since 12:00")
        known = self.failed(retry={"limit": 1})
        known = with_status(known, decide_process(known, after(60)).status)
        known = replace(known, lease=lease, pod=None)
        known = with_status(known, decide_process(known, after(80)).status)
        decision = decide_process(known, after(81))
        assert decision.actions == ()
        assert told(decision.status, ConditionType.NODE_RESERVED)[1:] == (
            "Quarantined",
            "node gpu-1 is quarantined since 12:00",
        )

    def test_whose_job_name_somebody_took_waits_and_names_the_job(self) -> None:
        known = self.failed(retry={"limit": 1})
        known = with_status(known, decide_process(known, after(60)).status)
        known = replace(known, lease=None, next_job=replace(JOB, name="tp-x-2", owner_uid="x"))
        decision = decide_process(known, after(80))
        assert decision.actions == ()
        assert told(decision.status, ConditionType.RUNNING)[1] == "JobNameTaken"


class TestLostNode:
    def test_is_told_as_such_and_waits_for_no_evidence(self) -> None:
        pod = replace(POD, phase="Failed", disruption="DeletionByPodGC", deletion_time=after(20))
        known = replace(running(), job=FAILED_JOB, pod=pod, node=None)
        status = decide_process(known, after(60)).status
        assert status.phase is ProcessPhase.FAILED
        assert told(status, ConditionType.FAILED)[1] == "NodeLost"

    def test_run_is_kept_while_its_node_is_only_unreachable(self) -> None:
        known = replace(running(), node=replace(NODE, ready=False))
        decision = decide_process(known, after(400))
        assert decision.actions == ()
        assert decision.status.phase is ProcessPhase.RUNNING
        state, reason, _ = told(decision.status, ConditionType.RUNNING)
        assert (state, reason) == ("Unknown", "NodeNotReady")


class TestDeletedJob:
    def test_leaves_no_pod_behind_that_nobody_looks_after(self) -> None:
        known = replace(running(), job=None)
        decision = decide_process(known, after(60))
        assert decision.actions == (DeletePod(POD),)
        assert decision.status.phase is ProcessPhase.SUSPENDING

    def test_ends_the_run_when_the_pod_is_over(self) -> None:
        known = replace(running(), job=None, pod=STOPPED, checkpoint=CHECKPOINT)
        status = decide_process(known, after(60)).status
        assert told(status, ConditionType.FAILED)[1] == "JobDeleted"


class TestClocks:
    def test_start_deadline_passes_while_it_waits(self) -> None:
        known = attempted(process=process(startDeadlineSeconds=30))
        known = with_status(known, known.process.status, lease=replace(LEASE, holder_job_uid="x"))
        waiting = decide_process(known, after(10))
        assert waiting.look_again_at == after(30)
        status = decide_process(with_status(known, waiting.status), after(31)).status
        assert told(status, ConditionType.FAILED)[1] == "StartDeadlineExceeded"
        assert status.attempts[0].finish_time == after(31)

    def test_start_deadline_names_what_it_waited_for_before_it_stood_in_a_queue(self) -> None:
        known = facts(process=process(startDeadlineSeconds=30), capability=None)
        waiting = decide_process(known, NOW)
        status = decide_process(with_status(known, waiting.status), after(31)).status
        waited = told(waiting.status, ConditionType.VALIDATED)[2]
        assert "cap" in waited.lower()
        assert told(status, ConditionType.FAILED)[2] == (
            f"no attempt ran within the 30s of startDeadlineSeconds ({waited}): create a new "
            "process once that is over, or with a longer deadline"
        )

    def test_start_deadline_is_met_by_the_first_run(self) -> None:
        known = running(startDeadlineSeconds=30)
        assert known.process.status.start_time == after(5)
        assert decide_process(known, after(31)).status.phase is ProcessPhase.RUNNING

    def test_active_deadline_ends_the_attempt_for_good(self) -> None:
        known = running(activeDeadlineSeconds=60, retry={"limit": 3})
        assert decide_process(known, after(10)).look_again_at == after(60)
        ending = decide_process(known, after(60))
        assert ending.status.attempts[0].reason == "DeadlineExceeded"
        known = with_status(known, ending.status)
        assert decide_process(known, after(61)).actions == (SuspendJob(RUNNING_JOB),)
        known = replace(known, job=JOB, pod=STOPPED)
        status = decide_process(known, after(70)).status
        assert told(status, ConditionType.FAILED)[1] == "DeadlineExceeded"

    @pytest.mark.parametrize(
        ("heard", "listening", "ends"),
        [
            pytest.param(None, after(0), after(65), id="nothing was ever heard"),
            pytest.param(after(40), after(0), after(100), id="it spoke and fell silent"),
            pytest.param(after(40), after(500), after(560), id="nobody was there to hear it"),
        ],
    )
    def test_stall_ends_the_attempt(self, heard: Any, listening: Any, ends: Any) -> None:
        received = None if heard is None else replace(report(), received_at=heard)
        known = replace(running(stallTimeoutSeconds=60), report=received, listening_since=listening)
        before = decide_process(known, ends - timedelta(seconds=1))
        assert before.status.attempts[0].reason is None
        assert before.look_again_at == ends
        decision = decide_process(known, ends)
        assert decision.status.attempts[0].reason == "Stalled"
        assert told(decision.status, ConditionType.PROGRESS_STALLED)[:2] == ("True", "Stalled")

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"pod": None, "refusal": 'exceeded quota: "small"'}, "PodRefused"),
            (
                {"pod": replace(POD, phase="Pending", waiting_reason="ErrImagePull")},
                "ImagePullFailed",
            ),
            (
                {"pod": replace(POD, phase="Pending", node="", unschedulable="no memory")},
                "Unschedulable",
            ),
            (
                {
                    "pod": replace(POD, phase="Pending", waiting_reason="ContainerCreating"),
                    "start_failure": StartFailure(
                        Reason.VOLUME_NOT_MOUNTED, "/srv/x is not a directory"
                    ),
                },
                "VolumeNotMounted",
            ),
            (
                {
                    "pod": replace(
                        POD,
                        phase="Pending",
                        waiting_reason="CreateContainerConfigError",
                        waiting_message="couldn't find key X in Secret demo/trainyard-store",
                    )
                },
                "StoreSecretMissing",
            ),
        ],
    )
    def test_pod_that_does_not_come_is_given_up_in_the_end(
        self, changes: dict[str, Any], reason: str
    ) -> None:
        known = attempted()
        known = replace(known, job=RUNNING_JOB, lease=LEASE, **changes)
        known = with_status(known, decide_process(known, after(5)).status)
        late = after(5 + SETTINGS.pod_start_seconds)
        before = decide_process(known, late - timedelta(seconds=1))
        assert before.status.phase is ProcessPhase.STARTING
        assert told(before.status, ConditionType.RUNNING)[1] == reason
        ending = decide_process(known, late)
        assert ending.status.attempts[0].reason == reason
        known = with_status(known, ending.status)
        assert decide_process(known, late).actions == (SuspendJob(RUNNING_JOB),)
        known = replace(known, job=JOB, pod=None)
        status = decide_process(known, late).status
        assert told(status, ConditionType.FAILED)[1] == reason

    def test_pod_that_is_only_slow_is_waited_for(self) -> None:
        known = attempted()
        pod = replace(POD, phase="Pending", waiting_reason="ContainerCreating")
        known = replace(known, job=RUNNING_JOB, lease=LEASE, pod=pod)
        known = with_status(known, decide_process(known, after(5)).status)
        assert decide_process(known, after(50_000)).status.phase is ProcessPhase.STARTING


class TestAfterTheEnd:
    def done(self, **spec: Any) -> ProcessFacts:
        known = replace(running(**spec), job=COMPLETE_JOB, pod=ended_pod(POD, "Succeeded"))
        known = replace(known, verdict=verified(known))
        return with_status(known, decide_process(known, after(600)).status)

    def test_job_is_removed_when_its_time_to_live_is_over_and_nothing_else_changes(self) -> None:
        known = replace(self.done(ttlSecondsAfterFinished=60), jobs=(COMPLETE_JOB,))
        before = decide_process(known, after(650))
        assert (before.actions, before.look_again_at) == ((), after(660))
        late = decide_process(known, after(660))
        assert late.actions == (DeleteJob(COMPLETE_JOB),)
        assert late.status == known.process.status
        gone = decide_process(replace(known, jobs=()), after(661))
        assert (gone.actions, gone.look_again_at) == ((), None)

    def test_job_stays_without_a_time_to_live(self) -> None:
        known = replace(self.done(), jobs=(COMPLETE_JOB,))
        decision = decide_process(known, after(99_999))
        assert (decision.actions, decision.look_again_at) == ((), None)

    def test_job_that_could_still_run_is_removed_at_once(self) -> None:
        known = replace(self.done(), jobs=(replace(JOB, uid=JOB_UID),))
        assert decide_process(known, after(601)).actions == (DeleteJob(JOB),)

    def test_nothing_is_ever_started_again(self) -> None:
        known = wish(self.done(), True)
        for suspend in (True, False):
            decision = decide_process(wish(known, suspend), after(700))
            assert not [a for a in decision.actions if isinstance(a, StartJob | CreateTrainingJob)]
            assert decision.status == known.process.status
