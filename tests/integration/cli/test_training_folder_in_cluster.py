"""What `generate`, `train evaluate --create` and `train export` read and write in a cluster.

The training itself needs the trainer's libraries: see tests/unit/trainer/test_training_folder.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
from support.world import BUCKET
from team import FILES, ROLES, Team
from tests.unit.labelled import image_bytes

from trainyard.api.evaluation import EvaluatedSplit, EvaluationFile
from trainyard.api.manifest import ArtefactManifest, SplitMetrics, StoredFile
from trainyard.api.model import TrainedModel
from trainyard.api.run import RunFile, SnapshotRunFile, StoreLocation
from trainyard.api.template import Engine
from trainyard.cli import options
from trainyard.cli.app import trainyard
from trainyard.cli.errors import CommandError
from trainyard.cli.local import publishing
from trainyard.cli.local.attempts import Done
from trainyard.cli.local.check import run_file_of
from trainyard.cli.local.cluster_source import facts_from, fetch_snapshot
from trainyard.cli.local.generating import check_engine
from trainyard.cluster.resources import CAPABILITY, DATASET, MODEL, TEMPLATE
from trainyard.datasets.reading import read_snapshot
from trainyard.datasets.snapshot import make_snapshot
from trainyard.stores import open_store, verify_manifest

Json = dict[str, Any]
CAT: Json = {"attribute": "class", "value": "cat", "position": 0}
DOG: Json = {"attribute": "class", "value": "dog", "position": 1}


@pytest.fixture
def at_work(team: Team, monkeypatch: pytest.MonkeyPatch) -> Iterator[Team]:
    """A command that runs in the namespace, with the store's keys."""
    for name, value in (
        ("TRAINYARD_KUBECONFIG", str(team.engineer)),
        ("TRAINYARD_NAMESPACE", team.namespace),
        *team.reach.items(),
    ):
        monkeypatch.setenv(name, value)
    with click.Context(trainyard):
        yield team


def dataset(team: Team, name: str, seeds: range) -> str:
    """A Dataset with a real snapshot; gives its URI."""
    prefix = f"s3://{BUCKET}/source/{team.namespace}/{name}"
    for seed in seeds:
        value = ("cat", "dog")[seed % 2]
        team.store.write_bytes(f"{prefix}/{value}/{seed}.png", image_bytes(seed))
    source = {"bucket": BUCKET, "prefix": f"source/{team.namespace}/{name}"}
    selections = [{"source": {"s3": source}, "format": "folders"}]
    run = SnapshotRunFile.model_validate(
        {
            "name": name,
            "namespace": team.namespace,
            "uid": name,
            "selections": selections,
            "output": f"s3://{BUCKET}/root/datasets/{team.namespace}",
        }
    )
    made = make_snapshot(team.store, run, lambda *_: None)
    found = read_snapshot(team.store, made.location)
    team.create(DATASET, {"metadata": {"name": name}, "spec": {"selections": selections}})
    snapshot = {
        "uri": made.location,
        "digest": found.digest,
        "samples": found.samples,
        "annotations": found.annotations,
        "classes": [item.to_wire() for item in found.classes],
        "sizeBytes": found.size_bytes,
        "createdAt": "2026-11-23T11:00:00Z",
    }
    status = {"status": {"phase": "Ready", "snapshot": snapshot}}
    team.api.merge_patch(DATASET, name, status, team.namespace, subresource="status")
    return made.location


def parts(team: Team) -> None:
    """What the process `cats` names, but for its datasets."""
    spec = {"type": "ImageClassifierElement", "outputs": [CAT, DOG]}
    team.create(CAPABILITY, {"metadata": {"name": "animals"}, "spec": spec})
    template = {
        "displayName": "small",
        "engine": "yolo-cls",
        "baseModel": {"architecture": "yolo11n"},
    }
    team.create(TEMPLATE, {"metadata": {"name": "small"}, "spec": template})
    team.process("cats")


def test_a_process_of_the_cluster_comes_with_its_snapshots(at_work: Team, tmp_path: Path) -> None:
    parts(at_work)
    for name, seeds in (("train", range(8)), ("dev", range(100, 104))):
        dataset(at_work, name, seeds)
    root, here = f"file://{tmp_path}/store", open_store(StoreLocation())
    facts = facts_from(options.connection(), "cats", root, cpu=True)
    check_engine(facts, Engine.YOLO_CLS)
    with pytest.raises(CommandError, match="TrainingTemplate small has the engine yolo-cls"):
        check_engine(facts, Engine.YOLO_DET)
    fetched = {
        name: fetch_snapshot(at_work.store, item, here, f"{root}/datasets/{at_work.namespace}")
        for name, item in facts.datasets.items()
    }
    for name, item in fetched.items():
        assert item.status.snapshot is not None
        assert item.status.snapshot.uri.startswith(root)
        original = facts.datasets[name].status.snapshot
        assert original is not None
        assert read_snapshot(here, item.status.snapshot.uri) == read_snapshot(
            at_work.store, original.uri
        )
    facts.datasets.update(fetched)
    run = run_file_of(facts, here)
    run.verify("run.yaml")
    assert (run.name, run.namespace) == ("cats", at_work.namespace)
    assert run.template.resources.gpus == 0
    assert [item.uri.startswith(root) for item in run.datasets.train] == [True]


