"""Datasets: a draft, a snapshot, or a failure with the trainer's own sentence."""

from __future__ import annotations

import hashlib
import json

from support.trainer import Ending, PodRun, fails, play
from support.waiting import eventually, never
from support.world import BUCKET, World

from trainyard.api.report import LastWords
from trainyard.cluster.resources import DATASET, JOB
from trainyard.datasets.reading import read_snapshot
from trainyard.stores import join


def test_a_snapshot_is_counted_in_status_and_lies_in_the_store(world: World) -> None:
    world.dataset("pets", {"cat/1.png": b"cat 1", "cat/2.png": b"cat 2", "dog/1.png": b"dog 1"})
    status = world.wait_phase(DATASET, "pets", "Ready")
    snapshot = status["snapshot"]
    assert (snapshot["samples"], snapshot["annotations"], snapshot["sizeBytes"]) == (3, 3, 15)
    assert snapshot["classes"] == [
        {"attribute": "class", "value": "cat", "count": 2},
        {"attribute": "class", "value": "dog", "count": 1},
    ]
    assert read_snapshot(world.store, snapshot["uri"]).digest == snapshot["digest"]
    assert snapshot["uri"].startswith(f"s3://{BUCKET}/trainyard/datasets/{world.namespace}/")
    ready = world.condition("pets", "Ready", DATASET)
    assert (ready["status"], ready["reason"]) == ("True", "Snapshotted")
    assert ready["message"] == "3 images, 3 labels"
    row = world.row(DATASET, "pets")
    print(world.kubectl("get", "tds"))
    assert row.pop("AGE")
    assert row == {"NAME": "pets", "PHASE": "Ready", "SAMPLES": "3", "CLASSES": "2", "SIZE": "15 B"}
    for condition in ("Ready", "Finished"):
        assert "condition met" in world.kubectl("wait", f"--for=condition={condition}", "tds/pets")


def test_a_snapshot_stays_what_it_was_when_the_source_changes(world: World) -> None:
    world.dataset("pets", {"cat/1.png": b"cat 1", "dog/1.png": b"dog 1"})
    before = world.wait_phase(DATASET, "pets", "Ready")
    world.put_images("pets", {"cat/2.png": b"cat 2"})
    never("a change of status", lambda: world.status("pets", DATASET) != before, during=1)


def test_data_that_cannot_be_used_fails_the_dataset_with_the_trainers_sentence(
    world: World,
) -> None:
    sentence = "train/labels/0007.txt:3: 4 columns, a box has 5: mend or remove the line"
    world.kubelet.script(world.namespace, "pets", fails(65, "BadData", sentence))
    world.dataset("pets")
    world.wait_phase(DATASET, "pets", "Failed")
    ready = world.condition("pets", "Ready", DATASET)
    assert (ready["status"], ready["reason"], ready["message"]) == ("False", "BadData", sentence)
    assert "condition met" in world.kubectl("wait", "--for=condition=Finished", "tds/pets")
    world.capability()
    world.template()
    world.process("cats", datasets={"train": ["pets"], "dev": ["other"]})
    waiting = world.wait_reason("cats", "Validated", "DatasetFailed")["message"]
    assert waiting.startswith(
        f"Dataset pets has failed: {sentence}; once that is mended, delete it"
    )
    assert world.jobs("cats") == []
    described = world.kubectl("describe", "tp", "cats")
    print(described)
    events = described.partition("Events:")[2]
    assert sentence in described.partition("Events:")[0]
    assert sentence in events


def test_a_process_goes_on_when_a_dataset_that_had_failed_was_applied_again(world: World) -> None:
    world.kubelet.script(world.namespace, "train", fails(65, "BadData", "a.txt:3: NaN"))
    world.inputs()
    world.wait_phase(DATASET, "train", "Failed")
    world.process("cats")
    world.wait_reason("cats", "Validated", "DatasetFailed")
    world.kubelet.script(world.namespace, "train", play)
    world.delete(DATASET, "train")
    eventually(
        "the Dataset being gone", lambda: world.api.get(DATASET, "train", world.namespace) is None
    )
    world.dataset("train")
    world.succeeds("cats")


