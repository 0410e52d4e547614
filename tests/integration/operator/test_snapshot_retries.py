"""A snapshot Job outlives its pods: what the Job controller itself makes of our Job."""

from __future__ import annotations

from support.trainer import Ending, Hold, PodRun, fails, play
from support.waiting import eventually
from support.world import World

from trainyard.api.meta import Json
from trainyard.cluster.resources import DATASET, JOB, POD, ResourceType

SNAPSHOTS = "trainyard.dev/role=snapshot"


def pods(world: World) -> list[Json]:
    return list(world.api.list(POD, world.namespace, label_selector=SNAPSHOTS).items)


def test_a_killed_snapshot_is_made_by_a_second_attempt_which_status_says(world: World) -> None:
    hold = Hold()
    runs: list[PodRun] = []

    def killed_once(run: PodRun) -> Ending:
        runs.append(run)
        return Ending(137) if len(runs) == 1 else hold(run)

    world.kubelet.script(world.namespace, "pets", killed_once)
    world.dataset("pets")
    assert hold.started.wait(60)
    ready = world.wait_reason("pets", "Ready", "Snapshotting", type_=DATASET)
    eventually(
        "the second attempt in status",
        lambda: (
            world.condition("pets", "Ready", DATASET)["message"]
            == "the snapshot is being made, attempt 2"
        ),
    )
    assert ready["status"] == "False"
    hold.let_go.set()
    assert world.wait_phase(DATASET, "pets", "Ready")["snapshot"]["samples"] == 6
    assert len(runs) == 2


def test_an_evicted_snapshot_goes_on_in_another_pod_and_is_no_failure(world: World) -> None:
    hold = Hold()
    world.kubelet.script(world.namespace, "pets", hold)
    world.dataset("pets")
    assert hold.started.wait(60)
    [pod] = pods(world)
    name = pod["metadata"]["name"]
    world.kubelet.script(world.namespace, "pets", play)
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": world.namespace},
    }
    evictions = ResourceType("", "v1", f"pods/{name}/eviction", "Eviction")
    world.api.create(evictions, eviction, world.namespace)
    world.wait_phase(DATASET, "pets", "Ready")
    [job] = world.api.list(JOB, world.namespace, label_selector=SNAPSHOTS).items
    assert not job["status"].get("failed")
    assert job["status"]["succeeded"] == 1


def test_data_that_cannot_be_used_is_not_tried_again(world: World) -> None:
    world.kubelet.script(world.namespace, "pets", fails(65, "BadData", "a.txt:3: NaN"))
    world.dataset("pets")
    world.wait_phase(DATASET, "pets", "Failed")
    ready = world.condition("pets", "Ready", DATASET)
    assert (ready["reason"], ready["message"]) == ("BadData", "a.txt:3: NaN")
    assert len(pods(world)) == 1


def test_a_claim_that_is_not_there_is_named_while_it_is_waited_for(world: World) -> None:
    source = {"volume": {"claimName": "absent", "path": "train"}}
    world.apply("Dataset", "pets", {"selections": [{"format": "folders", "source": source}]})
    ready = world.wait_reason("pets", "Ready", "Unschedulable", type_=DATASET)
    assert 'persistentvolumeclaim "absent" not found' in ready["message"]
    [pod] = pods(world)
    mounts = pod["spec"]["containers"][0]["volumeMounts"]
    assert [(x["mountPath"], x["readOnly"]) for x in mounts if x["name"] == "source-0"] == [
        ("/sources/0", True)
    ]
