"""What others do to Jobs, locks, quotas and files while a run is under way."""

from __future__ import annotations

from collections.abc import Callable

from support.fault_proxy import killed_after
from support.plot import Plot
from support.trainer import Ending, Epochs, PodRun, play
from support.waiting import eventually, never

from trainyard.cluster import names
from trainyard.cluster.resources import (
    JOB,
    LEASE,
    LOCK_NAMESPACE,
    MODEL,
    PROCESS,
    ResourceType,
)
from trainyard.stores import join

QUOTA = ResourceType("", "v1", "resourcequotas", "ResourceQuota")


def test_a_quota_that_refuses_the_pod_is_named_and_the_node_is_free_again(
    new_plot: Callable[..., Plot],
) -> None:
    plot = new_plot(podStartSeconds=3)
    plot.api.create(
        QUOTA,
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "no-pods", "namespace": plot.namespace},
            "spec": {"hard": {"pods": "0"}},
        },
        plot.namespace,
    )
    eventually(
        "the quota being counted",
        lambda: (plot.api.get(QUOTA, "no-pods", plot.namespace) or {}).get("status") or {},
    )
    plot.process("cats")
    message = plot.fails("cats", "PodRefused")
    assert "exceeded quota" in message
    assert "no-pods" in message
    plot.wait_released()
    assert plot.pods("cats") == []
    assert [job for job in plot.jobs("cats") if not job["spec"].get("suspend")] == []


def test_a_job_of_the_same_name_made_by_another_is_left_alone_and_waited_for(plot: Plot) -> None:
    made = plot.apply(
        "TrainingProcess",
        "cats",
        {
            "capability": "animals",
            "template": "small",
            "datasets": {"train": ["train"], "dev": ["dev"]},
            "targetNode": plot.node,
            "suspend": True,
        },
    )
    name = names.training_job(made["metadata"]["uid"], 1)
    container = {"name": "other", "image": "other"}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    body = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": plot.namespace},
        "spec": {"suspend": True, "template": template},
    }
    other = plot.api.create(JOB, body, plot.namespace)
    plot.patch(PROCESS, "cats", {"spec": {"suspend": False}})
    condition = plot.wait_reason("cats", "Running", "JobNameTaken")
    assert f"kubectl delete job {name}" in condition["message"]
    never("a lock", plot.lease, during=2)
    now = plot.api.get(JOB, name, plot.namespace)
    assert now is not None
    assert now["metadata"]["generation"] == other["metadata"]["generation"]
    plot.delete(JOB, name)
    plot.succeeds("cats")


def test_a_job_unsuspended_by_hand_before_its_lock_is_taken_does_no_harm(plot: Plot) -> None:
    trainer = Epochs(hold_after=1)
    plot.kubelet.script(plot.namespace, "cats", trainer)
    plot.proxy.when(lambda write: write.what == "POST jobs", killed_after(plot.operator.kill))
    plot.process("cats")
    [job] = eventually("the Job", lambda: plot.jobs("cats"))
    eventually("the death of the operator", lambda: not plot.operator.running())
    plot.patch(JOB, job["metadata"]["name"], {"spec": {"suspend": False}})
    eventually("its pod", lambda: plot.pods("cats"))
    assert plot.lease() is None
    plot.operator.start()
    trainer.let_go.set()
    plot.succeeds("cats")
    plot.wait_released()


def test_a_lock_removed_by_hand_while_the_operator_is_away_is_taken_again(plot: Plot) -> None:
    trainer = plot.held("cats")
    plot.operator.kill()
    lease = plot.lease()
    assert lease is not None
    name, uid = names.node_lease(plot.node), lease["metadata"]["uid"]
    plot.api.delete(LEASE, name, LOCK_NAMESPACE, uid=uid)
    plot.process("next")
    plot.operator.start()
    eventually("the lock being taken again", plot.lease)
    assert plot.jobs("next") == []
    trainer.let_go.set()
    plot.succeeds("cats")
    plot.succeeds("next")


def test_a_file_damaged_between_publication_and_verification_is_no_success(plot: Plot) -> None:
    def damaged(run: PodRun) -> Ending:
        ending = play(run)
        uri = join(run.run_file().output, "model.pth")
        data = run.store.read_bytes(uri)
        run.store.write_bytes(uri, bytes([data[0] ^ 1]) + data[1:])
        return ending

    plot.kubelet.script(plot.namespace, "cats", damaged)
    plot.process("cats")
    message = plot.fails("cats", "ArtefactUploadFailed")
    assert "model.pth has the SHA-256" in message
    assert "create a new process" in message
    assert plot.get(MODEL, "cats") is None
    plot.wait_released()
    plot.process("again")
    plot.succeeds("again")
