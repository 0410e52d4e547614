"""What Prometheus is told of a real cluster."""

from __future__ import annotations

import json
from typing import Any

import yaml
from support.invariants import InvariantChecker
from support.scraping import scrape
from support.waiting import eventually
from support.world import World
from tests.unit.helm.expressions import names, with_variables
from tests.unit.helm.rendering import CHART

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
    assert not [name for name, value in after.items() if "Quarantined" in name and value]
    assert after[DOUBLES] == before[DOUBLES], "never two at once"


def test_the_queue_of_a_node_is_seen_as_it_grows_and_shrinks(world: World) -> None:
    def shown(metric: str, node: str = world.node) -> float:
        return scrape(world.operator).get(f'trainyard_node_{metric}{{node="{node}"}}', -1)

    world.ready_inputs()
    hold = world.process("first", held=True)
    assert hold.started.wait(60)
    world.wait_phase(PROCESS, "first", "Running")
    assert shown("wait_seconds_count") == 1
    world.process("second")
    world.process("third")
    eventually("both in the queue", lambda: shown("queue_length") == 2)
    assert shown("queue_length", world.other_node) == 0
    told = {name.partition("{")[0] for name in scrape(world.operator)}
    assert _asked_for() - told == set(), "by alerts or by the dashboard"
    begun = shown("queue_oldest_wait_seconds")
    eventually("a longer wait", lambda: shown("queue_oldest_wait_seconds") > begun, within=5)
    world.operator.kill()
    world.operator.start()
    assert shown("queue_length") == 2
    assert shown("queue_oldest_wait_seconds") > begun, "a restart forgets no wait"
    hold.let_go.set()
    for name in ("first", "second", "third"):
        world.succeeds(name)
    eventually("nobody waiting", lambda: shown("queue_length") == 0)
    assert shown("queue_oldest_wait_seconds") == 0
    after = scrape(world.operator)
    assert shown("wait_seconds_count") == 2, "of this operator, which began after the first"
    assert after['trainyard_attempts_ended_total{reason="TrainingSucceeded"}'] == 3
    assert after[f'trainyard_node_state{{node="{world.node}",state="Available"}}'] == 1


def _asked_for() -> set[str]:
    """The samples that alert rules and dashboard name."""
    files = CHART / "files"
    groups = yaml.safe_load((files / "alerts.yaml").read_text())["groups"]
    panels = json.loads((files / "dashboard.json").read_text())["panels"]
    expressions = [rule["expr"] for group in groups for rule in group["rules"]]
    expressions += [target["expr"] for panel in panels for target in panel.get("targets", [])]
    return {name for one in expressions for name in names(with_variables(one))}


def test_gpu_time_is_counted_when_an_attempt_ends(world: World) -> None:
    def shown(metric: str) -> float:
        return scrape(world.operator).get(f'trainyard_{metric}{{node="{world.node}"}}', -1)

    world.capability()
    world.template(gpus=1)
    for name in ("train", "dev"):
        world.dataset(name)
    hold = world.process("cats", held=True)
    assert hold.started.wait(60)
    world.wait_phase(PROCESS, "cats", "Running")
    eventually("the GPU in use", lambda: shown("node_gpus_in_use") == 1, within=5)
    assert shown("gpu_seconds_total") == 0
    age = shown("node_report_age_seconds")
    eventually("a silent run", lambda: shown("node_report_age_seconds") > age, within=5)
    hold.let_go.set()
    status = world.succeeds("cats")
    assert status["gpuSeconds"] >= 1
    assert shown("gpu_seconds_total") == status["gpuSeconds"]
    eventually("the GPU being free", lambda: shown("node_gpus_in_use") == 0, within=5)
    assert shown("node_report_age_seconds") == -1


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
        f"Node {node}: 2 live training pods at once: {world.namespace}/one, {world.namespace}/two"
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
