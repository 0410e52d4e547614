"""From the JSON of the API server to facts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.builders import UID, process
from trainyard.api.process import ProcessPhase, TrainingProcess
from trainyard.api.report import LastWords
from trainyard.cluster import parse
from trainyard.decide.facts import JobFacts, LeaseFacts, NodeFacts, PodFacts, Taint

OWNER = {"controller": True, "uid": UID, "kind": "TrainingProcess", "name": "digits"}
JOB: dict[str, Any] = {
    "metadata": {
        "namespace": "demo",
        "name": "tp-1",
        "uid": "job-uid",
        "resourceVersion": "7",
        "labels": {"trainyard.dev/process": "digits"},
        "annotations": {
            "trainyard.dev/spec-hash": "abc",
            "trainyard.dev/target-node": "gpu-1",
        },
        "ownerReferences": [{"uid": "bystander"}, OWNER],
    },
    "spec": {"suspend": True},
}
POD: dict[str, Any] = {
    "metadata": {
        "namespace": "demo",
        "name": "tp-1-abcde",
        "uid": "pod-uid",
        "annotations": {"trainyard.dev/target-node": "gpu-1"},
        "ownerReferences": [{"controller": True, "uid": "job-uid"}],
    },
    "spec": {},
}


def job(status: Any = None, **meta: Any) -> JobFacts:
    return parse.job({**JOB, "metadata": {**JOB["metadata"], **meta}, "status": status})


def pod(status: Any = None, **spec: Any) -> PodFacts:
    return parse.pod({**POD, "spec": spec, "status": status})


def container(**state: Any) -> dict[str, Any]:
    return {"phase": "Running", "containerStatuses": [{"name": "trainer", "state": state}]}


class TestJob:
    def test_just_created_has_no_status(self) -> None:
        assert job() == JobFacts(
            namespace="demo",
            name="tp-1",
            uid="job-uid",
            resource_version="7",
            owner_uid=UID,
            spec_hash="abc",
            suspended=True,
            complete=False,
            failed=False,
            process="digits",
            target_node="gpu-1",
        )

    @pytest.mark.parametrize(
        ("conditions", "complete", "failed", "failure"),
        [
            ([{"type": "Complete", "status": "True"}], True, False, ""),
            ([{"type": "Failed", "status": "True", "message": "limit"}], False, True, "limit"),
            ([{"type": "Complete", "status": "False"}], False, False, ""),
            ([{"type": "SuccessCriteriaMet", "status": "True"}], False, False, ""),
            ([{"type": "FailureTarget", "status": "True"}], False, False, ""),
            ([{"type": "Suspended", "status": "True"}], False, False, ""),
        ],
    )
    def test_is_over_by_its_conditions_alone(
        self, conditions: Any, complete: bool, failed: bool, failure: str
    ) -> None:
        made = job({"conditions": conditions})
        assert (made.complete, made.failed, made.failure) == (complete, failed, failure)
        assert made.finished == (complete or failed)

    def test_without_our_marks_is_nobodys(self) -> None:
        made = job(labels=None, annotations=None, ownerReferences=None)
        assert (made.owner_uid, made.spec_hash, made.process, made.target_node) == ("", "", "", "")

    def test_being_deleted_is_said(self) -> None:
        assert job(deletionTimestamp="2026-11-23T12:00:00Z").deleting

    @pytest.mark.parametrize(
        ("spec", "live"), [({"suspend": True}, False), ({"suspend": False}, True), ({}, True)]
    )
    def test_without_suspend_may_make_a_pod(self, spec: Any, live: bool) -> None:
        assert parse.job({**JOB, "spec": spec}).live is live


class TestPod:
    def test_that_is_pinned_and_not_bound_has_a_target_and_no_node(self) -> None:
        assert pod() == PodFacts(
            namespace="demo",
            name="tp-1-abcde",
            uid="pod-uid",
            job_uid="job-uid",
            phase="Pending",
            target_node="gpu-1",
        )

    def test_that_the_scheduler_does_not_place_says_why(self) -> None:
        condition = {"type": "PodScheduled", "status": "False", "message": "0/2 nodes"}
        assert pod({"phase": "Pending", "conditions": [condition]}).unschedulable == "0/2 nodes"
        placed = {**condition, "status": "True"}
        assert pod({"phase": "Pending", "conditions": [placed]}).unschedulable == ""

    def test_whose_image_cannot_be_pulled_says_why(self) -> None:
        made = pod(container(waiting={"reason": "ErrImagePull", "message": "no such tag"}))
        assert (made.waiting_reason, made.waiting_message) == ("ErrImagePull", "no such tag")

    def test_that_ran_out_of_memory_says_so(self) -> None:
        made = pod(container(terminated={"exitCode": 137, "reason": "OOMKilled"}))
        assert (made.exit_code, made.oom_killed) == (137, True)

    def test_that_ended_has_its_last_words(self) -> None:
        text = LastWords(reason="BadData", message="a.txt:3: NaN").model_dump_json()
        made = pod(container(terminated={"exitCode": 65, "message": text}))
        assert made.last_words == LastWords(reason="BadData", message="a.txt:3: NaN")

    @pytest.mark.parametrize(
        ("phase", "over"),
        [
            ("Pending", False),
            ("Running", False),
            ("Unknown", False),
            ("Succeeded", True),
            ("Failed", True),
        ],
    )
    def test_is_over_by_its_phase(self, phase: str, over: bool) -> None:
        assert pod({"phase": phase}).over is over

    def test_without_our_annotation_counts_for_the_node_it_is_bound_to(self) -> None:
        bare = {**POD, "metadata": {**POD["metadata"], "annotations": None}}
        made = parse.pod({**bare, "spec": {"nodeName": "gpu-2"}})
        assert (made.node, made.target_node) == ("gpu-2", "gpu-2")


@pytest.mark.parametrize(
    "message",
    [None, "", 7, "Traceback (most recent call last)", "[1]", '{"reason": 1}', '{"extra": "x"}'],
)
def test_termination_message_of_another_kind_is_nobodys_last_words(message: Any) -> None:
    assert parse.last_words(message) is None


class TestNode:
    RAW: dict[str, Any] = {
        "metadata": {"name": "gpu-1", "uid": "n", "labels": {"trainyard.dev/target": "true"}},
        "spec": {
            "unschedulable": True,
            "taints": [{"key": "a", "value": "b", "effect": "NoSchedule"}, {"key": "c"}],
        },
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "allocatable": {"cpu": "4", "memory": "8Gi", "nvidia.com/gpu": "2", "x.y/odd": "1k"},
            "nodeInfo": {"systemUUID": "s", "bootID": "b"},
        },
    }

    def test_has_all_of_its_facts(self) -> None:
        assert parse.node(self.RAW) == NodeFacts(
            name="gpu-1",
            uid="n",
            enabled=True,
            ready=True,
            cordoned=True,
            taints=(Taint("a", "b", "NoSchedule"), Taint("c", "", "")),
            allocatable={"nvidia.com/gpu": 2},
            system_uuid="s",
            boot_id="b",
        )

    @pytest.mark.parametrize("status", ["False", "Unknown"])
    def test_that_lost_its_kubelet_is_not_ready(self, status: str) -> None:
        conditions = [{"type": "Ready", "status": status}]
        assert not parse.node({**self.RAW, "status": {"conditions": conditions}}).ready

    @pytest.mark.parametrize("value", ["false", "yes", "True", ""])
    def test_is_enabled_by_exactly_one_spelling(self, value: str) -> None:
        meta = {**self.RAW["metadata"], "labels": {"trainyard.dev/target": value}}
        assert not parse.node({**self.RAW, "metadata": meta}).enabled

    def test_that_just_joined_has_nothing(self) -> None:
        made = parse.node({"metadata": {"name": "new", "uid": "n"}})
        assert (made.ready, made.enabled, made.allocatable) == (False, False, {})


def test_lease_says_who_holds_which_node() -> None:
    raw = {
        "metadata": {
            "name": "node-1",
            "uid": "l",
            "resourceVersion": "4",
            "annotations": {
                "trainyard.dev/target-node": "gpu-1",
                "trainyard.dev/holder": "demo/digits",
            },
        },
        "spec": {"holderIdentity": "job-uid"},
    }
    assert parse.lease(raw) == LeaseFacts("node-1", "l", "4", "gpu-1", "job-uid", "demo/digits")
    bare = parse.lease({**raw, "spec": None, "metadata": {**raw["metadata"], "annotations": None}})  # type: ignore[dict-item]
    assert (bare.holder_job_uid, bare.holder, bare.node) == ("", "", "")


class TestTyped:
    def raw(self, **status: Any) -> dict[str, Any]:
        return {**process().to_wire(), "status": status}

    def test_object_is_read(self) -> None:
        made = parse.typed(TrainingProcess, self.raw(phase="Queued"))
        assert (made.key, made.status.phase) == ("demo/digits", ProcessPhase.QUEUED)

    def test_status_that_does_not_fit_is_dropped(self) -> None:
        made = parse.typed(TrainingProcess, self.raw(phase="Nonsense"))
        assert made.status.phase is None

    def test_spec_that_does_not_fit_is_named(self) -> None:
        raw = self.raw()
        raw["spec"]["priority"] = "high"
        with pytest.raises(parse.UnreadableObject, match=r"^spec\.priority: "):
            parse.typed(TrainingProcess, raw)

    def test_unknown_fields_are_no_error(self) -> None:
        raw = self.raw()
        raw["spec"]["later"] = 1
        parse.typed(TrainingProcess, raw)


def test_keys_are_spelt_in_one_way() -> None:
    assert parse.key_of({"metadata": {"namespace": "demo", "name": "x"}}) == "demo/x"
    assert parse.key_of({"metadata": {"name": "gpu-1"}}) == "gpu-1"


def test_time_has_a_zone() -> None:
    assert parse.time("2026-11-23T12:00:00Z").utcoffset() is not None
