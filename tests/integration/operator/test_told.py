"""What a person reads with kubectl: cause and remedy of a failure, and events that are counted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from support.trainer import fails
from support.world import World

from trainyard.cluster.events import Events
from trainyard.cluster.resources import PROCESS
from trainyard.decide.actions import Happening


def test_describe_shows_cause_remedy_and_the_end_of_the_log(world: World) -> None:
    world.ready_inputs()
    causes = {
        "memory": (fails(137, oom_killed=True), "raise resources.memory"),
        "disk": (
            fails(74, "DiskFull", "the disk under /tmp is full: give the node more of it"),
            "give the node more of it",
        ),
        "credentials": (
            fails(77, "StoreAccessDenied", "the store refuses access to s3://b/k (403)"),
            "correct the keys in the namespace's Secret trainyard-store",
        ),
    }
    for number, (name, (script, _)) in enumerate(causes.items()):
        world.kubelet.script(world.namespace, name, script)
        world.process(name, targetNode=(world.node, world.other_node)[number % 2])
    for name, (_, remedy) in causes.items():
        world.wait_phase(PROCESS, name, "Failed")
        described = " ".join(world.kubectl("describe", "tp", name).split())
        assert remedy in described, described


def test_an_event_that_repeats_is_counted_by_the_real_api_server(world: World) -> None:
    world.ready_inputs()
    world.process("cats", suspend=True)
    world.wait_phase(PROCESS, "cats", "Created")
    raw = world.get(PROCESS, "cats")
    assert raw is not None
    events, now = Events(world.api, "test"), datetime.now(UTC)
    for second in range(3):
        said = Happening("Checked", "ä" * 3000, warning=True)
        events.tell(raw, said, now + timedelta(seconds=second))
    [event] = [item for item in world.events("cats") if item["reason"] == "Checked"]
    assert event["series"]["count"] == 3
    assert len(event["note"].encode()) == 1024
    assert "(x3 over " in world.kubectl("describe", "tp", "cats")
