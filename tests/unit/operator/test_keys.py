"""Which keys a change of an object concerns: nothing that waits is left asleep."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.builders import dataset, process, template
from trainyard.cluster.cache import Cache
from trainyard.cluster.resources import (
    CAPABILITY,
    DATASET,
    JOB,
    MODEL,
    NODE,
    POD,
    PROCESS,
    TEMPLATE,
    ResourceType,
)
from trainyard.operator.keys import NODE_LOCK, Key, affected, unfinished, waiting_for_node

WAITING, OTHER_NODE, OVER, ELSEWHERE = "waiting", "other-node", "over", "elsewhere"
LOCK = Key(NODE_LOCK, "gpu-1")


def tp(name: str, **changes: Any) -> dict[str, Any]:
    raw = process(name, uid=f"uid-{name}").to_wire()
    raw["spec"].update(changes.get("spec", {}))
    raw["metadata"].update(changes.get("metadata", {}))
    raw["status"] = changes.get("status", {"phase": "Queued"})
    return raw


@pytest.fixture
def cache() -> Cache:
    made = Cache()
    for raw in (
        tp(WAITING),
        tp(OTHER_NODE, spec={"targetNode": "gpu-2"}),
        tp(OVER, status={"phase": "Succeeded"}),
        tp(ELSEWHERE, metadata={"namespace": "team"}),
    ):
        made.put(PROCESS, raw)
    made.put(TEMPLATE, template(baseModel={"trainedModel": "older"}).to_wire())
    return made


def process_keys(*names: str) -> set[Key]:
    spaces = {ELSEWHERE: "team"}
    return {Key("TrainingProcess", f"{spaces.get(name, 'demo')}/{name}") for name in names}


def named(name: str, **meta: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "demo", "name": name, **meta}}


OWNED = {
    "labels": {"trainyard.dev/process": WAITING},
    "annotations": {"trainyard.dev/target-node": "gpu-1"},
}

CASES: dict[str, tuple[ResourceType, dict[str, Any], set[Key]]] = {
    "a node wakes its lock and all that wait for it, in any namespace": (
        NODE,
        {"metadata": {"name": "gpu-1"}},
        {LOCK, *process_keys(WAITING, ELSEWHERE)},
    ),
    "a node that nobody wants wakes its lock": (
        NODE,
        {"metadata": {"name": "gpu-9"}},
        {Key(NODE_LOCK, "gpu-9")},
    ),
    "a training's Job wakes its process, the lock and those that wait": (
        JOB,
        named("tp-1", **OWNED),
        {LOCK, *process_keys(WAITING, ELSEWHERE)},
    ),
    "a training's pod wakes the same": (
        POD,
        named("tp-1-x", **OWNED),
        {LOCK, *process_keys(WAITING, ELSEWHERE)},
    ),
    "a snapshot's Job wakes its dataset alone": (
        JOB,
        named("tds-1", labels={"trainyard.dev/dataset": "train"}),
        {Key("Dataset", "demo/train")},
    ),
    "a Job of nobody wakes nobody": (JOB, named("x"), set()),
    "a process wakes itself and its rivals, whose place may have changed": (
        PROCESS,
        tp("new"),
        process_keys("new", WAITING, ELSEWHERE),
    ),
    "a process that is over has its lock looked after": (
        PROCESS,
        tp(OVER, status={"phase": "Failed"}),
        {LOCK, *process_keys(OVER, WAITING, ELSEWHERE)},
    ),
    "a dataset wakes itself and the unfinished processes that name it": (
        DATASET,
        dataset("train").to_wire(),
        {Key("Dataset", "demo/train"), *process_keys(WAITING, OTHER_NODE)},
    ),
    "a dataset that no process names wakes itself": (
        DATASET,
        dataset("lonely").to_wire(),
        {Key("Dataset", "demo/lonely")},
    ),
    "a capability wakes itself and the processes that name it": (
        CAPABILITY,
        named("pets"),
        {Key("Capability", "demo/pets"), *process_keys(WAITING, OTHER_NODE)},
    ),
    "a template wakes itself and the processes that name it": (
        TEMPLATE,
        named("recipe"),
        {Key("TrainingTemplate", "demo/recipe"), *process_keys(WAITING, OTHER_NODE)},
    ),
    "a capability is no template of the same name": (
        CAPABILITY,
        named("recipe"),
        {Key("Capability", "demo/recipe")},
    ),
    "a model wakes itself and the processes whose template starts from it": (
        MODEL,
        named("older"),
        {Key("TrainedModel", "demo/older"), *process_keys(WAITING, OTHER_NODE)},
    ),
    "a model wakes no process of another namespace": (
        MODEL,
        {"metadata": {"namespace": "team", "name": "older"}},
        {Key("TrainedModel", "team/older")},
    ),
    "a model wakes itself": (MODEL, named("digits"), {Key("TrainedModel", "demo/digits")}),
}


@pytest.mark.parametrize(("type_", "raw", "expected"), CASES.values(), ids=CASES)
def test_affected(
    type_: ResourceType, raw: dict[str, Any], expected: set[Key], cache: Cache
) -> None:
    assert affected(type_, raw, cache) == expected


def test_who_waits_for_a_node_when_its_lock_is_released(cache: Cache) -> None:
    assert waiting_for_node("gpu-1", cache) == process_keys(WAITING, ELSEWHERE)
    assert waiting_for_node("gpu-2", cache) == process_keys(OTHER_NODE)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (None, True),
        ({}, True),
        ({"phase": "Running"}, True),
        ({"phase": "Succeeded"}, False),
        ({"phase": "Failed"}, False),
    ],
)
def test_unfinished(status: Any, expected: bool) -> None:
    assert unfinished({"status": status}) is expected


def test_a_model_wakes_those_of_its_namespace_that_take_one_of_the_same_inputs(
    cache: Cache,
) -> None:
    for namespace, name, phase in (
        ("demo", "a", "Queued"),
        ("demo", "b", "Failed"),
        ("team", "c", "Queued"),
    ):
        cache.put(
            PROCESS,
            {
                "metadata": {"namespace": namespace, "name": name, "uid": name},
                "spec": {"onExistingRun": "Reuse"},
                "status": {"phase": phase},
            },
        )
    woken = affected(MODEL, named("unheard-of"), cache)
    assert woken == {Key("TrainedModel", "demo/unheard-of"), Key("TrainingProcess", "demo/a")}
