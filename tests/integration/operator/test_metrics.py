"""What Prometheus is told of a real cluster."""

from __future__ import annotations

from typing import Any

from support.invariants import InvariantChecker
from support.scraping import scrape
from support.waiting import eventually
from support.world import World

from trainyard.cluster.resources import POD, PROCESS

DOUBLES = "trainyard_node_double_placements_total"


def _live(world: World, node: str) -> float | None:
    return scrape(world.operator).get(f'trainyard_node_live_training_pods{{node="{node}"}}')


def test_a_run_is_seen_on_its_node_from_its_start_to_its_end(world: World) -> None:
    eventually("the nodes in the metrics", lambda: _live(world, world.node) == 0)
    running = 'trainyard_training_processes{phase="Running"}'
    before = scrape(world.operator)
    world.ready_inputs()
    hold = world.process("cats", held=True)
    assert hold.started.wait(60)
    world.wait_phase(PROCESS, "cats", "Running")
    eventually("the pod in the metrics", lambda: _live(world, world.node) == 1, within=5)
    eventually(
        "the phase in the metrics",
        lambda: scrape(world.operator)[running] == before[running] + 1,
        within=5,
    )
    assert _live(world, world.other_node) == 0
    hold.let_go.set()
    world.succeeds("cats")
    eventually("the node being free", lambda: _live(world, world.node) == 0, within=5)
    after = scrape(world.operator)
    count = 'trainyard_reconcile_duration_seconds_count{kind="TrainingProcess"}'
    assert after[count] > before.get(count, 0)
    assert after["trainyard_leader"] == 1
    assert after["trainyard_nodes_quarantined"] == 0
    assert after[DOUBLES] == before[DOUBLES], "never two at once"


def test_two_live_trainings_on_a_node_are_counted_and_named(
    world: World, checker: InvariantChecker
) -> None:
    before = scrape(world.operator)[DOUBLES]
    # Pods on a machine that no kubelet serves: what the operator would never do by itself.
    node = f"elsewhere-{world.namespace}"
    for name in ("one", "two"):
        world.api.create(POD, _pod(name, node), world.namespace)
    eventually(
        "a double placement in the metrics",
        lambda: scrape(world.operator)[DOUBLES] == before + 1,
        within=10,
    )
    assert _live(world, node) == 2
    text = (
        f"node {node} has 2 live training pods at once: "
        f"{world.namespace}/one, {world.namespace}/two"
    )
    assert text in world.operator.log()
    for name in ("one", "two"):
        raw = world.get(POD, name)
        assert raw is not None
        world.api.delete(
            POD, name, world.namespace, uid=raw["metadata"]["uid"], grace_period_seconds=0
        )
    eventually("nothing live there", lambda: _live(world, node) is None, within=10)
    # The checker has seen them too, which were meant.
    eventually("the checker's word", lambda: checker.breaches, within=5)
    assert all(node in breach for breach in checker.breaches), checker.breaches
    checker.breaches.clear()


def _pod(name: str, node: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"trainyard.dev/role": "training"}},
        "spec": {
            "nodeName": node,
            "containers": [{"name": "trainer", "image": "trainyard/trainer:test"}],
        },
    }
