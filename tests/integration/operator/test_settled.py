"""In the desired state the operator writes nothing: neither while it waits nor when it starts."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from support.scraping import writes
from support.trainer import fails, progress_of
from support.waiting import eventually
from support.world import World

from trainyard.api.meta import ANNOTATION_EVALUATIONS
from trainyard.cluster import parse
from trainyard.cluster.resources import (
    CONFIG_MAP,
    EVENT,
    JOB,
    LEASE,
    LOCK_NAMESPACE,
    MODEL,
    OWN_KINDS,
    POD,
    PROCESS,
)

Json = dict[str, Any]
QUIET_SECONDS = 20.0


def _versions(world: World) -> dict[str, str]:
    """Version of every object that the operator could have written."""
    found = {}
    for type_ in (*OWN_KINDS, JOB, POD, CONFIG_MAP, EVENT):
        for raw in world.api.list(type_, world.namespace).items:
            found[f"{type_.plural} {parse.key_of(raw)}"] = raw["metadata"]["resourceVersion"]
    for raw in world.api.list(LEASE, LOCK_NAMESPACE).items:
        found[f"leases {parse.key_of(raw)}"] = raw["metadata"]["resourceVersion"]
    return found


def _settle(world: World) -> None:
    """One process in each state that can last."""
    world.ready_inputs()
    world.template("detector", engine="yolo-det")
    world.apply("Dataset", "draft", {"suspend": True})
    world.kubelet.script(world.namespace, "crashed", fails(1))
    world.process("done", targetNode=world.other_node)
    world.process("crashed", targetNode=world.other_node)
    world.process("unfit", template="detector")
    world.process("draft", suspend=True)
    world.process("nowhere", targetNode="no-such-node")
    world.process("unready", capability="missing")
    hold = world.process("running", held=True)
    assert hold.started.wait(60)
    world.wait_phase(PROCESS, "running", "Running")
    assert hold.run is not None
    assert hold.run.report(progress_of(hold.run.run_file(), 1, 4)) == 204
    # Dev without dogs: a warning, which is told once.
    world.dataset("cats", {"cat/1.png": b"a cat that nobody else has"})
    world.process("queued", datasets={"train": ["train"], "dev": ["cats"]})
    for name, phase in {
        "done": "Succeeded",
        "crashed": "Failed",
        "unfit": "Failed",
        "draft": "Created",
        "nowhere": "Queued",
        "unready": "Queued",
        "queued": "Queued",
    }.items():
        world.wait_phase(PROCESS, name, phase)
    eventually("the report in status", lambda: "progress" in world.status("running"))
    eventually("the warning", lambda: world.status("queued").get("data", {}).get("warnings"))
    world.wait_reason("queued", "NodeReserved", "WaitingForNode")
    world.patch(MODEL, "done", {"metadata": {"annotations": {ANNOTATION_EVALUATIONS: "once"}}})
    world.wait_reason("done", "EvaluationsRead", "EvaluationsListed", type_=MODEL)
    world.is_alone()
    time.sleep(2)


def test_nothing_is_written_while_nothing_happens_nor_when_the_operator_starts(
    world: World,
) -> None:
    _settle(world)
    world.kubelet.pause_heartbeats()
    try:
        before, versions = writes(world.api), _versions(world)
        time.sleep(QUIET_SECONDS)
        assert _versions(world) == versions
        assert writes(world.api) - before == Counter()
        assert any(key.startswith("PATCH trainingprocesses") for key in before), "it counts"
    finally:
        world.kubelet.resume_heartbeats()
    world.operator.kill()
    before = writes(world.api)
    world.operator.start()
    time.sleep(4)
    assert _versions(world) == versions
    assert writes(world.api) - before == Counter()
