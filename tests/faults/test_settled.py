"""In the desired state the operator writes its leader's Lease and nothing else.

Every request that changes something is counted between the operator and the API server, those
that change nothing in the end included.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from support.fault_proxy import FaultProxy
from support.plot import Plot
from support.trainer import fails, progress_of
from support.waiting import eventually

from trainyard.cluster.resources import DATASET, PROCESS

STILL_SECONDS = 3.0


def _settle(plot: Plot) -> None:
    """Processes and datasets in every state that lasts, quarantine included."""
    first, second = plot.nodes
    plot.template("detector", engine="yolo-det")
    plot.apply("Dataset", "draft", {"suspend": True})
    plot.kubelet.script(plot.namespace, "crashed", fails(1))
    plot.process("done")
    plot.process("crashed")
    plot.process("unfit", template="detector")
    plot.process("draft", suspend=True)
    plot.process("nowhere", targetNode="no-such-node")
    plot.process("unready", capability="missing")
    plot.succeeds("done")
    plot.wait_phase(PROCESS, "crashed", "Failed")
    plot.held("stopped")
    plot.patch(PROCESS, "stopped", {"spec": {"suspend": True}})
    plot.wait_phase(PROCESS, "stopped", "Suspended")
    running = plot.held("running")
    assert running.runs[1].report(progress_of(running.told[1], 2, 4)) == 204
    eventually("the report in status", lambda: "progress" in plot.status("running"))
    plot.process("queued")
    # The second node is lost with a run on it, and the run is deleted.
    plot.held("lost", targetNode=second)
    plot.kubelet.silence(second)
    plot.delete(PROCESS, "lost")
    eventually("the process being gone", lambda: plot.get(PROCESS, "lost") is None)
    plot.process("quarantined", targetNode=second)
    plot.wait_reason("quarantined", "NodeReserved", "Quarantined")
    # The node comes back, else it would count as not ready in the middle of the silence; nobody
    # knows more of the lost run for that.
    plot.kubelet.speak(second)
    for name, phase in {
        "unfit": "Failed",
        "draft": "Created",
        "nowhere": "Queued",
        "unready": "Queued",
        "queued": "Queued",
    }.items():
        plot.wait_phase(PROCESS, name, phase)
    plot.wait_phase(DATASET, "draft", "Draft")
    plot.patch_node({"spec": {"unschedulable": True}}, first)


def _wait_until_still(proxy: FaultProxy) -> None:
    def still() -> bool:
        last = proxy.writes[-1].time if proxy.writes else 0.0
        return time.monotonic() - last > STILL_SECONDS

    eventually("the operator having nothing to do", still, seen=lambda: proxy.writes[-3:])


def _assert_silent(new_plot: Callable[..., Plot], seconds: float) -> None:
    plot = new_plot(
        nodes=2,
        evidenceSeconds=1,
        trainer={"image": "trainyard/trainer:test", "gracePeriodSeconds": 1},
        leaderElection={"enabled": True},
        resyncSeconds=5,
    )
    _settle(plot)
    _wait_until_still(plot.proxy)
    # Only the operator's own writes pass the proxy: kubelets go on telling that their nodes live.
    plot.proxy.begin()
    before = plot.proxy.renewals
    time.sleep(seconds)
    assert [write.what for write in plot.proxy.writes] == []
    assert plot.proxy.renewals > before, "the proxy counts"
    plot.operator.terminate_gently()
    plot.operator.start()
    time.sleep(3)
    assert [write.what for write in plot.proxy.writes] == [], "after a start"


def test_nothing_is_written_for_a_while_while_nothing_happens(
    new_plot: Callable[..., Plot],
) -> None:
    _assert_silent(new_plot, 12)


@pytest.mark.full
def test_nothing_is_written_for_a_minute_while_nothing_happens(
    new_plot: Callable[..., Plot],
) -> None:
    _assert_silent(new_plot, 60)