def test_an_empty_source_fails_the_dataset(world: World) -> None:
    world.dataset("pets", {})
    world.wait_phase(DATASET, "pets", "Failed")
    assert "no image was found" in world.condition("pets", "Ready", DATASET)["message"]


def test_a_draft_dataset_may_be_extended_and_is_snapshotted_when_suspend_becomes_false(
    world: World,
) -> None:
    world.apply("Dataset", "pets", {"suspend": True})
    world.wait_phase(DATASET, "pets", "Draft")
    assert world.condition("pets", "Ready", DATASET)["reason"] == "Draft"
    prefix = world.put_images("pets", {"cat/1.png": b"cat 1"})
    source = {"s3": {"bucket": BUCKET, "prefix": prefix}}
    selections = [{"format": "folders", "source": source}]
    world.patch(DATASET, "pets", {"spec": {"selections": selections}})
    more = world.put_images("more", {"dog/1.png": b"dog 1", "dog/2.png": b"dog 2"})
    selections.append({"format": "folders", "source": {"s3": {"bucket": BUCKET, "prefix": more}}})
    world.patch(DATASET, "pets", {"spec": {"selections": selections}})
    never("a Job", lambda: world.api.list(JOB, world.namespace).items, during=1)
    world.patch(DATASET, "pets", {"spec": {"suspend": False}})
    assert world.wait_phase(DATASET, "pets", "Ready")["snapshot"]["samples"] == 3
    for change in ({"suspend": True}, {"selections": selections[:1]}, {"groupBy": "^(cat)"}):
        patch = f"--patch={json.dumps({'spec': change})}"
        refused = world.kubectl("patch", "tds", "pets", "--type=merge", patch, check=False)
        assert "immutable once suspend is false" in refused


def _elsewhere(run: PodRun) -> Ending:
    """Says that the snapshot lies where another namespace's snapshots lie."""
    ending = play(run)
    words = LastWords.model_validate_json(ending.message)
    assert words.location is not None
    foreign = words.location.replace(run.namespace, "another-team")
    return Ending(0, words.model_copy(update={"location": foreign}).model_dump_json())


def test_a_snapshot_outside_of_the_namespaces_own_folder_is_not_believed(world: World) -> None:
    world.kubelet.script(world.namespace, "pets", _elsewhere)
    world.dataset("pets")
    world.wait_phase(DATASET, "pets", "Failed")
    ready = world.condition("pets", "Ready", DATASET)
    assert ready["reason"] == "SnapshotFailed"
    assert "outside of" in ready["message"]


def _forged(run: PodRun) -> Ending:
    """Changes snapshot.json after its digest was reported."""
    ending = play(run)
    words = LastWords.model_validate_json(ending.message)
    assert words.location is not None
    uri = join(words.location, "snapshot.json")
    document = json.loads(run.store.read_bytes(uri))
    document["samples"] = 1_000_000
    run.store.write_bytes(uri, json.dumps(document).encode())
    return ending


def test_a_snapshot_that_is_not_what_the_job_wrote_is_not_believed(world: World) -> None:
    world.kubelet.script(world.namespace, "pets", _forged)
    world.dataset("pets")
    world.wait_phase(DATASET, "pets", "Failed")
    assert (
        "is not what the snapshot Job wrote" in world.condition("pets", "Ready", DATASET)["message"]
    )


def test_two_datasets_of_the_same_images_have_the_same_digest(world: World) -> None:
    images = {"cat/1.png": b"cat 1", "dog/1.png": b"dog 1"}
    world.dataset("one", images)
    world.dataset("two", images)
    digests = {
        world.wait_phase(DATASET, name, "Ready")["snapshot"]["digest"] for name in ("one", "two")
    }
    assert len(digests) == 1
    assert len(digests.pop()) == len(hashlib.sha256().hexdigest())
