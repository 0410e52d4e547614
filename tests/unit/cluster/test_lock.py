"""The lock of a node: what is looked at, in which order, before a Job is started."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.builders import JOB_NAME, UID
from tests.unit.cluster.fake_api import FakeApi
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.errors import Conflict
from trainyard.cluster.lock import NodeLock, Refused
from trainyard.cluster.names import node_lease
from trainyard.cluster.parse import job as parse_job
from trainyard.decide.actions import StartJob

JOBS = "/apis/batch/v1/namespaces/demo/jobs"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/trainyard-locks/leases/{node_lease('gpu-1')}"
PROCESS = "/apis/trainyard.dev/v1alpha1/namespaces/demo/trainingprocesses/digits"
LABELS = {"trainyard.dev/role": "training"}
NODE = "/api/v1/nodes/gpu-1"


def job(fake: FakeApi, name: str, *, suspend: bool, node: str = "gpu-1", owner: str = UID) -> Any:
    return fake.put(
        f"{JOBS}/{name}",
        {
            "metadata": {
                "labels": LABELS,
                "annotations": {"trainyard.dev/target-node": node},
                "ownerReferences": [{"controller": True, "uid": owner}],
            },
            "spec": {"suspend": suspend},
        },
    )


def pod(
    fake: FakeApi, name: str, job_uid: str, phase: str, node: str = "gpu-1", bound: bool = True
) -> Any:
    return fake.put(
        f"/api/v1/namespaces/demo/pods/{name}",
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
        asked.index("GET /api/v1/pods"),
        asked.index("GET /apis/batch/v1/jobs"),
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
    assert lock.start(start) == Refused("pod demo/rogue of another training is live on node gpu-1")
    assert suspended(fake)


def test_job_of_another_that_may_make_a_pod_keeps_ours_suspended(
    lock: NodeLock, start: StartJob, fake: FakeApi
) -> None:
    job(fake, "rogue", suspend=False, owner="another")
    assert lock.start(start) == Refused(
        "Job demo/rogue of another training may start on node gpu-1"
    )
    assert suspended(fake)


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
        made[key] = {**made[key], **value}
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


class TestRelease:
    def test_frees_the_node_when_the_holder_is_over(
        self, lock: NodeLock, start: StartJob, fake: FakeApi
    ) -> None:
        lock.start(start)
        made = fake.objects[f"{JOBS}/{JOB_NAME}"]
        made["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
        assert lock.release("gpu-1")
        assert LEASE not in fake.objects

    def test_waits_for_the_pod(self, lock: NodeLock, start: StartJob, fake: FakeApi) -> None:
        lock.start(start)
        del fake.objects[f"{JOBS}/{JOB_NAME}"]
        pod(fake, "last", start.job.uid, "Running")
        assert not lock.release("gpu-1")
        pod(fake, "last", start.job.uid, "Failed")
        assert lock.release("gpu-1")

    def test_keeps_the_lock_of_a_job_that_runs_or_is_about_to(
        self, lock: NodeLock, start: StartJob, fake: FakeApi
    ) -> None:
        lock.start(start)
        assert not lock.release("gpu-1")
        fake.objects[f"{JOBS}/{JOB_NAME}"]["spec"]["suspend"] = True
        assert not lock.release("gpu-1")
        assert LEASE in fake.objects

    def test_removes_the_suspended_job_of_a_process_that_is_over_and_then_the_lock(
        self, lock: NodeLock, start: StartJob, fake: FakeApi
    ) -> None:
        lock.start(start)
        fake.objects[f"{JOBS}/{JOB_NAME}"]["spec"]["suspend"] = True
        fake.objects[PROCESS]["status"]["phase"] = "Failed"
        assert lock.release("gpu-1")
        assert f"{JOBS}/{JOB_NAME}" not in fake.objects
        assert LEASE not in fake.objects

    def test_of_a_free_node_does_nothing(self, lock: NodeLock, fake: FakeApi) -> None:
        assert not lock.release("gpu-1")
        assert fake.writes() == []


def test_all_locks_are_listed(lock: NodeLock, start: StartJob) -> None:
    lock.start(start)
    (found,) = lock.all()
    assert (found.node, found.holder) == ("gpu-1", "demo/digits")
