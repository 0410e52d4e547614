"""Nodes that fall silent, go away and come back: without evidence nothing starts there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.fault_proxy import LABEL_WORLD
from support.plot import Plot
from support.waiting import eventually, never

from trainyard.cluster.resources import POD, PROCESS


def _prompt(new_plot: Callable[..., Plot]) -> Plot:
    """A plot whose operator gives up waiting for a kubelet's word soon."""
    trainer = {"image": "trainyard/trainer:test", "gracePeriodSeconds": 1}
    return new_plot(evidenceSeconds=1, trainer=trainer)


def _quarantined(plot: Plot) -> str:
    """Delete a run on a silent node: its node is quarantined. The UID of the lock."""
    plot.held("first")
    plot.kubelet.silence(plot.node)
    plot.kubelet.set_unknown(plot.node)
    plot.delete(PROCESS, "first")
    eventually("the process being gone", lambda: plot.get(PROCESS, "first") is None)
    eventually(
        "nothing of ours holding the pod",
        lambda: [pod for pod in plot.pods("first") if not pod["metadata"].get("finalizers")],
    )
    lease = plot.lease()
    assert lease is not None, "nobody knows whether it is over"
    assert lease["metadata"]["annotations"]["trainyard.dev/quarantined"]
    assert plot.jobs("first") == []
    assert plot.kubelet.live(plot.namespace, "first"), "it lives on"
    return str(lease["metadata"]["uid"])


def test_a_run_survives_that_its_node_cannot_be_reached_for_a_while(plot: Plot) -> None:
    trainer = plot.held()
    plot.kubelet.silence(plot.node)
    plot.kubelet.set_unknown(plot.node)
    plot.process("next")
    plot.wait_reason("next", "NodeReserved", "NodeNotReady")
    never("another phase", lambda: plot.status("cats")["phase"] != "Running", during=5)
    plot.kubelet.speak(plot.node)
    plot.kubelet.set_ready(plot.node, ready=True)
    trainer.let_go.set()
    plot.succeeds("cats")
    plot.succeeds("next")
    assert trainer.trained == {1: [1, 2, 3, 4]}


def test_a_deletion_finishes_without_evidence_and_its_node_is_free_after_a_reboot(
    new_plot: Callable[..., Plot],
) -> None:
    plot = _prompt(new_plot)
    _quarantined(plot)
    plot.kubelet.set_ready(plot.node, ready=True)
    plot.process("next")
    message = plot.wait_reason("next", "NodeReserved", "Quarantined")["message"]
    assert "Reboot the machine" in message
    assert f"trainyard nodes release {plot.node}" in message
    never("a Job of the next", lambda: plot.jobs("next"), during=2)
    plot.kubelet.power_off(plot.node)
    plot.kubelet.power_on(plot.node)
    plot.succeeds("next")
    plot.wait_released()


def test_a_quarantined_node_is_free_when_an_administrator_says_so_of_this_very_lock(
    new_plot: Callable[..., Plot],
) -> None:
    plot = _prompt(new_plot)
    uid = _quarantined(plot)
    plot.kubelet.set_ready(plot.node, ready=True)
    plot.process("next")
    plot.wait_reason("next", "NodeReserved", "Quarantined")
    plot.patch_node({"metadata": {"annotations": {"trainyard.dev/release": "another-lock"}}})
    never("a Job of the next", lambda: plot.jobs("next"), during=2)
    plot.kubelet.power_off(plot.node)
    plot.patch_node({"metadata": {"annotations": {"trainyard.dev/release": uid}}})
    eventually("the lock being free for the next", lambda: plot.jobs("next"))
    plot.kubelet.speak(plot.node)
    plot.succeeds("next")


def test_a_pod_deleted_by_force_keeps_its_node_until_its_process_is_over(plot: Plot) -> None:
    plot.held("cats")
    end = plot.kubelet.linger(plot.namespace, "cats")
    plot.process("next")
    plot.wait_reason("next", "NodeReserved", "WaitingForNode")
    [pod] = plot.pods("cats")
    plot.kubectl("delete", "pod", pod["metadata"]["name"], "--force", "--wait=false")
    never("a Job of the next", lambda: plot.jobs("next"), during=3)
    assert plot.get(POD, pod["metadata"]["name"]) is not None, "our finalizer keeps it"
    assert len(plot.kubelet.live(plot.namespace, "cats")) == 1
    plot.patch(PROCESS, "cats", {"spec": {"suspend": True}})
    never("a Job of the next", lambda: plot.jobs("next"), during=1)
    end.set()
    plot.succeeds("next")
    plot.wait_phase(PROCESS, "cats", "Suspended")


@pytest.mark.full
def test_a_node_taken_out_of_the_cluster_ends_the_run_as_lost_and_is_quarantined(
    plot: Plot,
) -> None:
    plot.held("cats")
    plot.kubelet.lose_node(plot.node)
    # The garbage collector of pods looks every 20 s and waits 40 s for the node to come back.
    message = plot.fails("cats", "NodeLost", within=180)
    assert plot.node in message
    lease = eventually("the lock being there", plot.lease)
    assert plot.kubelet.live(plot.namespace, "cats"), "it lives on"
    plot.process("next")
    plot.wait_reason("next", "NodeReserved", "NodeNotFound")
    plot.kubelet.power_off(plot.node)
    never("the release of the lock", lambda: plot.lease() is None, during=1)
    # Registered again by the machine after a reboot: the same systemUUID, another boot ID.
    plot.kubelet.add_node(plot.node, labels={LABEL_WORLD: plot.namespace})
    plot.kubelet.speak(plot.node)
    plot.succeeds("next")
    assert (
        lease["metadata"]["uid"] != (plot.lease() or {"metadata": {"uid": ""}})["metadata"]["uid"]
    )
