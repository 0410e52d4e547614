"""Who wants the same node: seen as it is now, and made once for each version of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.builders import after, meta, process, template
from trainyard.api.process import TrainingProcess
from trainyard.cluster.cache import Cache
from trainyard.cluster.resources import PROCESS, TEMPLATE
from trainyard.cluster.rivals import Rivals
from trainyard.cluster.typed import TypedCache
from trainyard.decide.facts import Rival

ME = process("me", uid="me")
DATA = {"data": {"train": {"samples": 100, "annotations": 100}}}


class World:
    def __init__(self) -> None:
        self.cache, self.version = Cache(), 0
        self.rivals = Rivals(self.cache, TypedCache(self.cache))
        self.recipe(epochs=30)
        self.put(PROCESS, process("me", uid="me").to_wire())
        self.process("other", phase="Queued", **DATA)

    def put(self, type_: Any, raw: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        raw["metadata"]["resourceVersion"] = str(self.version)
        self.cache.put(type_, raw)
        return raw

    def recipe(self, epochs: int) -> None:
        self.put(TEMPLATE, template(hyperparameters={"epochs": epochs}).to_wire())

    def process(self, name: str, *, spec: dict[str, Any] | None = None, **status: Any) -> None:
        raw = process(name, uid=f"uid-of-{name}", **(spec or {})).to_wire()
        self.put(PROCESS, raw | {"status": status})

    def finished(self, name: str, seconds: float) -> None:
        attempt = {"number": 1, "node": "gpu-1", "startTime": after(0).isoformat()}
        attempt["finishTime"] = after(seconds).isoformat()
        progress = {"epochs": 30}
        self.process(name, phase="Succeeded", attempts=[attempt], progress=progress, **DATA)

    def of(self, who: TrainingProcess = ME) -> dict[str, Rival]:
        return {rival.key: rival for rival in self.rivals.of(who)}


@pytest.fixture
def world() -> World:
    return World()


def test_what_nothing_has_changed_of_is_made_once(world: World) -> None:
    assert world.of()["demo/other"] is world.of()["demo/other"]


def test_a_process_that_changed_is_seen_as_it_is(world: World) -> None:
    world.of()
    world.process("other", spec={"priority": 7}, phase="Queued")
    assert world.of()["demo/other"].priority == 7


def test_a_run_that_finished_changes_what_is_expected(world: World) -> None:
    assert world.of()["demo/other"].rest_seconds is None
    world.finished("before", 600)
    assert world.of()["demo/other"].rest_seconds == 600


def test_a_template_that_was_edited_changes_what_is_expected(world: World) -> None:
    world.finished("before", 600)
    world.of()
    world.recipe(epochs=60)
    assert world.of()["demo/other"].rest_seconds == 1200


def test_who_is_finished_elsewhere_or_being_deleted_is_no_rival(world: World) -> None:
    world.process("elsewhere", spec={"targetNode": "gpu-2"})
    world.process("failed", phase="Failed")
    raw = process("leaving", uid="leaving").to_wire()
    raw["metadata"] |= meta("leaving", "leaving", deletionTimestamp="2026-11-23T12:00:00Z")
    world.put(PROCESS, raw)
    assert set(world.of()) == {"demo/other"}


def test_one_of_the_same_name_is_another(world: World) -> None:
    old = world.cache.get(PROCESS, "demo/other")
    assert old is not None
    world.of()
    world.cache.drop(PROCESS, old)
    again = process("other", uid="successor", priority=3).to_wire()
    world.put(PROCESS, again)
    assert (world.of()["demo/other"].uid, world.of()["demo/other"].priority) == ("successor", 3)


def test_one_whose_template_is_gone_is_a_rival_too(world: World) -> None:
    world.of()
    world.cache.drop(TEMPLATE, template().to_wire())
    assert set(world.of()) == {"demo/other"}


def test_what_is_gone_is_forgotten(world: World) -> None:
    for number in range(20):
        world.process(f"p{number}", phase="Queued")
    world.of()
    for raw in world.cache.all(PROCESS):
        world.cache.drop(PROCESS, raw)
    world.process("last", phase="Queued")
    assert set(world.of()) == {"demo/last"}
    assert set(world.rivals._known) == {"uid-of-last"}
