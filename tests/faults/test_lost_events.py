"""Watch events that come late or never: what is decided on them is still right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support.plot import Plot
from support.trainer import Epochs
from support.waiting import eventually, never


def test_a_pod_that_is_seen_before_its_job_is_seen_started_is_not_ended(
    new_plot: Callable[..., Plot],
) -> None:
    plot = new_plot(resyncSeconds=8)
    trainer = Epochs(hold_after=2)
    plot.kubelet.script(plot.namespace, "cats", trainer)

    def tells_of_a_started_job(event: dict[str, Any]) -> bool:
        raw = event["object"]
        return raw.get("kind") == "Job" and not raw["spec"].get("suspend")

    plot.proxy.drop_events(tells_of_a_started_job)
    plot.process("cats")
    eventually("the training", trainer.holding.is_set, seen=lambda: plot.explain("cats"))
    never("an end", lambda: plot.status("cats")["phase"] == "Suspending", during=3)
    plot.proxy.heal()
    trainer.let_go.set()
    assert len(plot.succeeds("cats")["attempts"]) == 1
    assert trainer.trained == {1: [1, 2, 3, 4]}


def test_runs_succeed_although_the_connections_break_again_and_again(plot: Plot) -> None:
    trainer = plot.held("cats")
    for _ in range(3):
        plot.proxy.cut_connections()
    plot.process("next")
    plot.wait_reason("next", "NodeReserved", "WaitingForNode")
    plot.proxy.available = False
    plot.proxy.cut_connections()
    trainer.let_go.set()
    never("an end", lambda: plot.status("cats")["phase"] != "Running", during=3)
    plot.proxy.heal()
    plot.succeeds("cats")
    plot.succeeds("next")
    assert len(plot.status("cats")["attempts"]) == 1
