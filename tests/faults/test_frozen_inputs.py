"""What a run is made of stays what it was, whatever becomes of the objects that it came from."""

from __future__ import annotations

import pytest
from support.plot import Plot
from support.trainer import Epochs, fails
from support.waiting import eventually

from trainyard.api.run import RunFile
from trainyard.cluster.resources import CAPABILITY, DATASET, PROCESS, TEMPLATE

MAY_DIFFER = {"attempt", "output", "resume", "digest"}


def _edit(plot: Plot) -> None:
    plot.patch(TEMPLATE, "small", {"spec": {"hyperparameters": {"epochs": 9, "seed": 7}}})
    # The spec of a Capability and of a Dataset cannot be edited.


def _delete(plot: Plot) -> None:
    for type_, name in (
        (TEMPLATE, "small"),
        (CAPABILITY, "animals"),
        (DATASET, "train"),
        (DATASET, "dev"),
    ):
        plot.delete(type_, name)
        eventually(f"{name} being gone", lambda t=type_, n=name: plot.get(t, n) is None)


def _recreate(plot: Plot) -> None:
    _delete(plot)
    plot.capability(classes=("dog", "cat", "cow"))
    plot.template(hyperparameters={"epochs": 2})
    for name in ("train", "dev"):
        images = {f"{value}/x.png": f"new {name} {value}".encode() for value in ("cat", "dog")}
        plot.dataset(name, images)
    for name in ("train", "dev"):
        plot.wait_phase(DATASET, name, "Ready")


def _inputs(run: RunFile) -> dict[str, object]:
    found = run.model_dump(mode="json")
    found["template"]["hyperparameters"].pop("batch_size")
    return {key: value for key, value in found.items() if key not in MAY_DIFFER}


@pytest.mark.parametrize("change", [_edit, _delete, _recreate], ids=["edited", "deleted", "new"])
def test_a_later_attempt_is_made_of_what_the_first_was_made_of(plot: Plot, change: object) -> None:
    assert callable(change)
    trainer = plot.held("cats")
    before = plot.status("cats")["resolved"]
    plot.patch(PROCESS, "cats", {"spec": {"suspend": True}})
    plot.wait_phase(PROCESS, "cats", "Suspended")
    change(plot)
    trainer.let_go.set()
    plot.patch(PROCESS, "cats", {"spec": {"suspend": False}})
    status = plot.succeeds("cats")
    assert status["resolved"] == before
    assert _inputs(trainer.told[2]) == _inputs(trainer.told[1])
    assert trainer.told[2].resume is not None
    assert trainer.trained == {1: [1, 2], 2: [3, 4]}


def test_after_gpu_out_of_memory_only_the_batch_size_is_another(plot: Plot) -> None:
    trainer = Epochs(endings={1: fails(81, "GPUOutOfMemory", "the GPU's memory did not suffice")})
    plot.kubelet.script(plot.namespace, "cats", trainer)
    plot.process("cats", retry={"limit": 1, "shrinkBatchOnOutOfMemory": True})
    eventually("the first attempt's end", lambda: plot.status("cats").get("attempts"))
    plot.wait_reason("cats", "NodeReserved", "BackingOff")
    _edit(plot)
    plot.succeeds("cats")
    first, second = trainer.told[1], trainer.told[2]
    assert _inputs(second) == _inputs(first)
    sizes = [run.template.hyperparameters.batch_size for run in (first, second)]
    assert sizes[1] == sizes[0] // 2
