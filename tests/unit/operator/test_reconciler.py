"""One pass over one key, against an API server in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.builders import (
    JOB_NAME,
    NOW,
    SETTINGS,
    capability,
    compared,
    process,
    ready_datasets,
    template,
)
from tests.unit.cluster.fake_api import FakeApi, serving
from tests.unit.notify.ended import ended
from trainyard.api.comparison import Comparison
from trainyard.cluster.apply import Applier
from trainyard.cluster.artefacts import ArtefactReader
from trainyard.cluster.cache import Cache
from trainyard.cluster.errors import Conflict, Forbidden
from trainyard.cluster.gather import Gatherer
from trainyard.cluster.lock import NodeLock
from trainyard.cluster.names import node_lease
from trainyard.cluster.pods import PodSettings
from trainyard.cluster.resources import CAPABILITY, DATASET, JOB, NODE, PROCESS, TEMPLATE
from trainyard.decide.outbox import Delivered, Deliveries, Message
from trainyard.operator.keys import NODE_LOCK, Key
from trainyard.operator.reconciler import RETRY_REFUSED_SECONDS, Reconciler
from trainyard.stores.folder import FolderStore

PROCESS_PATH = "/apis/trainyard.dev/v1alpha1/namespaces/demo/trainingprocesses/digits"
JOB_PATH = f"/apis/batch/v1/namespaces/demo/jobs/{JOB_NAME}"
LEASE_PATH = f"/apis/coordination.k8s.io/v1/namespaces/trainyard-locks/leases/{node_lease('gpu-1')}"
KEY = Key("TrainingProcess", "demo/digits")


class Disjoint(ArtefactReader):
    """A store whose splits were compared before."""

    def comparison(self, splits: Any, datasets: Any) -> Comparison:
        return compared()


class World:
    """Everything that one pass reads and writes."""

    def __init__(self, fake: FakeApi, api: Any) -> None:
        self.fake, self.cache, self.now = fake, Cache(), NOW
        lock = NodeLock(api)
        self.woken: list[set[Key]] = []
        self.reconciler = Reconciler(
            Gatherer(api, self.cache, lock, Disjoint(FolderStore()), lambda _: None, SETTINGS),
            Applier(api, self.cache, lock, PodSettings(image="trainer:1"), "operator-0"),
            lock,
            self.cache,
            lambda: self.now,
            self.woken.append,
        )
        fake.put("/api/v1/namespaces/demo/secrets/trainyard-store", {})
        self.cache.put(CAPABILITY, capability().to_wire())
        self.cache.put(TEMPLATE, template().to_wire())
        for dataset in ready_datasets().values():
            self.cache.put(DATASET, dataset.to_wire())
        node = {
            "metadata": {
                "name": "gpu-1",
                "uid": "n",
                "resourceVersion": "1",
                "labels": {"trainyard.dev/target": "true"},
            },
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }
        self.cache.put(NODE, fake.put("/api/v1/nodes/gpu-1", node))
        self.cache.put(PROCESS, fake.put(PROCESS_PATH, process().to_wire()))

    def step(self) -> float | None:
        """One pass a second later, after the watches told what was written."""
        self.now += timedelta(seconds=1)
        self.cache.put(PROCESS, self.fake.objects[PROCESS_PATH])
        if JOB_PATH in self.fake.objects:
            self.cache.put(JOB, self.fake.objects[JOB_PATH])
        return self.reconciler.reconcile(KEY)

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.fake.objects[PROCESS_PATH]["status"]
        return found

    def condition(self, type_: str) -> dict[str, Any]:
        found: dict[str, Any] = next(
            item for item in self.status["conditions"] if item["type"] == type_
        )
        return found

    def until_created(self) -> None:
        """Up to the pass that created the suspended Job and recorded the attempt."""
        for _ in range(3):
            if JOB_PATH in self.fake.objects:
                return
            self.step()


@pytest.fixture
def world() -> Iterator[World]:
    fake = FakeApi()
    with serving(fake) as api:
        yield World(fake, api)


def test_job_is_started_in_a_later_pass_than_the_one_that_recorded_the_attempt(
    world: World,
) -> None:
    world.until_created()
    assert [item["number"] for item in world.status["attempts"]] == [1]
    assert world.fake.objects[JOB_PATH]["spec"]["suspend"] is True
    assert LEASE_PATH not in world.fake.objects
    world.step()
    assert world.fake.objects[JOB_PATH]["spec"]["suspend"] is False
    assert LEASE_PATH in world.fake.objects


def test_settled_process_is_written_no_more(world: World) -> None:
    world.until_created()
    world.step()
    world.step()
    before = len(world.fake.writes())
    for _ in range(3):
        world.step()
    assert world.fake.writes()[before:] == []


def test_job_that_a_quota_refuses_is_told_once_and_tried_again(world: World) -> None:
    body = json.dumps({"reason": "Forbidden", "message": "exceeded quota: jobs"}).encode()
    answer = world.fake._answer

    def refusing(method: str, path: str, *rest: Any) -> tuple[int, Any]:
        if method == "POST" and path.endswith("/jobs"):
            return 403, json.loads(body)
        return answer(method, path, *rest)

    world.fake._answer = refusing  # type: ignore[method-assign, assignment]
    world.step()
    for _ in range(2):
        with pytest.raises(Forbidden, match="exceeded quota: jobs"):
            world.step()
    assert world.status["phase"] == "Queued"
    assert "attempts" not in world.status
    assert world.condition("Running")["message"] == "the Job was refused: exceeded quota: jobs"
    written = world.fake.objects[PROCESS_PATH]["metadata"]["resourceVersion"]
    with pytest.raises(Forbidden):
        world.step()
    assert world.fake.objects[PROCESS_PATH]["metadata"]["resourceVersion"] == written
    world.fake._answer = answer  # type: ignore[method-assign]
    world.step()
    assert world.status["phase"] == "Starting"


def test_refused_start_is_told_and_tried_again_soon(world: World) -> None:
    world.until_created()
    world.fake.put(
        "/api/v1/namespaces/team/pods/rogue",
        {
            "metadata": {
                "labels": {"trainyard.dev/role": "training"},
                "annotations": {"trainyard.dev/target-node": "gpu-1"},
            },
            "status": {"phase": "Running"},
        },
    )
    assert world.step() == RETRY_REFUSED_SECONDS
    assert world.condition("NodeReserved")["message"] == (
        "another training is live on node gpu-1: pod team/rogue"
    )
    written = world.fake.objects[PROCESS_PATH]["metadata"]["resourceVersion"]
    assert world.step() == RETRY_REFUSED_SECONDS
    assert world.fake.objects[PROCESS_PATH]["metadata"]["resourceVersion"] == written


def test_released_lock_wakes_those_that_wait_for_the_node(world: World) -> None:
    world.fake.put(
        LEASE_PATH,
        {
            "metadata": {"annotations": {"trainyard.dev/target-node": "gpu-1"}},
            "spec": {"holderIdentity": "a Job that is gone"},
        },
    )
    assert world.reconciler.reconcile(Key(NODE_LOCK, "gpu-1")) is None
    assert LEASE_PATH not in world.fake.objects
    assert world.woken == [{KEY}]
    world.reconciler.reconcile(Key(NODE_LOCK, "gpu-1"))
    assert len(world.woken) == 1


def test_key_whose_object_is_gone_is_done(world: World) -> None:
    assert world.reconciler.reconcile(Key("TrainingProcess", "demo/gone")) is None
    assert world.fake.writes() == []


def test_event_follows_the_status(world: World) -> None:
    world.step()
    asked = [url for method, url, _ in world.fake.requests if method != "GET"]
    assert asked[0] == f"{PROCESS_PATH}/status"
    assert asked[1].endswith("/events")


class Postman:
    """Keeps what it is handed."""

    def __init__(self) -> None:
        self.handed: list[Message] = []
        self.deliveries: dict[str, Deliveries] = {}

    def written(self, process: Any, status: Any, messages: Any) -> None:
        self.handed += messages


def ended_world(fake: FakeApi, api: Any, postman: Postman) -> World:
    """A process that has ended, with a message to be sent."""
    known = ended(notifications={"email": ["team@example.org"]})
    world = World(fake, api)
    lock = NodeLock(api)
    settings = known.settings
    world.reconciler = Reconciler(
        Gatherer(
            api,
            world.cache,
            lock,
            Disjoint(FolderStore()),
            lambda _: None,
            settings,
            deliveries=lambda uid: postman.deliveries.get(uid, Deliveries(free=1)),
        ),
        Applier(api, world.cache, lock, PodSettings(image="trainer:1"), "operator-0"),
        lock,
        world.cache,
        lambda: world.now,
        world.woken.append,
        postman.written,
    )
    fake.put(PROCESS_PATH, known.process.to_wire())
    return world


def test_a_message_is_handed_over_once_it_is_on_record_as_being_sent() -> None:
    fake, postman = FakeApi(), Postman()
    with serving(fake) as api:
        world = ended_world(fake, api, postman)
        world.step()
        assert [item["state"] for item in world.status["notifications"]] == ["Sending"]
        assert [item.recipient.address for item in postman.handed] == ["team@example.org"]
        world.step()
        assert len(postman.handed) == 1


def test_a_message_is_not_handed_over_when_another_operator_was_faster() -> None:
    fake, postman = FakeApi(), Postman()
    with serving(fake) as api:
        world, rival = ended_world(fake, api, postman), Postman()
        other = ended_world(fake, api, rival)
        for each in (world, other):
            each.cache.put(PROCESS, fake.objects[PROCESS_PATH])
        world.reconciler.reconcile(KEY)
        with pytest.raises(Conflict):
            other.reconciler.reconcile(KEY)
        assert (len(postman.handed), len(rival.handed)) == (1, 0)
        # Neither when it has read what the first one wrote.
        other.step()
        assert len(rival.handed) == 0


def test_the_outcome_is_recorded_in_the_pass_after_it_came() -> None:
    fake, postman = FakeApi(), Postman()
    with serving(fake) as api:
        world = ended_world(fake, api, postman)
        world.step()
        (message,) = postman.handed
        postman.deliveries[message.process.metadata.uid] = Deliveries(
            1, {(message.id, 1): Delivered()}
        )
        world.step()
        assert [item["state"] for item in world.status["notifications"]] == ["Sent"]
        written = fake.writes()
        assert world.step() is None
        assert fake.writes() == written
