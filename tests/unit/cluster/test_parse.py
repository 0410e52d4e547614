"""From the JSON of the API server to facts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.builders import UID, process
from trainyard.api.process import TrainingProcess
from trainyard.api.process_status import ProcessPhase
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


DELETED = "2026-11-23T12:00:00Z"
EXITED = {"exitCode": 0, "reason": "Completed"}
UNKNOWN = {"exitCode": 137, "reason": "ContainerStatusUnknown"}


def one(state: Any, **more: Any) -> dict[str, Any]:
    """The status of a container that ran."""
    return {"name": "trainer", "containerID": "containerd://1", "state": state, **more}


@dataclass(frozen=True)
class Evidence:
    """A pod as the API server shows it, and whether it is known to be over."""

    over: bool
    phase: str = "Failed"
    containers: tuple[dict[str, Any], ...] = ()
    disruptions: tuple[str, ...] = ()
    bound: bool = True
    deleted: bool = False
    status: dict[str, Any] = field(default_factory=dict)


EVIDENCE: dict[str, Evidence] = {
    "succeeded, its container ended": Evidence(True, "Succeeded", (one({"terminated": EXITED}),)),
    "failed, its container ended": Evidence(True, containers=(one({"terminated": EXITED}),)),
    "failed, its container killed for memory": Evidence(
        True, containers=(one({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}),)
    ),
    "failed after a reboot, in its kubelet's words": Evidence(
        True, containers=(one({"terminated": {"exitCode": 255, "reason": "Unknown"}}),)
    ),
    "refused by its kubelet before any container": Evidence(True),
    "ended while its image was missing": Evidence(
        True,
        containers=({"name": "trainer", "state": {"waiting": {"reason": "ErrImagePull"}}},),
    ),
    "deleted while its image was missing: the kubelet looks for what never was": Evidence(
        True, containers=({"name": "trainer", "started": False, "state": {"terminated": UNKNOWN}},)
    ),
    "evicted, its container ended": Evidence(
        True,
        containers=(one({"terminated": EXITED}),),
        disruptions=("EvictionByEvictionAPI",),
    ),
    "never bound and deleted": Evidence(True, "Pending", bound=False, deleted=True),
    "never bound and failed": Evidence(True, bound=False),
    "never bound and wanted": Evidence(False, "Pending", bound=False),
    "bound and not started": Evidence(False, "Pending"),
    "bound, deleted and not reported": Evidence(False, "Pending", deleted=True),
    "running": Evidence(False, "Running", (one({"running": {}}),)),
    "running and deleted by force": Evidence(
        False, "Running", (one({"running": {}}),), deleted=True
    ),
    "its kubelet is lost": Evidence(False, "Unknown", (one({"running": {}}),)),
    "its container ended, its phase not yet": Evidence(
        False, "Running", (one({"terminated": EXITED}),)
    ),
    "failed by another while its container runs": Evidence(
        False, containers=(one({"running": {}}),)
    ),
    "one of two containers runs": Evidence(
        False, containers=(one({"terminated": EXITED}), one({"running": {}}))
    ),
    "somebody debugs it with a container of his own": Evidence(
        False,
        containers=(one({"terminated": EXITED}),),
        status={"ephemeralContainerStatuses": [one({"running": {}})]},
    ),
    "a first container still runs": Evidence(
        False, status={"initContainerStatuses": [one({"running": {}})]}
    ),
    "its kubelet cannot find what ran": Evidence(False, containers=(one({"terminated": UNKNOWN}),)),
    "its kubelet could not find what ran, and waits": Evidence(
        False,
        containers=({"state": {"waiting": {}}, "lastState": {"terminated": UNKNOWN}},),
    ),
    "its kubelet could not find what ran, and gave up": Evidence(
        False,
        containers=({"state": {"terminated": UNKNOWN}, "lastState": {"terminated": UNKNOWN}},),
    ),
    "started, never seen again": Evidence(
        False, containers=({"started": True, "state": {"terminated": UNKNOWN}},)
    ),
    "failed by the garbage collector of a node that is gone": Evidence(
        False, disruptions=("DeletionByPodGC",), deleted=True
    ),
    "failed by the garbage collector, its container ended": Evidence(
        False, containers=(one({"terminated": EXITED}),), disruptions=("DeletionByPodGC",)
    ),
}


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
            ended=True,
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

    @pytest.mark.parametrize("case", EVIDENCE.values(), ids=EVIDENCE)
    def test_evidence(self, case: Evidence) -> None:
        meta = {**POD["metadata"], "deletionTimestamp": DELETED if case.deleted else None}
        status = {
            "phase": case.phase,
            "containerStatuses": list(case.containers),
            "conditions": [
                {"type": "DisruptionTarget", "status": "True", "reason": item}
                for item in case.disruptions
            ],
            **case.status,
        }
        spec = {"nodeName": "gpu-1"} if case.bound else {}
        made = parse.pod({"metadata": meta, "spec": spec, "status": status})
        assert made.over is case.over

    def test_that_is_being_deleted_says_when_it_should_be_gone(self) -> None:
        meta = {**POD["metadata"], "deletionTimestamp": DELETED}
        made = parse.pod({"metadata": meta, "spec": {}})
        assert made.deletion_time == datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("finalizers", "kept"),
        [
            (None, False),
            ([], False),
            (["batch.kubernetes.io/job-tracking"], False),
            (["batch.kubernetes.io/job-tracking", "trainyard.dev/evidence"], True),
        ],
    )
    def test_is_kept_by_our_finalizer_alone(self, finalizers: Any, kept: bool) -> None:
        meta = {**POD["metadata"], "finalizers": finalizers}
        assert parse.pod({"metadata": meta, "spec": {}}).kept is kept

    def test_that_is_disrupted_says_by_whom(self) -> None:
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "EvictionByEvictionAPI",
        }
        assert pod({"conditions": [condition]}).disruption == "EvictionByEvictionAPI"
        assert pod({"conditions": [{**condition, "status": "False"}]}).disruption == ""

    def test_that_used_more_disk_than_it_may_says_so_in_its_kubelets_words(self) -> None:
        """As seen on a real node, with a limit on ephemeral storage."""
        words = "Pod ephemeral local storage usage exceeds the total limit of containers 300Ki. "
        evicted = {"phase": "Failed", "reason": "Evicted", "message": words}
        pressure = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}
        assert pod(evicted).over_limit == words.rstrip(". ")
        assert pod({**evicted, "conditions": [pressure]}).over_limit == ""
        assert pod({"phase": "Failed", "message": words}).over_limit == ""

    def test_that_left_no_last_words_leaves_the_end_of_its_log(self) -> None:
        made = pod(container(terminated={"exitCode": 1, "message": "Traceback\nValueError: x"}))
        assert (made.last_words, made.log_tail) == (None, "Traceback\nValueError: x")

    def test_whose_log_was_cut_by_its_kubelet_leaves_whole_lines_of_it(self) -> None:
        cut = "of a line\n" + "x" * parse.KUBELET_TAIL_BYTES + "\nlast\n\n"
        made = pod(container(terminated={"exitCode": 1, "message": cut}))
        assert made.log_tail == "x" * parse.KUBELET_TAIL_BYTES + "\nlast"
        one_line = "x" * parse.KUBELET_TAIL_BYTES
        made = pod(container(terminated={"exitCode": 1, "message": one_line}))
        assert made.log_tail == one_line

    @pytest.mark.parametrize("reason", ["ContainerStatusUnknown", "StartError"])
    def test_whose_container_never_ran_has_no_log(self, reason: str) -> None:
        """As seen on a real node: what stands there are the words of others."""
        said = "The container could not be located when the pod was terminated"
        made = pod(container(terminated={"exitCode": 137, "reason": reason, "message": said}))
        assert made.log_tail == ""
        assert made.start_error == (said if reason == "StartError" else "")

    def test_says_what_its_container_was_made_of(self) -> None:
        asked = {"image": "trainer:1", "resources": {"limits": {"memory": "3Gi"}}}
        made = parse.pod({"metadata": POD["metadata"], "spec": {"containers": [asked]}})
        assert (made.image, made.memory_limit) == ("trainer:1", "3Gi")

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

    def test_carries_the_word_of_an_administrator(self) -> None:
        annotated = {**self.RAW["metadata"], "annotations": {"trainyard.dev/release": "lease-uid"}}
        assert parse.node({**self.RAW, "metadata": annotated}).release == "lease-uid"
        assert parse.node(self.RAW).release == ""

    @pytest.mark.parametrize("effect", ["NoExecute", "NoSchedule"])
    def test_that_is_off_is_tainted_as_such(self, effect: str) -> None:
        taint = {"key": "node.kubernetes.io/out-of-service", "effect": effect}
        assert parse.node({**self.RAW, "spec": {"taints": [taint]}}).out_of_service
        assert not parse.node(self.RAW).out_of_service

    def test_that_just_joined_has_nothing(self) -> None:
        made = parse.node({"metadata": {"name": "new", "uid": "n"}})
        assert (made.ready, made.enabled, made.allocatable) == (False, False, {})


def test_lease_says_who_holds_which_boot_of_which_machine() -> None:
    raw: dict[str, Any] = {
        "metadata": {
            "name": "node-1",
            "uid": "l",
            "resourceVersion": "4",
            "annotations": {
                "trainyard.dev/target-node": "gpu-1",
                "trainyard.dev/holder": "demo/digits",
                "trainyard.dev/node-uid": "n",
                "trainyard.dev/system-uuid": "s",
                "trainyard.dev/boot-id": "b",
                "trainyard.dev/seen-pod": "p",
                "trainyard.dev/quarantined": "nobody knows",
            },
        },
        "spec": {"holderIdentity": "job-uid"},
    }
    assert parse.lease(raw) == LeaseFacts(
        name="node-1",
        uid="l",
        resource_version="4",
        node="gpu-1",
        holder_job_uid="job-uid",
        holder="demo/digits",
        node_uid="n",
        system_uuid="s",
        boot_id="b",
        seen="p",
        quarantined="nobody knows",
    )
    bare = parse.lease({**raw, "spec": None, "metadata": {**raw["metadata"], "annotations": None}})
    assert bare == LeaseFacts("node-1", "l", "4", "", "", "")


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
