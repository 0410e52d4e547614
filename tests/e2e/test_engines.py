"""Every engine on real nodes and real data: as the examples have it, and shorter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import REPOSITORY, System, Team
from tests.e2e.models import load_back
from tests.e2e.steps import apply, finish
from trainyard.api.process import TrainingProcess
from trainyard_demo import outcome
from trainyard_demo.store import BUCKET, PREFIX

pytestmark = pytest.mark.timeout(900)

SHORT = {"nuclei-masks": "nuclei-masks", "digit-vectors": "digit-boxes"}
"""Processes -> the folders of their examples."""
ALL = SHORT | {
    "digits": "digits",
    "nuclei": "nuclei",
    "tree-crowns": "tree-crowns",
    "digit-boxes": "digit-boxes",
}


def upload(system: System, name: str, folder: Path) -> None:
    """Make a set of images and put it into the store, as examples/README.md says."""
    account = system.cluster.s3
    keys = {
        "TRAINYARD_S3_ENDPOINT": account.endpoint_url,
        "AWS_ACCESS_KEY_ID": account.access_key,
        "AWS_SECRET_ACCESS_KEY": account.secret_key,
    }
    made = [sys.executable, "-m", "trainyard_demo.data", name, "--into", folder]
    subprocess.run(made, check=True, cwd=REPOSITORY)
    for split in ("train", "dev", "test"):
        place = f"{PREFIX}/{name}/{split}"
        command = [sys.executable, "-m", "trainyard.cli", "datasets", "upload", "--no-check"]
        subprocess.run(
            [*command, folder / place, f"s3://{BUCKET}/{place}"],
            check=True,
            env=os.environ | keys,
        )


def example(folder: str, process: str, changes: dict[str, Any]) -> list[dict[str, Any]]:
    """A process of an example and all that it may name."""
    found = []
    for path in sorted((REPOSITORY / "examples" / folder).glob("*.yaml")):
        for item in yaml.safe_load_all(path.read_text()):
            if item["kind"] != "TrainingProcess":
                found.append(item)
            elif item["metadata"]["name"] == process:
                found.append(item | {"spec": item["spec"] | changes})
    return found


def check(team: Team, name: str, folder: Path, seconds: int = 280) -> TrainingProcess:
    """It succeeded, every file is what status and manifest say, and the model answers."""
    item = finish(team, name, seconds)
    assert item["status"]["phase"] == "Succeeded", item["status"]["conditions"]
    load_back(team, item, folder, folder / "images" / PREFIX / ALL[name] / "test")
    return TrainingProcess.model_validate(item)


def test_outlines_and_vectors_are_learnt_and_loaded_back(team: Team, tmp_path: Path) -> None:
    short = {"overrides": {"hyperparameters": {"epochs": 1}}}
    for name, folder in SHORT.items():
        upload(team.system, folder, tmp_path / "images")
        items = example(folder, name, short | {"targetNode": f"gpu-{1 + list(SHORT).index(name)}"})
        for item in items:
            if item["kind"] == "TrainingTemplate":
                item["spec"]["exports"] = ["onnx"]
        apply(team, *items)
    for name in SHORT:
        process = check(team, name, tmp_path)
        assert process.status.artefacts is not None
        assert process.status.artefacts.onnx is not None


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_every_example_reaches_its_goal(team: Team, tmp_path: Path) -> None:
    for name, folder in ALL.items():
        upload(team.system, folder, tmp_path / "images")
        apply(team, *example(folder, name, {}))
    assert outcome.judge([check(team, name, tmp_path, 3000) for name in ALL]) == []