def test_a_damaged_shard_is_not_kept(at_work: Team, tmp_path: Path) -> None:
    parts(at_work)
    dataset(at_work, "train", range(8))
    dataset(at_work, "dev", range(100, 104))
    facts = facts_from(options.connection(), "cats", f"file://{tmp_path}", cpu=True)
    train = facts.datasets["train"]
    assert train.status.snapshot is not None
    (shard,) = read_snapshot(at_work.store, train.status.snapshot.uri).shards
    place = f"s3://{BUCKET}/root/datasets/{at_work.namespace}/{shard.name}"
    at_work.store.write_bytes(place, b"x" * shard.size_bytes)
    here = open_store(StoreLocation())
    with pytest.raises(CommandError, match="it was damaged or changed"):
        fetch_snapshot(at_work.store, train, here, f"file://{tmp_path}/datasets")
    assert not list((tmp_path / "datasets").rglob("*.tar"))


def test_what_is_missing_or_not_ready_is_named(at_work: Team, tmp_path: Path) -> None:
    def refused() -> str:
        with pytest.raises(CommandError) as caught:
            facts_from(options.connection(), "cats", f"file://{tmp_path}", cpu=True)
        return str(caught.value)

    assert "there is no TrainingProcess cats" in refused()
    parts(at_work)
    assert "there is no Dataset train" in refused()
    dataset(at_work, "train", range(4))
    selections = [{"source": {"s3": {"bucket": BUCKET}}, "format": "folders"}]
    at_work.create(DATASET, {"metadata": {"name": "dev"}, "spec": {"selections": selections}})
    assert (
        f"Dataset {at_work.namespace}/dev has no snapshot: the operator has not looked" in refused()
    )


def test_an_evaluation_is_recorded_beside_the_model_and_the_operator_is_told(
    at_work: Team, tmp_path: Path
) -> None:
    location = at_work.model("cats")
    made = EvaluationFile(
        plan="night",
        checkpoint_sha256="0" * 64,
        primary_metric="top-1",
        test=EvaluatedSplit(metrics={"top-1": 0.5}, samples=4),
        created_at=datetime.now(UTC),
    )
    (tmp_path / "night.json").write_text(made.model_dump_json(by_alias=True, exclude_none=True))
    target = publishing.evaluated_model("cats")
    said = publishing.record_evaluation(target, tmp_path / "night.json", "night")
    assert f"{location}/evaluations/night.json" in said
    stored = at_work.store.read_bytes(f"{location}/evaluations/night.json")
    assert EvaluationFile.model_validate_json(stored) == made
    raw = at_work.api.get(MODEL, "cats", at_work.namespace)
    assert raw is not None
    assert raw["metadata"]["annotations"]["trainyard.dev/evaluations"]
    with pytest.raises(CommandError, match="there is no TrainedModel dogs"):
        publishing.evaluated_model("dogs")


def finished(folder: Path) -> Done:
    """A model as the trainer leaves it."""
    folder.mkdir()
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    manifest = ArtefactManifest(
        uid="cats-1",
        attempt=1,
        run_digest="0" * 64,
        fingerprint="f" * 64,
        files=tuple(
            StoredFile(name=name, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
            for name, data in FILES.items()
        ),
        roles=ROLES,
        primary_metric="top-1",
        dev=SplitMetrics(metrics={"top-1": 0.9}, samples=4),
        epochs_trained=2,
        created_at=datetime.now(UTC),
    )
    (folder / "manifest.json").write_text(json.dumps(manifest.to_wire()))
    return Done(f"file://{folder}", manifest)


def run_file() -> RunFile:
    return RunFile.model_validate(
        {
            "name": "cats",
            "namespace": "local",
            "uid": "cats-0123456789ab",
            "fingerprint": "f" * 64,
            "capabilityName": "animals",
            "capability": {"type": "ImageClassifierElement", "outputs": [CAT, DOG]},
            "templateName": "small",
            "template": {
                "displayName": "small",
                "engine": "yolo-cls",
                "baseModel": {"architecture": "yolo11n"},
            },
            "datasets": {"train": [], "dev": []},
            "output": "file:///x",
        }
    )


def test_a_model_is_uploaded_verified_and_registered(at_work: Team, tmp_path: Path) -> None:
    dataset(at_work, "train", range(4))
    made = finished(tmp_path / "exported")
    lines = list(publishing.register(publishing.new_model("kittens"), run_file(), made))
    raw = at_work.api.get(MODEL, "kittens", at_work.namespace)
    assert raw is not None
    model = TrainedModel.model_validate(raw)
    location = model.spec.artefacts.location
    assert location.startswith(f"s3://{BUCKET}/root/runs/{at_work.namespace}/cats-0123456789ab/")
    assert verify_manifest(at_work.store, location) == made.manifest
    assert model.spec.artefacts.weights is not None
    assert f"            {model.spec.artefacts.weights.uri}" in lines
    assert model.spec.metric == "top-1 0.900"
    assert [output.value for output in model.spec.classes] == ["cat", "dog"]
    with pytest.raises(CommandError, match="there is a TrainedModel kittens in namespace"):
        publishing.new_model("kittens")


def test_where_nothing_tells_of_the_store_that_is_said(at_work: Team) -> None:
    with pytest.raises(CommandError, match="nothing tells where its store is"):
        publishing.new_model("kittens")
