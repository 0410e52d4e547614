"""A snapshot Job outlives its pods: what the Job controller itself makes of our Job."""

from __future__ import annotations

import pytest
from support.trainer import Ending, Hold, PodRun, fails, play
from support.waiting import eventually, never
from support.world import World

from trainyard.api.meta import Json
from trainyard.cluster.resources import DATASET, JOB, POD, ResourceType

SNAPSHOTS = "trainyard.dev/role=snapshot"


def jobs(world: World) -> list[Json]:
    return list(world.api.list(JOB, world.namespace, label_selector=SNAPSHOTS).items)


def ids(items: list[Json]) -> list[str]:
    return [item["metadata"]["uid"] for item in items]


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
    [job] = jobs(world)
    assert not job["status"].get("failed")
    assert job["status"]["succeeded"] == 1


def test_data_that_cannot_be_used_is_not_tried_again(world: World) -> None:
    world.kubelet.script(world.namespace, "pets", fails(65, "BadData", "a.txt:3: NaN"))
    world.dataset("pets")
    world.wait_phase(DATASET, "pets", "Failed")
    ready = world.condition("pets", "Ready", DATASET)
    assert (ready["reason"], ready["message"]) == ("BadData", "a.txt:3: NaN")
    assert len(pods(world)) == 1


def test_a_snapshot_is_begun_again_with_the_image_that_the_corrected_setting_names(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    misspelt, right = "trainyard/trianer:test", world.operator.settings["trainer"]
    world.kubelet.lack(misspelt)
    world.operator.stop()
    monkeypatch.setitem(world.operator.settings, "trainer", {**right, "image": misspelt})
    world.operator.start()
    world.dataset("pets")
    told = world.wait_reason("pets", "Ready", "ImagePullFailed", type_=DATASET)["message"]
    assert told.startswith(f"image {misspelt} cannot be had on node ")
    [before] = jobs(world)
    [waiting] = pods(world)
    node = waiting["spec"]["nodeName"]
    world.kubelet.silence(node)

    world.operator.stop()
    monkeypatch.setitem(world.operator.settings, "trainer", right)
    world.operator.start()

    eventually(
        "the old Job being removed", lambda: jobs(world)[0]["metadata"].get("deletionTimestamp")
    )
    never(
        "another Job or pod beside that of a node which does not answer",
        lambda: [ids(jobs(world)), ids(pods(world))] != [ids([before]), ids([waiting])],
        during=2,
    )
    world.kubelet.speak(node)
    status = world.wait_phase(DATASET, "pets", "Ready")
    assert status["snapshot"]["samples"] == 6
    assert ids(jobs(world)) != ids([before])
    [made] = pods(world)
    assert made["spec"]["containers"][0]["image"] == right["image"]


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
