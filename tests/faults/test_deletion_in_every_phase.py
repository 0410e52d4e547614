"""A process is deleted in each of its phases, alone or with its namespace: nothing is left."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from support.plot import Plot
from support.trainer import Epochs, fails
from support.waiting import eventually
from support.world import NAMESPACE

from trainyard.cluster.resources import CAPABILITY, DATASET, PROCESS, TEMPLATE

Step = Callable[[Plot], threading.Event | None]
"""Brings a process `cats` into a phase; the event lets its container end."""


def _created(plot: Plot) -> None:
    plot.process("cats", suspend=True)
    plot.wait_phase(PROCESS, "cats", "Created")


def _queued(plot: Plot) -> None:
    plot.patch_node({"spec": {"unschedulable": True}})
    plot.process("cats")
    plot.wait_reason("cats", "NodeReserved", "NodeCordoned")


def _starting(plot: Plot) -> threading.Event:
    # Its kubelet does not hear of the pod.
    plot.kubelet.silence(plot.node)
    plot.process("cats")
    eventually("the pod being bound", lambda: [p for p in plot.pods() if "nodeName" in p["spec"]])
    plot.wait_phase(PROCESS, "cats", "Starting")
    plot.kubelet.speak(plot.node)
    return threading.Event()


def _running(plot: Plot) -> None:
    plot.held("cats")


def _suspending(plot: Plot) -> threading.Event:
    plot.held("cats")
    end = plot.kubelet.linger(plot.namespace, "cats")
    plot.patch(PROCESS, "cats", {"spec": {"suspend": True}})
    plot.wait_phase(PROCESS, "cats", "Suspending")
    return end


def _suspended(plot: Plot) -> None:
    plot.held("cats")
    plot.patch(PROCESS, "cats", {"spec": {"suspend": True}})
    plot.wait_phase(PROCESS, "cats", "Suspended")


def _backing_off(plot: Plot) -> None:
    plot.kubelet.script(plot.namespace, "cats", Epochs(endings={1: fails(1)}))
    plot.process("cats", retry={"limit": 1})
    plot.wait_reason("cats", "NodeReserved", "BackingOff")


def _failed(plot: Plot) -> None:
    plot.kubelet.script(plot.namespace, "cats", fails(1))
    plot.process("cats")
    plot.wait_phase(PROCESS, "cats", "Failed")


def _succeeded(plot: Plot) -> None:
    plot.process("cats")
    plot.succeeds("cats")


STEPS: dict[str, Step] = {
    "Created": _created,
    "Queued": _queued,
    "Starting": _starting,
    "Running": _running,
    "Suspending": _suspending,
    "Suspended": _suspended,
    "BackingOff": _backing_off,
    "Failed": _failed,
    "Succeeded": _succeeded,
}


@pytest.mark.parametrize("phase", STEPS)
def test_a_process_deleted_in_a_phase_leaves_nothing_and_its_node_is_free(
    plot: Plot, phase: str
) -> None:
    end = STEPS[phase](plot)
    plot.delete(PROCESS, "cats")
    if end is not None:
        end.set()
    plot.wait_gone("cats")
    plot.wait_released()
    assert plot.kubelet.live(plot.namespace, "cats") == []
    plot.patch_node({"spec": {"unschedulable": None}})
    plot.process("next")
    plot.succeeds("next")


@pytest.mark.parametrize(
    "phase",
    [
        # A run that ends while its namespace does: its model cannot be created there any more.
        phase if phase == "Starting" else pytest.param(phase, marks=pytest.mark.full)
        for phase in STEPS
    ],
)
def test_a_namespace_deleted_with_a_process_in_a_phase_goes_and_the_node_is_free(
    plot: Plot, phase: str
) -> None:
    end = STEPS[phase](plot)
    raw = plot.api.get(NAMESPACE, plot.namespace)
    assert raw is not None
    plot.api.delete(NAMESPACE, plot.namespace, uid=raw["metadata"]["uid"])
    if end is not None:
        end.set()
    eventually(
        "the namespace being gone",
        lambda: plot.api.get(NAMESPACE, plot.namespace) is None,
        within=90,
        every=0.5,
    )
    plot.wait_released()
    assert plot.kubelet.live(plot.namespace, "cats") == []


def test_every_other_kind_can_be_deleted_while_a_run_uses_it(plot: Plot) -> None:
    trainer = plot.held("cats")
    for type_, name in ((CAPABILITY, "animals"), (TEMPLATE, "small"), (DATASET, "train")):
        plot.delete(type_, name)
        eventually(f"{name} being gone", lambda t=type_, n=name: plot.get(t, n) is None)
    trainer.let_go.set()
    plot.succeeds("cats")
