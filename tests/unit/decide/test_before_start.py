"""Before the first attempt: from the facts to waiting, failing, or the Job's creation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.builders import (
    JOB,
    JOB_NAME,
    LOCATION,
    NODE,
    NOW,
    OTHERS_LEASE,
    RUNNING_JOB,
    SETTINGS,
    UID,
    after,
    capability,
    facts,
    joined,
    process,
    template,
    with_status,
)
from trainyard.api.meta import Condition
from trainyard.api.process_status import ProcessPhase, QueueStatus
from trainyard.api.reasons import ConditionType, Reason
from trainyard.decide.actions import CreateTrainingJob, Happening, SuspendJob
from trainyard.decide.before_start import POLL
from trainyard.decide.conditions import find
from trainyard.decide.draft import StatusDraft
from trainyard.decide.facts import ProcessFacts, Rival
from trainyard.decide.process import decide_process

RIVAL = Rival("demo/older", "other-uid", ProcessPhase.QUEUED, True, False, 0, after(-7200))


def condition(known: StatusDraft | Any, type_: ConditionType) -> Condition:
    found = find(known.conditions, type_)
    assert found is not None, f"no condition {type_}"
    return found


def told(status: Any, type_: ConditionType) -> tuple[str, str, str]:
    found = condition(status, type_)
    return str(found.status), found.reason, found.message


def test_draft_is_created_and_nothing_is_done() -> None:
    decision = decide_process(facts(process=process(suspend=True), capability=None), NOW)
    assert decision.actions == ()
    assert decision.look_again_at is None
    assert decision.status.phase is ProcessPhase.CREATED
    assert told(decision.status, ConditionType.SUSPENDED) == (
        "True",
        "Draft",
        "a draft: set spec.suspend to false to start it",
    )
    assert decision.status.display is not None
    assert decision.status.display.reason == "Draft"


def test_draft_that_is_started_is_checked() -> None:
    drafted = decide_process(facts(process=process(suspend=True)), NOW).status
    decision = decide_process(facts(process=process(status=drafted)), after(60))
    assert told(decision.status, ConditionType.SUSPENDED)[:2] == ("False", "Started")
    assert told(decision.status, ConditionType.VALIDATED)[:2] == ("True", "Valid")


def test_what_is_missing_is_waited_for_and_looked_at_again() -> None:
    decision = decide_process(facts(capability=None), NOW)
    assert decision.actions == ()
    assert decision.status.phase is ProcessPhase.QUEUED
    assert told(decision.status, ConditionType.VALIDATED) == (
        "False",
        "CapabilityNotFound",
        "waiting for Capability pets, which does not exist in namespace demo: apply it",
    )
    assert decision.status.display is not None
    assert decision.status.display.reason == "CapabilityNotFound"
    assert decision.look_again_at == NOW + POLL


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param(
            {"capability": capability("owl")}, Reason.VALIDATION_FAILED, id="a missing class"
        ),
    ],
)
def test_what_can_never_run_fails_without_a_job(changes: dict[str, Any], reason: Reason) -> None:
    decision = decide_process(facts(**changes), NOW)
    assert decision.actions == ()
    assert decision.look_again_at is None
    status = decision.status
    assert status.phase is ProcessPhase.FAILED
    assert status.attempts == ()
    cause = told(status, ConditionType.VALIDATED)
    assert cause[0] == "False"
    for type_ in (ConditionType.FAILED, ConditionType.FINISHED):
        assert told(status, type_) == ("True", str(reason), cause[2])
    assert decision.events == (Happening("Failed", cause[2], warning=True),)


def test_no_attempt_is_recorded_before_everything_is_valid_and_the_node_is_free() -> None:
    waiting: list[ProcessFacts] = [
        facts(capability=None),
        facts(template=None),
        facts(secret_present=False),
        facts(datasets={}),
        facts(node=None),
        facts(node=replace(NODE, enabled=False)),
        facts(lease=OTHERS_LEASE),
        facts(live_holder="team/rogue"),
        facts(rivals=(RIVAL,)),
        facts(rivals=(replace(RIVAL, phase=ProcessPhase.STARTING, priority=-9),)),
        facts(template=template(resources={"gpus": 1})),
        facts(job=replace(JOB, owner_uid="somebody-else")),
        facts(process=process(suspend=True)),
    ]
    for known in waiting:
        decision = decide_process(known, NOW)
        assert decision.status.attempts == ()
        assert decision.status.resolved is None
        assert not any(isinstance(item, CreateTrainingJob) for item in decision.actions)


NODE_CASES: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "an unknown node is named": (
        {"node": None},
        "False",
        "NodeNotFound",
        "waiting for node gpu-1, which does not exist: kubectl get nodes lists those that do",
    ),
    "a node that another holds": (
        {"lease": OTHERS_LEASE},
        "False",
        "WaitingForNode",
        "node gpu-1 is held by team/other; this process is 1st of 1 that wait",
    ),
    "a node with a live pod and no lock": (
        {"live_holder": "team/rogue"},
        "False",
        "WaitingForNode",
        "node gpu-1 is held by team/rogue; this process is 1st of 1 that wait",
    ),
    "an older process goes first": (
        {"rivals": (RIVAL,)},
        "False",
        "WaitingForNode",
        "node gpu-1 goes first to demo/older; this process is 2nd of 2 that wait",
    ),
    "the holder is named even to the second in the queue": (
        {"rivals": (RIVAL,), "lease": OTHERS_LEASE},
        "False",
        "WaitingForNode",
        "node gpu-1 is held by team/other; this process is 2nd of 2 that wait",
    ),
    "too few GPUs are unknown rather than false": (
        {"template": template(resources={"gpus": 1})},
        "Unknown",
        "InsufficientGPUs",
        "node gpu-1 has 0 nvidia.com/gpu and the run asks for 1: install the device plugin, use "
        "another node, or set resources.gpus: 0 to train on the CPU",
    ),
}


@pytest.mark.parametrize(
    ("changes", "status", "reason", "message"), NODE_CASES.values(), ids=NODE_CASES
)
def test_waits_for_its_node(
    changes: dict[str, Any], status: str, reason: str, message: str
) -> None:
    decision = decide_process(facts(**changes), NOW)
    assert decision.status.phase is ProcessPhase.QUEUED
    assert told(decision.status, ConditionType.VALIDATED) == (
        "True",
        "Valid",
        "everything fits together; train shares no image and no group with dev or test",
    )
    assert told(decision.status, ConditionType.NODE_RESERVED) == (status, reason, message)
    assert decision.status.display is not None
    assert decision.status.display.reason == reason
    assert decision.events == (Happening("Queued", message),)


def test_place_in_the_queue_is_shown() -> None:
    status = decide_process(facts(rivals=(RIVAL,), lease=OTHERS_LEASE), NOW).status
    assert status.queue == QueueStatus(position=2, waiting_for="team/other")
    assert status.display is not None
    assert status.display.queue == "2nd, after team/other"


def test_place_in_the_queue_is_gone_when_the_turn_comes() -> None:
    waiting = facts(lease=OTHERS_LEASE)
    status = decide_process(waiting, NOW).status
    started = decide_process(with_status(waiting, status, lease=None), after(60)).status
    assert started.queue is None
    assert started.display is not None
    assert (started.display.queue, started.phase) == ("", ProcessPhase.STARTING)


class TestTooFewGpus:
    KNOWN = facts(template=template(resources={"gpus": 1}))

    def test_are_waited_for_until_a_deadline_that_wakes_the_process(self) -> None:
        first = decide_process(self.KNOWN, NOW)
        assert first.look_again_at == after(SETTINGS.gpu_wait_seconds)
        later = decide_process(with_status(self.KNOWN, first.status), after(300))
        assert later.status.phase is ProcessPhase.QUEUED
        assert later.look_again_at == after(SETTINGS.gpu_wait_seconds)

    def test_fail_the_process_after_it(self) -> None:
        waiting = decide_process(self.KNOWN, NOW).status
        decision = decide_process(
            with_status(self.KNOWN, waiting), after(SETTINGS.gpu_wait_seconds)
        )
        assert decision.status.phase is ProcessPhase.FAILED
        assert told(decision.status, ConditionType.FAILED)[1] == "InsufficientGPUs"
        assert decision.look_again_at is None

    def test_start_the_wait_anew_after_another_reason(self) -> None:
        waiting = decide_process(self.KNOWN, NOW).status
        cordoned = replace(self.KNOWN, node=replace(NODE, cordoned=True))
        between = decide_process(with_status(cordoned, waiting), after(500)).status
        again = decide_process(with_status(self.KNOWN, between), after(900))
        assert again.look_again_at == after(900 + SETTINGS.gpu_wait_seconds)

    def test_do_not_keep_a_run_without_gpus_waiting(self) -> None:
        made = process(overrides={"resources": {"gpus": 0}})
        decision = decide_process(replace(self.KNOWN, process=made), NOW)
        assert told(decision.status, ConditionType.NODE_RESERVED)[1] == "WaitingForNode"


def test_job_of_another_with_our_name_is_waited_for_and_named() -> None:
    decision = decide_process(facts(job=replace(RUNNING_JOB, owner_uid="x")), NOW)
    assert decision.actions == ()
    assert decision.look_again_at == NOW + POLL
    assert told(decision.status, ConditionType.RUNNING) == (
        "False",
        "JobNameTaken",
        f"Job {JOB_NAME} was made by another and has the name that this run needs: delete it with "
        f"kubectl delete job {JOB_NAME}",
    )


def test_job_that_somebody_unsuspended_before_the_record_is_suspended_again() -> None:
    for known in (
        facts(job=RUNNING_JOB, lease=OTHERS_LEASE),
        facts(job=RUNNING_JOB, process=process(suspend=True)),
        facts(job=RUNNING_JOB, capability=None),
    ):
        assert decide_process(known, NOW).actions == (SuspendJob(RUNNING_JOB),)


def test_valid_process_joins_the_queue_before_its_turn_can_come() -> None:
    decision = decide_process(facts(), NOW)
    assert decision.actions == ()
    assert decision.status.phase is ProcessPhase.QUEUED
    assert told(decision.status, ConditionType.NODE_RESERVED) == (
        "False",
        "WaitingForNode",
        "joining the queue of node gpu-1",
    )
    assert decision.look_again_at == NOW


def test_of_several_that_become_valid_at_once_the_highest_priority_goes_first() -> None:
    urgent = replace(RIVAL, priority=5)
    decision = decide_process(joined(rivals=(urgent,)), after(1))
    assert decision.actions == ()
    assert decision.status.queue == QueueStatus(position=2, waiting_for="demo/older")


def test_first_in_the_queue_gets_its_suspended_job_and_the_attempt_is_recorded() -> None:
    decision = decide_process(joined(), after(0.9))
    (action,) = decision.actions
    assert isinstance(action, CreateTrainingJob)
    assert (action.attempt, action.node) == (1, "gpu-1")
    action.run.verify("run.yaml")
    assert action.run.output == LOCATION
    assert action.run.uid == UID
    status = decision.status
    assert status.phase is ProcessPhase.STARTING
    (attempt,) = status.attempts
    assert (attempt.number, attempt.node, attempt.start_time) == (1, "gpu-1", NOW)
    # Where its curves are while it trains; what is in artefacts was verified.
    assert (attempt.location, status.artefacts) == (LOCATION, None)
    assert status.resolved is not None
    assert status.resolved.fingerprint == action.run.fingerprint
    assert told(status, ConditionType.NODE_RESERVED) == (
        "False",
        "Starting",
        "taking the lock of node gpu-1",
    )
    assert decision.events == (Happening("Starting", "taking the lock of node gpu-1"),)


def test_job_left_by_a_pass_that_was_cut_off_is_asked_for_again() -> None:
    decision = decide_process(joined(job=JOB), NOW)
    assert [type(item) for item in decision.actions] == [CreateTrainingJob]
    assert len(decision.status.attempts) == 1


def test_reason_column_of_a_refused_process_names_what_is_wrong_with_it() -> None:
    unfit = capability(type="DetectorElement")
    status = decide_process(facts(capability=unfit), NOW).status
    assert status.phase is ProcessPhase.FAILED
    assert told(status, ConditionType.FAILED)[1] == "ValidationFailed"
    assert status.display is not None
    assert status.display.reason == "EngineMismatch"
