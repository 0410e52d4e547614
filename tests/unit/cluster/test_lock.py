"""The lock of a node: what is looked at, in which order, before a Job is started."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.builders import JOB_NAME, NOW, UID
from tests.unit.cluster.fake_api import FakeApi
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.errors import Conflict
from trainyard.cluster.lock import NodeLock, Refused, Tended
from trainyard.cluster.names import node_lease
from trainyard.cluster.parse import job as parse_job
from trainyard.decide.actions import StartJob

JOBS = "/apis/batch/v1/namespaces/demo/jobs"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/trainyard-locks/leases/{node_lease('gpu-1')}"
PROCESS = "/apis/trainyard.dev/v1alpha1/namespaces/demo/trainingprocesses/digits"
LABELS = {"trainyard.dev/role": "training"}
NODE = "/api/v1/nodes/gpu-1"


def job(
    fake: FakeApi,
    name: str,
    *,
    suspend: bool,
    node: str = "gpu-1",
    owner: str = UID,
    namespace: str = "demo",
) -> Any:
    of_process = {
        "trainyard.dev/process": "digits",
        "trainyard.dev/process-uid": UID,
        "trainyard.dev/attempt": "1",
    }
    return fake.put(
        f"/apis/batch/v1/namespaces/{namespace}/jobs/{name}",
        {
            "metadata": {
                "labels": {**LABELS, **of_process} if owner == UID else LABELS,
                "annotations": {"trainyard.dev/target-node": node},
                "ownerReferences": [{"controller": True, "uid": owner}],
            },
            "spec": {"suspend": suspend},
        },
    )


def pod(
    fake: FakeApi,
    name: str,
    job_uid: str,
    phase: str,
    node: str = "gpu-1",
    bound: bool = True,
    namespace: str = "demo",
) -> Any:
    return fake.put(
        f"/api/v1/namespaces/{namespace}/pods/{name}",
        {
            "metadata": {
                "labels": LABELS,
                "annotations": {"trainyard.dev/target-node": node},
                "ownerReferences": [{"controller": True, "uid": job_uid}],
            },
            "spec": {"nodeName": node} if bound else {},
            "status": {"phase": phase},
        },
    )


@pytest.fixture
def lock(api: ApiServer) -> NodeLock:
    return NodeLock(api)


@pytest.fixture
def start(fake: FakeApi) -> StartJob:
    """Everything stands as it should: the process wants its attempt, the node is free."""
    fake.put(
        PROCESS,
        {"metadata": {"uid": UID}, "status": {"phase": "Starting", "attempts": [{"number": 1}]}},
    )
    fake.put(
        NODE,
        {"metadata": {"uid": "n"}, "status": {"nodeInfo": {"systemUUID": "s", "bootID": "b"}}},
    )
    raw = job(fake, JOB_NAME, suspend=True)
    return StartJob(job=parse_job(raw), node="gpu-1", process="demo/digits", attempt=1)


def suspended(fake: FakeApi) -> bool:
    found: bool = fake.objects[f"{JOBS}/{JOB_NAME}"]["spec"]["suspend"]
    return found


def test_free_node_is_taken_and_the_job_unsuspended(
    lock: NodeLock, start: StartJob, fake: FakeApi
) -> None:
    assert lock.start(start) is None
    assert not suspended(fake)
    lease = fake.objects[LEASE]
    assert lease["spec"] == {"holderIdentity": start.job.uid}
    assert lease["metadata"]["annotations"] == {
        "trainyard.dev/target-node": "gpu-1",
        "trainyard.dev/holder": "demo/digits",
        "trainyard.dev/attempt": "1",
        "trainyard.dev/job": f"demo/{JOB_NAME}",
        "trainyard.dev/node-uid": "n",
        "trainyard.dev/system-uuid": "s",
        "trainyard.dev/boot-id": "b",
    }
    assert "ownerReferences" not in lease["metadata"]


def test_lock_is_held_before_the_cluster_is_looked_at_and_that_before_the_start(
    lock: NodeLock, start: StartJob, fake: FakeApi
) -> None:
    lock.start(start)
    asked = [f"{method} {url.partition('?')[0]}" for method, url, _ in fake.requests]
    order = [
        asked.index(f"POST {LEASE.rpartition('/')[0]}"),
        # Jobs first: one that is suspended between the two LISTs shows what it made in the second.
        asked.index("GET /apis/batch/v1/jobs"),
        asked.index("GET /api/v1/pods"),
        asked.index(f"PATCH {JOBS}/{JOB_NAME}"),
    ]
    assert order == sorted(order)


def test_start_is_safe_to_repeat_when_the_answer_was_lost(
    lock: NodeLock, start: StartJob, fake: FakeApi
) -> None:
    lock.start(start)
    with pytest.raises(Conflict):
        lock.start(start)
    fresh = parse_job(fake.objects[f"{JOBS}/{JOB_NAME}"])
    assert lock.start(replace(start, job=fresh)) is None


def test_node_that_another_holds_is_refused(lock: NodeLock, start: StartJob, fake: FakeApi) -> None:
    fake.put(
        LEASE,
        {
            "metadata": {"annotations": {"trainyard.dev/holder": "team/other"}},
            "spec": {"holderIdentity": "another"},
        },
    )
    assert lock.start(start) == Refused("node gpu-1 is held by team/other")
    assert suspended(fake)


def test_earlier_process_of_the_same_name_is_told_apart(
    lock: NodeLock, start: StartJob, fake: FakeApi
) -> None:
    fake.put(
        LEASE,
        {
            "metadata": {"annotations": {"trainyard.dev/holder": start.process}},
            "spec": {"holderIdentity": "another"},
        },
    )
    said = f"node gpu-1 is held by {start.process}, an earlier process of this name"
    assert lock.start(start) == Refused(said)


LIVE: dict[str, dict[str, Any]] = {
    "a running pod of another": {"phase": "Running"},
    "a pod that is pinned and not bound yet": {"phase": "Pending", "bound": False},
    "a pod whose kubelet is lost": {"phase": "Unknown"},
}


@pytest.mark.parametrize("live", LIVE.values(), ids=LIVE)
def test_live_pod_keeps_the_job_suspended(
    lock: NodeLock, start: StartJob, fake: FakeApi, live: dict[str, Any]
) -> None:
    pod(fake, "rogue", "another-job", **live)
    assert lock.start(start) == Refused("another training is live on node gpu-1: pod demo/rogue")
    assert suspended(fake)


def test_job_of_another_that_may_make_a_pod_keeps_ours_suspended(
    lock: NodeLock, start: StartJob, fake: FakeApi
) -> None:
    job(fake, "rogue", suspend=False, owner="another")
    assert lock.start(start) == Refused("another training may start on node gpu-1: Job demo/rogue")
    assert suspended(fake)


def _held(fake: FakeApi, **annotations: str) -> None:
    meta = {"annotations": {"trainyard.dev/holder": "vision/cats", **annotations}}
    fake.put(LEASE, {"metadata": meta, "spec": {"holderIdentity": "another"}})


def _quarantined(fake: FakeApi) -> None:
    _held(fake, **{"trainyard.dev/quarantined": "pod vision/cats-x may live"})


def _live(fake: FakeApi) -> None:
    pod(fake, "cats-x", "another-job", "Running", namespace="vision")


def _may_start(fake: FakeApi) -> None:
    job(fake, "cats", suspend=False, owner="another", namespace="vision")


@pytest.mark.parametrize("occupied", [_held, _quarantined, _live, _may_start])
def test_a_refusal_names_nobody_of_another_namespace_if_it_may_not(
    lock: NodeLock, start: StartJob, fake: FakeApi, occupied: Callable[[FakeApi], None]
) -> None:
    occupied(fake)
    open_ = lock.start(start)
    assert open_ is not None and "vision/cats" in open_.message
    refused = lock.start(replace(start, hide_names=True))
    assert refused is not None and "vision" not in refused.message
    assert "a training of another namespace" in refused.message


def test_what_is_over_or_elsewhere_or_suspended_does_not_count(
    lock: NodeLock, start: StartJob, fake: FakeApi
) -> None:
    pod(fake, "over", "older", "Succeeded")
    pod(fake, "elsewhere", "older", "Running", node="gpu-2")
    job(fake, "waiting", suspend=True, owner="another")
    job(fake, "elsewhere", suspend=False, node="gpu-2", owner="another")
    assert lock.start(start) is None


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"status": {"phase": "Failed", "attempts": [{"number": 1}]}}, id="it is over"),
        pytest.param({"status": {"attempts": []}}, id="the attempt is not on record"),
        pytest.param({"metadata": {"uid": "successor"}}, id="it is another of the same name"),
        pytest.param({"spec": {"suspend": True}}, id="it is stopped"),
        pytest.param(
            {"status": {"attempts": [{"number": 1, "finishTime": "t"}]}}, id="its attempt is over"
        ),
        pytest.param(
            {"status": {"attempts": [{"number": 1, "reason": "Stalled"}]}},
            id="its attempt is being ended",
        ),
        pytest.param(
            {"metadata": {"deletionTimestamp": "2026-11-23T12:00:00Z"}}, id="it is being deleted"
        ),
    ],
)
def test_process_that_does_not_want_it_takes_no_lock(
    lock: NodeLock, start: StartJob, fake: FakeApi, change: dict[str, Any]
) -> None:
    made = copy.deepcopy(fake.objects[PROCESS])
    for key, value in change.items():
        made[key] = {**made.get(key, {}), **value}
    fake.put(PROCESS, made)
    refused = lock.start(start)
    assert refused is not None
    assert "demo/digits" in refused.message
    assert LEASE not in fake.objects
    assert suspended(fake)


def test_process_that_is_gone_takes_no_lock(lock: NodeLock, start: StartJob, fake: FakeApi) -> None:
    del fake.objects[PROCESS]
    assert lock.start(start) == Refused("TrainingProcess demo/digits is gone")
    assert LEASE not in fake.objects


def lease(fake: FakeApi) -> dict[str, Any]:
    found: dict[str, Any] = fake.objects[LEASE]
    return found


def annotate(fake: FakeApi, path: str, **annotations: str) -> None:
    """What somebody else wrote onto an object."""
    found = fake.objects[path]
    known = found["metadata"].get("annotations") or {}
    marks = {f"trainyard.dev/{key.replace('_', '-')}": value for key, value in annotations.items()}
    fake.put(path, {**found, "metadata": {**found["metadata"], "annotations": {**known, **marks}}})


class TestJobThatMayNotRun:
    """By hand, or because its lock was removed, a Job is unsuspended: it is suspended again."""

    @pytest.fixture
    def running(self, start: StartJob, fake: FakeApi) -> StartJob:
        found = fake.objects[f"{JOBS}/{JOB_NAME}"]
        made = fake.put(f"{JOBS}/{JOB_NAME}", {**found, "spec": {"suspend": False}})
        return replace(start, job=parse_job(made))

    def test_while_another_holds_the_node_it_is_suspended_again(
        self, lock: NodeLock, running: StartJob, fake: FakeApi
    ) -> None:
        fake.put(LEASE, {"metadata": {}, "spec": {"holderIdentity": "another"}})
        assert isinstance(lock.start(running), Refused)
        assert suspended(fake)

    def test_while_the_pod_of_another_is_live_it_is_suspended_again(
        self, lock: NodeLock, running: StartJob, fake: FakeApi
    ) -> None:
        pod(fake, "rogue", "another-job", "Running")
        assert isinstance(lock.start(running), Refused)
        assert suspended(fake)

    def test_of_a_process_that_is_gone_it_is_suspended_again(
        self, lock: NodeLock, running: StartJob, fake: FakeApi
    ) -> None:
        del fake.objects[PROCESS]
        assert isinstance(lock.start(running), Refused)
        assert suspended(fake)

    def test_when_it_changed_meanwhile_nothing_is_written_onto_it(
        self, lock: NodeLock, running: StartJob, fake: FakeApi
    ) -> None:
        pod(fake, "rogue", "another-job", "Running")
        fake.put(f"{JOBS}/{JOB_NAME}", fake.objects[f"{JOBS}/{JOB_NAME}"])
        with pytest.raises(Conflict):
            lock.start(running)

    def test_when_nothing_else_is_there_it_takes_the_lock_again_and_goes_on(
        self, lock: NodeLock, running: StartJob, fake: FakeApi
    ) -> None:
        pod(fake, "own", running.job.uid, "Running")
        assert lock.start(running) is None
        assert not suspended(fake)
        assert lease(fake)["spec"] == {"holderIdentity": running.job.uid}


class TestNodeThatIsNotWhatItWas:
    def test_quarantined_is_refused_with_the_sentence(
        self, lock: NodeLock, start: StartJob, fake: FakeApi
    ) -> None:
        fake.put(LEASE, {"metadata": {}, "spec": {"holderIdentity": start.job.uid}})
        annotate(fake, LEASE, quarantined="nobody knows whether pod demo/x still runs")
        assert lock.start(start) == Refused(
            "node gpu-1 is quarantined: nobody knows whether pod demo/x still runs"
        )
        assert suspended(fake)

    def test_that_is_off_is_refused(self, lock: NodeLock, start: StartJob, fake: FakeApi) -> None:
        taint = {"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}
        fake.put(NODE, {**fake.objects[NODE], "spec": {"taints": [taint]}})
        assert lock.start(start) == Refused(
            "node gpu-1 has the taint node.kubernetes.io/out-of-service"
        )
        assert LEASE not in fake.objects

    def test_that_is_gone_is_refused(self, lock: NodeLock, start: StartJob, fake: FakeApi) -> None:
        del fake.objects[NODE]
        assert lock.start(start) == Refused("there is no node gpu-1")
        assert LEASE not in fake.objects

    def test_that_rebooted_before_the_start_is_held_for_its_present_boot(
        self, lock: NodeLock, start: StartJob, fake: FakeApi
    ) -> None:
        lock.start(start)
        job(fake, JOB_NAME, suspend=True)
        annotate(fake, LEASE, boot_id="older", seen_pod="older-pod")
        raw = fake.objects[f"{JOBS}/{JOB_NAME}"]
        again = replace(start, job=parse_job(raw))
        fake.put(LEASE, {**lease(fake), "spec": {"holderIdentity": again.job.uid}})
        assert lock.start(again) is None
        marks = lease(fake)["metadata"]["annotations"]
        assert marks["trainyard.dev/boot-id"] == "b"
        assert "trainyard.dev/seen-pod" not in marks

    def test_that_rebooted_while_a_pod_of_the_job_is_not_over_is_refused(
        self, lock: NodeLock, start: StartJob, fake: FakeApi
    ) -> None:
        lock.start(start)
        annotate(fake, LEASE, boot_id="older")
        pod(fake, "own", start.job.uid, "Running")
        again = replace(start, job=parse_job(fake.objects[f"{JOBS}/{JOB_NAME}"]))
        refused = lock.start(again)
        assert refused is not None
        assert "is not what it was when its lock was taken" in refused.message
        assert "demo/own" in refused.message


class TestTend:
    def finished(self, fake: FakeApi) -> None:
        found = fake.objects[f"{JOBS}/{JOB_NAME}"]
        found["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}

    def test_frees_the_node_when_the_holder_is_over(
        self, lock: NodeLock, start: StartJob, fake: FakeApi
    ) -> None:
        lock.start(start)
        self.finished(fake)
        assert lock.tend("gpu-1", NOW).released == "the training of demo/digits is over"
        assert LEASE not in fake.objects

    def test_waits_for_the_pod(self, lock: NodeLock, start: StartJob, fake: FakeApi) -> None:
        lock.start(start)
        del fake.objects[f"{JOBS}/{JOB_NAME}"]
        pod(fake, "last", start.job.uid, "Running")
        assert not lock.tend("gpu-1", NOW).released
        pod(fake, "last", start.job.uid, "Failed")
        assert lock.tend("gpu-1", NOW).released

    def test_keeps_the_lock_of_a_job_that_runs_or_is_about_to(
        self, lock: NodeLock, start: StartJob, fake: FakeApi
    ) -> None:
        lock.start(start)
        assert not lock.tend("gpu-1", NOW).released
        fake.objects[f"{JOBS}/{JOB_NAME}"]["spec"]["suspend"] = True
        assert not lock.tend("gpu-1", NOW).released
        assert LEASE in fake.objects

    def test_removes_the_suspended_job_of_a_process_that_is_over_and_then_the_lock(
        self, lock: NodeLock, start: StartJob, fake: FakeApi
    ) -> None:
        lock.start(start)
        fake.objects[f"{JOBS}/{JOB_NAME}"]["spec"]["suspend"] = True
        fake.objects[PROCESS]["status"]["phase"] = "Failed"
        assert lock.tend("gpu-1", NOW).released
        assert f"{JOBS}/{JOB_NAME}" not in fake.objects
        assert LEASE not in fake.objects

    def test_of_a_free_node_writes_nothing(self, lock: NodeLock, fake: FakeApi) -> None:
        assert lock.tend("gpu-1", NOW) == Tended()
        assert fake.writes() == []

    def test_notes_once_in_which_boot_the_pod_runs(
        self, lock: NodeLock, start: StartJob, fake: FakeApi
    ) -> None:
        lock.start(start)
        made = pod(fake, "own", start.job.uid, "Running")
        fake.requests.clear()
        for _ in range(3):
            lock.tend("gpu-1", NOW)
        assert fake.writes() == [("PATCH", LEASE)]
        marks = lease(fake)["metadata"]["annotations"]
        assert marks["trainyard.dev/seen-pod"] == made["metadata"]["uid"]

    def test_lets_a_pod_go_whose_end_is_on_record_and_leaves_the_finalizers_of_others(
        self, lock: NodeLock, start: StartJob, fake: FakeApi
    ) -> None:
        path = "/api/v1/namespaces/demo/pods/own"
        made = pod(fake, "own", start.job.uid, "Succeeded")
        kept = ["batch.kubernetes.io/job-tracking", "trainyard.dev/evidence"]
        fake.put(path, {**made, "metadata": {**made["metadata"], "finalizers": kept}})
        lock.tend("gpu-1", NOW)
        assert fake.objects[path]["metadata"]["finalizers"] == kept[:1]

    @pytest.mark.parametrize(
        ("status", "goes"),
        [
            pytest.param({"attempts": [{"number": 1}]}, False, id="its attempt is open"),
            pytest.param({"attempts": [{"number": 1, "finishTime": "t"}]}, True, id="it ended"),
            pytest.param(
                {"attempts": [{"number": 1, "finishTime": "t"}, {"number": 2}]},
                True,
                id="another attempt is open",
            ),
            pytest.param(
                {"phase": "Failed", "attempts": [{"number": 1}]}, True, id="its process is over"
            ),
            pytest.param({}, True, id="nobody knows of the attempt"),
        ],
    )
    def test_pod_stays_until_its_end_is_on_record(
        self, lock: NodeLock, start: StartJob, fake: FakeApi, status: dict[str, Any], goes: bool
    ) -> None:
        labels = {
            **LABELS,
            "trainyard.dev/process": "digits",
            "trainyard.dev/process-uid": UID,
            "trainyard.dev/attempt": "1",
        }
        made = pod(fake, "own", start.job.uid, "Succeeded")
        meta = {**made["metadata"], "labels": labels, "finalizers": ["trainyard.dev/evidence"]}
        fake.put("/api/v1/namespaces/demo/pods/own", {**made, "metadata": meta})
        fake.put(PROCESS, {**fake.objects[PROCESS], "status": status})
        tended = lock.tend("gpu-1", NOW)
        found = fake.objects["/api/v1/namespaces/demo/pods/own"]["metadata"]["finalizers"]
        assert (found == []) is goes
        assert (tended.look_again_seconds is None) is goes

    def test_leaves_a_job_alone_that_others_marked_as_a_training(
        self, lock: NodeLock, fake: FakeApi
    ) -> None:
        job(fake, "rogue", suspend=False, owner="another")
        lock.tend("gpu-1", NOW)
        assert fake.writes() == []


class TestQuarantine:
    @pytest.fixture
    def lost(self, start: StartJob, fake: FakeApi) -> str:
        """The path of a pod whose process is gone and whose kubelet says nothing."""
        made = pod(fake, "lost", start.job.uid, "Running")
        labels = {
            **LABELS,
            "trainyard.dev/process": "digits",
            "trainyard.dev/process-uid": "an-earlier-one",
            "trainyard.dev/attempt": "3",
        }
        meta = {
            **made["metadata"],
            "labels": labels,
            "finalizers": ["trainyard.dev/evidence"],
            "deletionTimestamp": "2026-11-23T12:00:00Z",
        }
        path = "/api/v1/namespaces/demo/pods/lost"
        fake.put(path, {**made, "metadata": meta})
        return path

    def test_is_written_before_the_pod_goes(self, lock: NodeLock, lost: str, fake: FakeApi) -> None:
        tended = lock.tend("gpu-1", NOW + timedelta(seconds=60))
        assert "pod demo/lost" in tended.quarantined
        assert fake.writes() == [("POST", LEASE.rpartition("/")[0]), ("PATCH", lost)]
        assert lost not in fake.objects
        assert lease(fake)["metadata"]["annotations"] == {
            "trainyard.dev/target-node": "gpu-1",
            "trainyard.dev/holder": "demo/digits",
            "trainyard.dev/attempt": "3",
            "trainyard.dev/job": "demo/",
            "trainyard.dev/node-uid": "n",
            "trainyard.dev/system-uuid": "s",
            "trainyard.dev/boot-id": "b",
            "trainyard.dev/quarantined": tended.quarantined,
        }

    def test_that_cannot_be_written_keeps_the_pod(
        self, lock: NodeLock, lost: str, fake: FakeApi
    ) -> None:
        def rival(method: str, url: str) -> None:
            if method == "POST":
                fake.before = None
                fake.put(LEASE, {"metadata": {}, "spec": {"holderIdentity": "another"}})

        fake.before = rival
        with pytest.raises(Conflict):
            lock.tend("gpu-1", NOW + timedelta(seconds=60))
        assert lost in fake.objects

    def test_lasts_until_the_machine_rebooted(
        self, lock: NodeLock, lost: str, fake: FakeApi
    ) -> None:
        lock.tend("gpu-1", NOW + timedelta(seconds=60))
        fake.objects.pop(f"{JOBS}/{JOB_NAME}")
        for _ in range(2):
            assert not lock.tend("gpu-1", NOW + timedelta(days=400)).released
        info = {"systemUUID": "s", "bootID": "later"}
        fake.put(NODE, {**fake.objects[NODE], "status": {"nodeInfo": info}})
        assert lock.tend("gpu-1", NOW).released == "node gpu-1 has rebooted since"

    def test_ends_on_an_administrators_word_about_this_lock_only(
        self, lock: NodeLock, lost: str, fake: FakeApi
    ) -> None:
        lock.tend("gpu-1", NOW + timedelta(seconds=60))
        fake.objects.pop(f"{JOBS}/{JOB_NAME}")
        annotate(fake, NODE, release="an-earlier-lock")
        assert not lock.tend("gpu-1", NOW).released
        annotate(fake, NODE, release=lease(fake)["metadata"]["uid"])
        assert "an administrator says" in lock.tend("gpu-1", NOW).released
        assert LEASE not in fake.objects

    def test_word_ends_a_pod_by_force_and_exactly_that_pod(
        self, lock: NodeLock, start: StartJob, fake: FakeApi
    ) -> None:
        lock.start(start)
        made = pod(fake, "own", start.job.uid, "Running")
        del fake.objects[f"{JOBS}/{JOB_NAME}"]
        annotate(fake, NODE, release=lease(fake)["metadata"]["uid"])
        fake.requests.clear()
        assert lock.tend("gpu-1", NOW).released
        ((_, _, body),) = [item for item in fake.requests if item[1].endswith("/pods/own")]
        assert body is not None
        assert body["gracePeriodSeconds"] == 0
        assert body["preconditions"] == {"uid": made["metadata"]["uid"]}

    def test_word_suspends_a_job_that_runs_before_anything_else(
        self, lock: NodeLock, start: StartJob, fake: FakeApi
    ) -> None:
        lock.start(start)
        annotate(fake, NODE, release=lease(fake)["metadata"]["uid"])
        assert not lock.tend("gpu-1", NOW).released
        assert suspended(fake)
        assert "trainyard.dev/quarantined" in lease(fake)["metadata"]["annotations"]
        assert lock.tend("gpu-1", NOW).released

    def test_word_changes_a_job_that_is_suspended_so_that_a_late_start_does_not_land(
        self, lock: NodeLock, start: StartJob, fake: FakeApi
    ) -> None:
        fake.put(LEASE, {"metadata": {}, "spec": {"holderIdentity": start.job.uid}})
        annotate(fake, LEASE, target_node="gpu-1", quarantined="nobody knows")
        annotate(fake, NODE, release=lease(fake)["metadata"]["uid"])
        assert lock.tend("gpu-1", NOW).released
        with pytest.raises(Conflict):
            lock.start(start)
        assert suspended(fake)


class TestRace:
    def test_of_two_that_create_the_lock_one_is_refused(
        self, lock: NodeLock, start: StartJob, fake: FakeApi
    ) -> None:
        def rival(method: str, url: str) -> None:
            if method == "POST":
                fake.before = None
                fake.put(LEASE, {"metadata": {}, "spec": {"holderIdentity": "another"}})

        fake.before = rival
        assert lock.start(start) == Refused("node gpu-1 was taken by another process just now")
        assert suspended(fake)

    def test_late_release_leaves_the_lock_that_another_took_since(
        self, lock: NodeLock, start: StartJob, fake: FakeApi
    ) -> None:
        lock.start(start)
        del fake.objects[f"{JOBS}/{JOB_NAME}"]

        def rival(method: str, url: str) -> None:
            if method == "DELETE":
                fake.before = None
                del fake.objects[LEASE]
                fake.put(LEASE, {"metadata": {}, "spec": {"holderIdentity": "another"}})

        fake.before = rival
        with pytest.raises(Conflict):
            lock.tend("gpu-1", NOW)
        assert lease(fake)["spec"] == {"holderIdentity": "another"}

    def test_late_release_leaves_the_lock_that_was_quarantined_since(
        self, lock: NodeLock, start: StartJob, fake: FakeApi
    ) -> None:
        lock.start(start)
        del fake.objects[f"{JOBS}/{JOB_NAME}"]

        def rival(method: str, url: str) -> None:
            if method == "DELETE":
                fake.before = None
                annotate(fake, LEASE, quarantined="nobody knows")

        fake.before = rival
        with pytest.raises(Conflict):
            lock.tend("gpu-1", NOW)
        assert LEASE in fake.objects


def test_all_locks_are_listed(lock: NodeLock, start: StartJob) -> None:
    lock.start(start)
    (found,) = lock.all()
    assert (found.node, found.holder) == ("gpu-1", "demo/digits")
