"""`trainyard datasets` with a real API server and a real S3 server."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from support.world import BUCKET
from team import Team

from trainyard.api.dataset import Dataset, Selection
from trainyard.api.documents import dump_yaml
from trainyard.api.run import SnapshotRunFile, StoreLocation
from trainyard.cluster.resources import DATASET
from trainyard.datasets.reading import read_snapshot
from trainyard.datasets.snapshot import make_snapshot

Json = dict[str, Any]


def square(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (number, 255 - number, 90)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Twelve images of two classes, three of each video."""
    folder = tmp_path / "pets"
    for number in range(12):
        path = folder / ("dog" if number % 4 == 0 else "cat") / f"video{number // 3}_{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(square(number))
    return folder


def apply(team: Team, text: str) -> list[Dataset]:
    """Apply manifests as the command printed them."""
    made = []
    for body in yaml.safe_load_all(text):
        team.create(DATASET, body)
        made.append(Dataset.model_validate(body))
    return made


def make_ready(team: Team, dataset: Dataset) -> str:
    """Do what the snapshot Job and the operator do; gives the snapshot's folder."""
    run = SnapshotRunFile(
        name=dataset.metadata.name,
        namespace=team.namespace,
        uid="1",
        selections=dataset.spec.selections,
        group_by=dataset.spec.group_by,
        output=f"s3://{BUCKET}/datasets/{team.namespace}",
    )
    made = make_snapshot(team.store, run, lambda *_: None)
    found = read_snapshot(team.store, made.location)
    status = {
        "phase": "Ready",
        "observedGeneration": 1,
        "snapshot": {
            "uri": made.location,
            "digest": found.digest,
            "samples": found.samples,
            "annotations": found.annotations,
            "classes": [entry.to_wire() for entry in found.classes],
            "sizeBytes": found.size_bytes,
            "createdAt": "2026-11-23T11:00:00Z",
        },
    }
    put_status(team, dataset.metadata.name, status)
    return made.location


def put_status(team: Team, name: str, status: Json) -> None:
    team.api.merge_patch(DATASET, name, {"status": status}, team.namespace, subresource="status")


def test_what_upload_and_split_print_is_applied_as_it_is_and_then_shown(
    team: Team, pets: Path
) -> None:
    place = f"s3://{BUCKET}/data/{team.namespace}"
    apply(team, team.says("datasets", "upload", str(pets), place, "--name", "all", **team.reach))
    words = ["datasets", "split", place, "--name", "pets", "--group-by", r"(video\d+)_"]
    shares = ["--train", "50", "--dev", "25", "--test", "25"]
    datasets = apply(team, team.says(*words, *shares, **team.reach))
    assert [dataset.metadata.name for dataset in datasets] == [
        "pets-train",
        "pets-dev",
        "pets-test",
    ]
    uris = [make_ready(team, dataset) for dataset in datasets]

    titles, *rows = team.says("datasets", "list").splitlines()
    assert titles.split() == ["NAME", "PHASE", "SAMPLES", "CLASSES", "SIZE", "AGE"]
    cells = {row.split()[0]: row.split()[1:4] for row in rows}
    assert cells["pets-train"] == ["Ready", "6", "2"]
    assert cells["pets-dev"][1] == cells["pets-test"][1] == "3"
    assert len(cells["all"]) == 1

    said = team.says("datasets", "show", "pets-train", "--out", "sheet.png", **team.reach)
    assert uris[0] in said
    assert "groups     2, the largest is video" in said
    with Image.open(team.folder / "sheet.png") as image:
        assert image.width == 4 * 268 + 12
    listed = json.loads(team.says("datasets", "list", "-o", "json"))
    assert [item["kind"] for item in listed["items"]] == ["Dataset"] * 4


def test_without_any_setting_keys_and_endpoint_are_those_of_the_snapshots_of_the_namespace(
    team: Team, pets: Path
) -> None:
    team.secret()
    selection = {"format": "folders", "source": {"s3": {"bucket": BUCKET, "prefix": "a"}}}
    document = SnapshotRunFile(
        name="d",
        namespace=team.namespace,
        uid="1",
        selections=(Selection.model_validate(selection),),
        output=f"s3://{BUCKET}/datasets",
        store=StoreLocation(endpoint_url=team.account.endpoint_url),
    ).sealed()
    team.told_runs(dump_yaml(document.to_wire()))
    place = f"s3://{BUCKET}/data/{team.namespace}"
    said = team.says("datasets", "upload", str(pets), place, who=team.engineer)
    [dataset] = apply(team, said)
    make_ready(team, dataset)
    shown = team.says("datasets", "show", dataset.metadata.name, who=team.engineer)
    assert "12 labels of whole images" in shown
    # Who may not read the Secret is told what is missing.
    sentence = team.refuses("datasets", "show", dataset.metadata.name, who=team.viewer)
    assert "there are no keys for the object store" in sentence


def test_a_draft_is_searched_by_its_name_and_has_nothing_to_show(team: Team, pets: Path) -> None:
    place = f"s3://{BUCKET}/data/{team.namespace}"
    body = yaml.safe_load(
        team.says("datasets", "upload", str(pets), place, "--name", "growing", **team.reach)
    )
    body["spec"]["suspend"] = True
    body["spec"]["selections"][0]["filter"] = {"classes": ["dog"]}
    team.create(DATASET, body)
    put_status(team, "growing", {"phase": "Draft", "observedGeneration": 1})
    said = team.says("datasets", "search", "growing", "--out", "found.png", **team.reach)
    assert said.splitlines()[0] == "Dataset growing: 3 matches"
    assert "3 of 12 images" in said
    assert (team.folder / "found.png").is_file()
    sentence = team.refuses("datasets", "show", "growing", **team.reach)
    assert "is a draft and has no snapshot: `trainyard datasets search growing`" in sentence


def test_a_dataset_that_failed_is_told_with_its_reason(team: Team) -> None:
    source = {"s3": {"bucket": BUCKET, "prefix": "nowhere"}}
    spec = {"selections": [{"format": "folders", "source": source}]}
    team.create(DATASET, {"metadata": {"name": "bad"}, "spec": spec})
    condition = {
        "type": "Ready",
        "status": "False",
        "reason": "BadData",
        "message": "no images found under nowhere",
        "lastTransitionTime": "2026-11-23T11:00:00Z",
    }
    put_status(team, "bad", {"phase": "Failed", "conditions": [condition]})
    sentence = team.refuses("datasets", "show", "bad", **team.reach)
    assert "has no snapshot: no images found under nowhere" in sentence
    assert "there is no Dataset other" in team.refuses("datasets", "show", "other", **team.reach)


def test_an_empty_list_says_so_and_is_no_error(team: Team) -> None:
    done = team.run("datasets", "list")
    assert (done.exit_code, done.stdout) == (0, "")
    assert f"There are no Datasets in namespace {team.namespace}" in done.stderr
