"""Two operators, one node: whatever happens between two requests, two trainings never share it.

One operator is paused before each request that it makes, in turn; there everything else happens:
the other operator starts, tends, records, people stop and delete, the kubelet is lost, the machine
reboots. Then the first goes on with what it had read, or is killed there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import pytest

from tests.unit.cluster.lock_world import LATE, Crash, World, quietly
from trainyard.cluster.lock import Refused

Step = Callable[[World], object]


def start_a(world: World) -> object:
    return world.start("a")


def start_b(world: World) -> object:
    return world.start("b")


def tend(world: World) -> object:
    return world.tend()


def tend_late(world: World) -> object:
    return world.tend(LATE)


def record(world: World) -> None:
    world.record("a")
    world.record("b")


def stop_a(world: World) -> None:
    world.stop("a")


def finish_a(world: World) -> None:
    world.finish("a")


def finish_b(world: World) -> None:
    world.finish("b")


def delete_a(world: World) -> None:
    world.delete("a")


STATES: dict[str, tuple[Step, ...]] = {
    "both wait": (),
    "a runs": (start_a,),
    "a runs and was seen": (start_a, tend),
    "a holds the lock and was not started": (start_a, stop_a, record),
    "a is over": (start_a, finish_a),
    "a is over and on record": (start_a, finish_a, record),
    "a is stopped": (start_a, tend, stop_a),
    "a was deleted, its kubelet is lost": (start_a, tend, World.cut_off, delete_a),
    "a was deleted by force, its kubelet is lost": (
        start_a,
        tend,
        World.cut_off,
        World.delete_pods_by_force,
        delete_a,
    ),
    "a was deleted, its kubelet is lost, its lock was removed": (
        start_a,
        World.cut_off,
        delete_a,
        World.remove_lock_by_hand,
    ),
    "b holds the lock, a still runs": (
        start_a,
        World.cut_off,
        delete_a,
        World.remove_lock_by_hand,
        start_b,
    ),
    "a's node was removed": (start_a, tend, World.remove_node),
    "a's node was removed and is back": (start_a, tend, World.remove_node, World.return_node),
    "a's node was removed before a was seen, and is back": (
        start_a,
        World.remove_node,
        World.return_node,
    ),
    "a's node is quarantined": (start_a, tend, World.cut_off, delete_a, tend_late),
    "an administrator says that a is over": (start_a, tend, World.cut_off, World.say_it_is_over),
    "a's machine was switched off": (start_a, tend, World.switch_off),
}
"""What has happened before."""

PAUSED: dict[str, Step] = {
    "start a": start_a,
    "start b": start_b,
    "tend": tend_late,
}
"""What the operator that is paused is at."""

MEANWHILE: dict[str, tuple[Step, ...]] = {
    "nothing": (),
    "a is started": (start_a,),
    "b is started": (start_b,),
    "a is started, ends, is recorded, b is started": (
        start_a,
        finish_a,
        record,
        tend,
        tend,
        start_b,
    ),
    "a is stopped, b is started": (stop_a, record, tend, tend, start_b),
    "a is deleted, b is started": (delete_a, tend, tend, start_b),
    "b is started and ends, a is started": (start_b, finish_b, record, tend, tend, start_a),
    "a's pod is deleted by force, b is started": (
        World.delete_pods_by_force,
        record,
        tend,
        start_b,
    ),
    "the kubelet is lost, a is deleted, much time passes, b is started": (
        World.cut_off,
        delete_a,
        tend,
        tend_late,
        tend_late,
        start_b,
    ),
    "a quarantined node reboots, b is started": (
        World.cut_off,
        delete_a,
        tend_late,
        World.reboot,
        tend_late,
        tend_late,
        start_b,
    ),
    "the node is removed and comes back, b is started": (
        World.remove_node,
        record,
        tend,
        record,
        tend,
        start_b,
        World.return_node,
        tend,
        tend,
        start_b,
    ),
    "the node is removed, comes back, reboots, b is started": (
        World.remove_node,
        tend,
        record,
        tend,
        World.return_node,
        tend,
        World.reboot,
        tend,
        tend,
        start_b,
    ),
    "an administrator says so, b is started": (
        World.say_it_is_over,
        tend,
        tend,
        record,
        tend,
        start_b,
    ),
    "the machine is switched off and on, b is started": (
        World.switch_off,
        tend,
        tend,
        start_b,
        World.switch_on,
        record,
        tend,
        start_b,
    ),
}
"""What happens while it is paused."""


@dataclass
class Pause:
    """Lets everything else happen before one request of an operator."""

    world: World
    at: int
    meanwhile: tuple[Step, ...]
    crash: bool = False
    asked: int = 0
    others: bool = field(default=False)

    def __call__(self, method: str, url: str) -> None:
        if self.others:
            return
        self.asked += 1
        if self.asked != self.at:
            return
        self.happen()
        if self.crash:
            raise Crash

    def happen(self) -> None:
        """Everything else, which is not paused in turn."""
        self.others = True
        for step in self.meanwhile:
            quietly(lambda step=step: step(self.world))
        self.others = False


@cache
def world_where(state: str) -> World:
    """The world in which that has happened; copied by those who go on."""
    world = World()
    for step in STATES[state]:
        quietly(lambda step=step: step(world))
    return world


def run(
    state: str, paused: Step, meanwhile: tuple[Step, ...], at: int, *, crash: bool
) -> tuple[World, int]:
    """The world afterwards, and how many requests the paused operator made."""
    world = world_where(state).copy()
    pause = Pause(world, at, meanwhile, crash)
    world.fake.before = pause
    with contextlib.suppress(Crash):
        quietly(lambda: paused(world))
    world.fake.before = None
    world.settle()
    return world, pause.asked


POINTS = 40
"""More requests than any one call makes."""


def every_point(state: str, paused: str, meanwhile: str, *, crash: bool) -> list[World]:
    """The worlds after a pause before each request."""
    found = []
    for at in range(1, POINTS):
        world, asked = run(state, PAUSED[paused], MEANWHILE[meanwhile], at, crash=crash)
        found.append(world)
        if asked < at:
            return found
    raise AssertionError("it made more requests than expected")


@pytest.mark.parametrize("meanwhile", MEANWHILE)
@pytest.mark.parametrize("paused", PAUSED)
@pytest.mark.parametrize("state", STATES)
def test_paused_operator_never_makes_two_of_one(state: str, paused: str, meanwhile: str) -> None:
    for at, world in enumerate(every_point(state, paused, meanwhile, crash=False), 1):
        assert world.most <= 1, f"two at once when paused before request {at}"


def settle_down(world: World) -> None:
    """What operators do in the end: record, tend, start what waits, let it run to its end."""
    world.reconnect()
    for _ in range(4):
        for step in (record, tend_late, start_a, start_b, finish_a, finish_b):
            quietly(lambda step=step: step(world))


WAYS_OUT: dict[str, Step] = {
    "the machine reboots": World.reboot,
    "an administrator says so": World.say_it_is_over,
}


@pytest.mark.parametrize("way_out", WAYS_OUT)
@pytest.mark.parametrize("paused", PAUSED)
@pytest.mark.parametrize("state", STATES)
def test_killed_operator_leaves_nothing_that_another_cannot_finish(
    state: str, paused: str, way_out: str
) -> None:
    for at, world in enumerate(every_point(state, paused, "nothing", crash=True), 1):
        if "/api/v1/nodes/gpu-1" not in world.fake.objects:
            world.return_node()
        settle_down(world)
        if world.lease is not None:
            # A quarantine: only a reboot or an administrator ends it.
            assert "trainyard.dev/quarantined" in world.lease["metadata"]["annotations"]
            quietly(lambda world=world: tend_late(world))
            WAYS_OUT[way_out](world)
            settle_down(world)
        world.switch_on()
        settle_down(world)
        assert world.most <= 1, f"two at once when killed before request {at}"
        assert world.lease is None, f"a lock is left when killed before request {at}"
        assert not world.alive
        kept = [pod for pod in world.pods() if pod["metadata"]["finalizers"]]
        assert not kept, f"a pod is kept for good when killed before request {at}"
        assert world.has_run("b"), f"b never ran when a start or a pass was killed before {at}"


def test_pause_before_every_request_is_a_pause_before_every_request() -> None:
    # The enumeration itself: a start makes 7 requests, so there are 7 points and one without.
    assert len(every_point("both wait", "start a", "nothing", crash=False)) == 8


def test_paused_start_without_the_fence_would_land() -> None:
    """The world can see two at once: Jobs unsuspended by hand are two at once."""
    world = World()
    for name in ("a", "b"):
        world.unsuspend_by_hand(name)
    assert world.most == 2
    refused = world.start("a")
    assert isinstance(refused, Refused)
