"""A run taken to another machine and brought back: generate, train, export, evaluate."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e import manifests
from tests.e2e.conftest import REPOSITORY, Team
from tests.e2e.steps import apply, get, until

pytestmark = pytest.mark.timeout(600)


def test_a_folder_is_generated_from_the_cluster_and_its_model_registered_there(
    team: Team, tmp_path: Path
) -> None:
    def trainyard(*arguments: str | Path) -> str:
        done = subprocess.run(
            [REPOSITORY / ".venv-trainer/bin/trainyard", *arguments],
            env=os.environ
            | {
                "KUBECONFIG": str(team.system.cluster.kubeconfig),
                "TRAINYARD_NAMESPACE": team.namespace,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    draft = manifests.process("small", "digits", "digit", "gpu-1")
    draft["spec"]["suspend"] = True
    apply(team, *manifests.digits(), draft)
    team.kubectl("wait", "--for=condition=Ready", "tds", "--all", "--timeout=240s")
    trainyard("generate", "training-run", "small", "yolo-cls", tmp_path)
    folder = tmp_path / "small"
    trainyard("train", "start", folder)
    trained = folder / "runs/classify/train"
    checkpoint = (trained / "weights/best.pt", trained / "args.yaml")

    told = trainyard("train", "export", folder, *checkpoint)

    model = get(team, "tm", "small")
    assert model["spec"]["artefacts"]["weights"]["uri"] in told
    assert f"TrainedModel {team.namespace}/small" in told
    trainyard("train", "evaluate", folder, *checkpoint, "--create", "--plan", "second-look")
    (listed,) = until(
        "the evaluation is listed",
        lambda: get(team, "tm", "small").get("status", {}).get("evaluations"),
    )
    assert listed["plan"] == "second-look"
    assert listed["test"]["samples"] == 299
    assert trainyard("predict", "small", folder / "test/00003", "--out", tmp_path / "seen.png")
    assert (tmp_path / "seen.png").stat().st_size > 10_000
