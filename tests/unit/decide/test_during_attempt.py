"""From the record of an attempt to its end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.builders import (
    COMPLETE_JOB,
    FAILED_JOB,
    JOB,
    LEASE,
    LOCATION,
    NODE,
    OTHERS_LEASE,
    POD,
    RUNNING_JOB,
    SETTINGS,
    after,
    attempted,
    ended_pod,
    last_words,
    report,
    run_of,
    template,
    trained_model,
    verified,
    with_status,
)
from trainyard.api.process_status import MetricValue, ProcessPhase, TrainingProcessStatus
from trainyard.api.reasons import ConditionType
from trainyard.decide.actions import CreateModel, CreateTrainingJob, Happening, StartJob, SuspendJob
from trainyard.decide.before_start import POLL
from trainyard.decide.conditions import find
from trainyard.decide.facts import Mismatch, PodFacts, ProcessFacts, Unavailable
from trainyard.decide.process import decide_process

START = StartJob(job=JOB, node="gpu-1", process="demo/digits", attempt=1)


def told(status: TrainingProcessStatus, type_: ConditionType) -> tuple[str, str, str]:
    found = find(status.conditions, type_)
    assert found is not None, f"no condition {type_}"
    return str(found.status), found.reason, found.message


def reserved(status: TrainingProcessStatus) -> tuple[str, str, str]:
    return told(status, ConditionType.NODE_RESERVED)


def running(**changes: Any) -> ProcessFacts:
    """The Job was unsuspended, holds the lock and its pod runs."""
    return attempted(**{"job": RUNNING_JOB, "lease": LEASE, "pod": POD, **changes})


class TestStart:
    def test_needs_the_attempt_on_record(self) -> None:
        assert decide_process(attempted(), after(1)).actions == (START,)

    def test_goes_on_when_the_lock_is_held_already(self) -> None:
        known = replace(attempted(lease=LEASE), node=None)
        assert decide_process(known, after(1)).actions == (START,)

    def test_waits_when_another_took_the_node(self) -> None:
        decision = decide_process(attempted(lease=OTHERS_LEASE), after(1))
        assert decision.actions == ()
        assert decision.status.phase is ProcessPhase.QUEUED
        assert reserved(decision.status)[1] == "WaitingForNode"

    def test_waits_when_the_node_was_cordoned_since(self) -> None:
        decision = decide_process(replace(attempted(), node=replace(NODE, cordoned=True)), after(1))
        assert decision.actions == ()
        assert reserved(decision.status)[1] == "NodeCordoned"

    def test_keeps_the_attempt_while_it_waits(self) -> None:
        known = attempted(lease=OTHERS_LEASE)
        status = decide_process(known, after(1)).status
        assert status.attempts == known.process.status.attempts
        assert status.resolved == known.process.status.resolved

    def test_is_tried_again_when_the_node_is_free(self) -> None:
        known = attempted(lease=OTHERS_LEASE)
        waiting = decide_process(known, after(1)).status
        again = decide_process(with_status(known, waiting, lease=None), after(60))
        assert again.actions == (START,)
        assert again.status.phase is ProcessPhase.STARTING

    def test_makes_a_deleted_run_file_again_while_its_inputs_are_what_they_were(self) -> None:
        known = attempted()
        decision = decide_process(replace(known, run=None), after(1))
        (action,) = decision.actions
        assert action == CreateTrainingJob(
            run=run_of(known), attempt=1, node="gpu-1", image=SETTINGS.image
        )
        assert decision.status.phase is not ProcessPhase.FAILED

    def test_makes_a_deleted_run_file_again_only_from_the_same_base_model(self) -> None:
        started = attempted(
            template=template(baseModel={"trainedModel": "older"}), base_model=trained_model()
        )
        assert run_of(started).base is not None
        known = replace(started, run=None)
        (action,) = decide_process(known, after(1)).actions
        assert isinstance(action, CreateTrainingJob)
        assert action.run == run_of(started)
        others = {"uri": f"{LOCATION}/model.pth", "sha256": "6" * 64, "sizeBytes": 1}
        trained_anew = trained_model(artefacts={"location": LOCATION, "weights": others})
        for model in (None, trained_anew):
            assert decide_process(replace(known, base_model=model), after(1)).actions == ()

    def test_fails_when_the_run_file_and_what_it_was_made_of_are_gone(self) -> None:
        known = attempted(run=None, template=template(hyperparameters={"epochs": 3}))
        known = replace(known, template=None)
        ending = decide_process(known, after(1))
        assert ending.actions == ()
        status = decide_process(with_status(known, ending.status), after(2)).status
        assert told(status, ConditionType.FAILED)[1] == "RunFileDeleted"
        assert status.attempts[0].finish_time == after(2)

    def test_fails_and_ends_the_attempt_when_the_gpus_do_not_come_back(self) -> None:
        node = replace(NODE, allocatable={"nvidia.com/gpu": 1})
        known = attempted(template=template(resources={"gpus": 1}), node=node)
        bare = replace(known, node=NODE)
        waiting = decide_process(bare, after(1))
        assert waiting.look_again_at == after(1 + SETTINGS.gpu_wait_seconds)
        ended = decide_process(with_status(bare, waiting.status), after(1000)).status
        assert ended.phase is ProcessPhase.FAILED
        assert ended.attempts[0].reason == "InsufficientGPUs"
        assert ended.attempts[0].finish_time == after(1000)


class TestJobThatIsNotOurs:
    @pytest.mark.parametrize(
        "job",
        [
            pytest.param(None, id="it is gone"),
            pytest.param(replace(JOB, owner_uid="x"), id="another has its name"),
        ],
    )
    def test_ends_the_run(self, job: Any) -> None:
        decision = decide_process(attempted(job=job), after(90))
        status = decision.status
        assert decision.actions == ()
        assert status.phase is ProcessPhase.FAILED
        message = "the Job of attempt 1 was deleted: create a new process"
        assert told(status, ConditionType.FAILED) == ("True", "JobDeleted", message)
        assert (status.attempts[0].reason, status.attempts[0].finish_time) == (
            "JobDeleted",
            after(90),
        )
        assert reserved(status) == ("False", "Released", "attempt 1 is over: JobDeleted")


class TestLock:
    def test_of_another_suspends_the_job_again(self) -> None:
        decision = decide_process(running(lease=OTHERS_LEASE), after(5))
        assert decision.actions == (SuspendJob(RUNNING_JOB),)
        assert reserved(decision.status) == (
            "False",
            "WaitingForNode",
            "node gpu-1 is held by team/other, so the Job is suspended again",
        )

    def test_that_was_removed_by_hand_is_taken_again(self) -> None:
        decision = decide_process(running(lease=None), after(5))
        assert decision.actions == (replace(START, job=RUNNING_JOB),)
        assert decision.status.phase is ProcessPhase.RUNNING

    def test_of_its_own_asks_for_nothing(self) -> None:
        assert decide_process(running(), after(5)).actions == ()


FOLLOW: dict[str, tuple[PodFacts | None, ProcessPhase, tuple[str, str, str]]] = {
    "no pod yet": (
        None,
        ProcessPhase.STARTING,
        ("False", "Starting", "waiting for the Job's pod"),
    ),
    "a pod that is being started": (
        replace(POD, phase="Pending", waiting_reason="ContainerCreating"),
        ProcessPhase.STARTING,
        ("False", "Starting", f"pod {POD.name} is being started"),
    ),
    "an image that cannot be pulled": (
        replace(
            POD, phase="Pending", waiting_reason="ErrImagePull", waiting_message="not found: x"
        ),
        ProcessPhase.STARTING,
        (
            "False",
            "ImagePullFailed",
            "image trainer:1 cannot be had on node gpu-1: not found: x; bring it there, or correct "
            "trainer.image of the settings or the template's image",
        ),
    ),
    "a pod that the scheduler does not place": (
        replace(POD, phase="Pending", node="", unschedulable="0/2 nodes: Insufficient memory"),
        ProcessPhase.STARTING,
        (
            *("False", "Unschedulable"),
            "the pod cannot be placed on node gpu-1: 0/2 nodes: Insufficient memory; ask for less "
            "in resources, or free the node",
        ),
    ),
    "a running pod": (
        POD,
        ProcessPhase.RUNNING,
        ("True", "PodsReady", f"pod {POD.name} runs"),
    ),
    "a pod that ended before its Job": (
        ended_pod(POD, "Succeeded"),
        ProcessPhase.STARTING,
        ("False", "VerifyingArtefacts", f"pod {POD.name} ended"),
    ),
}


@pytest.mark.parametrize(("pod", "phase", "expected"), FOLLOW.values(), ids=FOLLOW)
def test_pod_is_followed(
    pod: PodFacts | None, phase: ProcessPhase, expected: tuple[str, str, str]
) -> None:
    status = decide_process(running(pod=pod), after(5)).status
    assert status.phase is phase
    assert told(status, ConditionType.RUNNING) == expected
    assert reserved(status) == ("True", "Reserved", "node gpu-1 is reserved")


def test_image_that_cannot_be_pulled_is_told_once_while_the_kubelet_backs_off() -> None:
    failed = replace(POD, phase="Pending", waiting_reason="ErrImagePull", waiting_message="gone")
    backing_off = replace(failed, waiting_reason="ImagePullBackOff", waiting_message="back-off")
    known = running(pod=failed)
    first = decide_process(known, after(5)).status
    again = decide_process(with_status(known, first, pod=backing_off), after(10))
    assert again.status == first
    assert again.events == ()


class TestProgress:
    def test_of_a_report_is_shown(self) -> None:
        status = decide_process(running(report=report()), after(5)).status
        assert status.progress is not None
        assert (status.progress.percent, status.progress.epoch) == (40, 12)
        assert status.display is not None
        assert status.display.model_dump() == {
            "progress": "40% (12/30)",
            "eta": "~1h40m",
            "queue": "",
            "metric": "top-1 0.900",
            "reason": "",
        }
        assert [point.epoch for point in status.history] == [12]
        assert status.metrics == (
            MetricValue(name="top-1", value="0.9"),
            MetricValue(name="top-5", value="0.99"),
        )

    def test_stays_when_the_operator_was_restarted_and_has_no_report(self) -> None:
        known = running(report=report())
        before = decide_process(known, after(5)).status
        status = decide_process(with_status(known, before, report=None), after(10)).status
        assert (status.progress, status.history, status.metrics) == (
            before.progress,
            before.history,
            before.metrics,
        )
        assert status.display is not None
        assert (status.display.progress, status.display.metric) == ("40% (12/30)", "top-1 0.900")


class TestFailedJob:
    def test_ends_the_run_with_the_trainers_words(self) -> None:
        pod = ended_pod(
            POD,
            exit_code=65,
            last_words=last_words("BadData", "labels/7.txt:3: class 9 is not among 0..2"),
        )
        known = running(job=FAILED_JOB, pod=pod)
        decision = decide_process(known, after(125.7))
        status = decision.status
        message = "labels/7.txt:3: class 9 is not among 0..2"
        assert status.phase is ProcessPhase.FAILED
        assert told(status, ConditionType.FAILED) == ("True", "BadData", message)
        assert told(status, ConditionType.FINISHED) == ("True", "BadData", message)
        assert reserved(status) == ("False", "Released", "attempt 1 is over: BadData")
        (attempt,) = status.attempts
        assert (attempt.reason, attempt.message) == ("BadData", message)
        assert attempt.finish_time == after(125)
        assert status.gpu_seconds == 0
        assert decision.events == (Happening("Failed", message, warning=True),)

    def test_counts_the_time_of_its_gpus(self) -> None:
        node = replace(NODE, allocatable={"nvidia.com/gpu": 1})
        known = attempted(
            template=template(resources={"gpus": 1}),
            node=node,
            job=FAILED_JOB,
            lease=LEASE,
            pod=ended_pod(POD, exit_code=1),
        )
        assert decide_process(known, after(125)).status.gpu_seconds == 125


class TestCompleteJob:
    def done(self, **changes: Any) -> ProcessFacts:
        pod = ended_pod(POD, "Succeeded", exit_code=0)
        return running(job=COMPLETE_JOB, pod=pod, **changes)

    def test_with_verified_artefacts_succeeds(self) -> None:
        known = self.done()
        decision = decide_process(replace(known, verdict=verified(known)), after(600))
        status = decision.status
        assert status.phase is ProcessPhase.SUCCEEDED
        for type_ in (ConditionType.COMPLETE, ConditionType.FINISHED):
            assert told(status, type_) == (
                "True",
                "TrainingSucceeded",
                f"the model is at {LOCATION}",
            )
        assert find(status.conditions, ConditionType.FAILED) is None
        assert status.artefacts is not None and status.artefacts.weights is not None
        assert status.artefacts.weights.uri == f"{LOCATION}/model.pth"
        assert status.model == "digits"
        (action,) = decision.actions
        assert isinstance(action, CreateModel)
        assert (action.name, action.spec.metric) == ("digits", "top-1 0.938")
        assert status.progress is not None and status.progress.percent == 100
        assert status.display is not None
        assert status.display.model_dump() == {
            "progress": "100% (30/30)",
            "eta": "",
            "queue": "",
            "metric": "top-1 0.938",
            "reason": "TrainingSucceeded",
        }
        assert decision.events == (Happening("Succeeded", f"the model is at {LOCATION}"),)

    def test_with_a_file_that_does_not_match_fails(self) -> None:
        message = f"{LOCATION}/model.pth has 3 bytes, the manifest says 9: create a new process"
        status = decide_process(self.done(verdict=Mismatch(message)), after(600)).status
        assert status.phase is ProcessPhase.FAILED
        assert told(status, ConditionType.FAILED) == ("True", "ArtefactUploadFailed", message)
        assert status.attempts[0].reason == "ArtefactUploadFailed"
        assert status.artefacts is None and status.model is None

    @pytest.mark.parametrize(
        "changes",
        [
            pytest.param({"uid": "another"}, id="of another process"),
            pytest.param({"attempt": 2}, id="of another attempt"),
            pytest.param({"run_digest": "0" * 64}, id="of another run.yaml"),
        ],
    )
    def test_with_the_manifest_of_something_else_fails(self, changes: dict[str, Any]) -> None:
        known = self.done()
        verdict = verified(known, **changes)
        decision = decide_process(replace(known, verdict=verdict), after(600))
        assert decision.actions == ()
        assert told(decision.status, ConditionType.FAILED)[1] == "ArtefactUploadFailed"

    @pytest.mark.parametrize(
        ("verdict", "message"),
        [
            (None, "the artefacts are being verified"),
            (Unavailable("the store said 503"), "the store said 503"),
        ],
    )
    def test_with_a_store_that_does_not_answer_waits(self, verdict: Any, message: str) -> None:
        decision = decide_process(self.done(verdict=verdict), after(600))
        assert decision.actions == ()
        assert decision.status.phase is ProcessPhase.RUNNING
        assert told(decision.status, ConditionType.RUNNING) == (
            "False",
            "VerifyingArtefacts",
            message,
        )
        assert decision.look_again_at == after(600) + POLL

    def test_without_its_run_file_succeeds_and_makes_no_model_of_guesses(self) -> None:
        known = self.done()
        decision = decide_process(replace(known, run=None, verdict=verified(known)), after(600))
        assert decision.actions == ()
        assert decision.status.phase is ProcessPhase.SUCCEEDED
        assert decision.status.model is None
        assert decision.status.artefacts is not None

    def test_takes_another_name_for_its_model_when_that_is_taken(self) -> None:
        known = self.done(model_made_by="")
        decision = decide_process(replace(known, verdict=verified(known)), after(600))
        assert decision.status.model == "digits-11111111"
