"""What `trainyard run` decides before it trains: with folders and manifests, and no trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.test_manifests import CAPABILITY, TEMPLATE, manifest, write
from trainyard.api.meta import Json
from trainyard.api.template import TrainingTemplateSpec
from trainyard.cli.errors import CommandError
from trainyard.cli.local.check import facts_of
from trainyard.cli.local.sources import Folders, folders, store_for
from trainyard.cli.manifests.reading import Manifests, read_manifests
from trainyard.cli.profiles import Target
from trainyard.decide.facts import ProcessFacts
from trainyard.decide.resolve import resolve_template

PROCESS: Json = {
    "capability": "shape",
    "template": "tiny",
    "datasets": {"train": ["a"], "dev": ["b"]},
    "targetNode": "nowhere",
}
VOLUME: Json = {"selections": [{"source": {"volume": {"claimName": "disk"}}, "format": "yolo"}]}
BUCKET: Json = {"selections": [{"source": {"s3": {"bucket": "data"}}, "format": "yolo"}]}


def read(folder: Path, *, without: str = "", **process: Any) -> Manifests:
    documents = [
        manifest("Capability", CAPABILITY, "shape"),
        manifest("TrainingTemplate", TEMPLATE, "tiny"),
        manifest("Dataset", VOLUME, "a"),
        manifest("Dataset", BUCKET, "b"),
        manifest("TrainingProcess", PROCESS | process, "p"),
    ]
    return read_manifests(
        write(folder, *(x for x in documents if x["metadata"]["name"] != without))
    )


def facts(folder: Path, **changes: Any) -> ProcessFacts:
    cpu = changes.pop("cpu", False)
    found = read(folder, **changes)
    return facts_of(found, found.process(None), f"file://{folder}", cpu=cpu)


@pytest.mark.parametrize(
    ("without", "sentence"),
    [
        ("shape", "TrainingProcess p names the Capability shape, which is not in"),
        ("tiny", "TrainingProcess p names the TrainingTemplate tiny, which is not in"),
        ("b", "TrainingProcess p names the Dataset b, which is not in"),
    ],
)
def test_what_is_named_and_missing_is_told(tmp_path: Path, without: str, sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        facts(tmp_path, without=without)


def test_what_does_not_fit_is_refused_as_by_the_operator(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="InvalidOverride: evaluation"):
        facts(tmp_path, overrides={"evaluation": {"primaryMetric": "mAP50"}})


def test_cpu_changes_the_gpus_and_nothing_else_of_the_overrides(tmp_path: Path) -> None:
    found = facts(tmp_path, cpu=True, overrides={"resources": {"cpu": "3"}})
    assert found.template is not None
    recipe = resolve_template(found.template.spec, found.process.spec.overrides)
    assert (recipe.resources.gpus, recipe.resources.cpu) == (0, "3")
    assert recipe.hyperparameters == TrainingTemplateSpec.model_validate(TEMPLATE).hyperparameters


def test_one_of_several_processes_is_named(tmp_path: Path) -> None:
    found = read(tmp_path)
    write(tmp_path, manifest("TrainingProcess", PROCESS, "q"), name="second.yaml")
    found = read_manifests(tmp_path)
    with pytest.raises(CommandError, match=r"2 TrainingProcesses \(p, q\): name one with"):
        found.process(None)
    assert found.process("q").metadata.name == "q"
    with pytest.raises(CommandError, match="has no TrainingProcess r: it has p, q"):
        found.process("r")


def test_a_volume_needs_a_folder(tmp_path: Path) -> None:
    datasets = facts(tmp_path).datasets.values()
    with pytest.raises(CommandError, match="--volume disk=FOLDER"):
        Folders({}, {}).check(datasets)
    Folders({"disk": tmp_path}, {}).check(datasets)


def test_a_bucket_needs_a_folder_or_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    datasets = facts(tmp_path).datasets.values()
    with pytest.raises(CommandError) as caught:
        store_for(datasets, Folders({}, {}), Target())
    assert "Dataset b reads the bucket data, and there are no keys" in str(caught.value)
    assert "--bucket data=FOLDER" in str(caught.value)
    store_for(datasets, Folders({}, {"data": tmp_path}), Target())


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["disk"], "--volume disk: give NAME=FOLDER"),
        (["=x"], "--volume =x: give NAME=FOLDER"),
        (["disk=/nowhere"], "--volume disk=/nowhere: there is no folder /nowhere"),
        (["disk=/", "disk=/tmp"], "--volume disk=/tmp: disk is / already"),
    ],
)
def test_a_folder_that_cannot_be_used_is_told(given: list[str], sentence: str) -> None:
    with pytest.raises(CommandError) as caught:
        folders("--volume", given)
    assert str(caught.value) == sentence
