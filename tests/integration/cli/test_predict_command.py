"""`trainyard predict NAME`: a model of a real API server and a real store is really asked."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from support.world import BUCKET
from team import Team

from trainyard.cluster.resources import MODEL

ROOT = Path(__file__).resolve().parents[3]
PYTHON = ROOT / ".venv-trainer" / "bin" / "python"
"""The one that has torch."""
WRITE = (
    "import sys; from pathlib import Path; "
    "from tests.unit.trainer.untrained import write_box_classifier; "
    "write_box_classifier(Path(sys.argv[1]))"
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """model.pth and config.yaml of a model that has learnt nothing."""
    folder = tmp_path_factory.mktemp("model")
    subprocess.run([PYTHON, "-c", WRITE, folder], cwd=ROOT, check=True)
    return {name: (folder / name).read_bytes() for name in ("model.pth", "config.yaml")}


@pytest.fixture
def location(team: Team, files: dict[str, bytes]) -> str:
    """Of the TrainedModel `cats`."""
    location = f"s3://{BUCKET}/runs/{team.namespace}/cats"
    artefacts: dict[str, object] = {"location": location}
    for role, name in (("weights", "model.pth"), ("config", "config.yaml")):
        team.store.write_bytes(f"{location}/{name}", files[name])
        artefacts[role] = {
            "uri": f"{location}/{name}",
            "sha256": hashlib.sha256(files[name]).hexdigest(),
            "sizeBytes": len(files[name]),
        }
    spec = {
        "capability": "shape",
        "type": "BoxClassifierElement",
        "engine": "yolo-cls",
        "classes": [
            {"attribute": "class", "value": value, "position": position}
            for position, value in enumerate(("disc", "square"))
        ],
        "artefacts": artefacts,
    }
    team.create(MODEL, {"metadata": {"name": "cats"}, "spec": spec})
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), (200, 30, 40)).save(buffer, "PNG")
    (team.folder / "a.png").write_bytes(buffer.getvalue())
    return location


def predict(team: Team, *words: str, keys: bool = True) -> subprocess.CompletedProcess[str]:
    environ = {"TRAINYARD_KUBECONFIG": str(team.admin), "TRAINYARD_NAMESPACE": team.namespace}
    environ |= team.reach if keys else {}
    command = [PYTHON, "-m", "trainyard.cli", "predict", *words]
    done = subprocess.run(
        command, cwd=team.folder, env={**os.environ, **environ}, capture_output=True, text=True
    )
    print(f"$ trainyard predict {' '.join(words)}\n{done.stdout}{done.stderr}")
    assert "Traceback" not in done.stderr
    return done


def test_a_model_is_fetched_once_verified_each_time_and_asked(team: Team, location: str) -> None:
    first = predict(team, "cats", "a.png", "--boxes", "0,0,1,1")
    assert first.returncode == 0
    assert [line.split()[0] for line in first.stdout.splitlines()] == ["IMAGE", "a.png"]
    assert "fetching 2 files" in first.stderr
    # Fetched again it would not be found.
    team.store.delete(f"{location}/model.pth")
    second = predict(team, "cats", "a.png", "--boxes", "0,0,1,1")
    assert second.stdout == first.stdout
    assert "model.pth: already there, verified" in second.stderr
    # What was changed in the cache is not asked.
    (cached,) = (team.folder / ".cache" / "trainyard" / "models").glob("*/model.pth")
    cached.write_bytes(b"another model")
    third = predict(team, "cats", "a.png")
    assert (third.returncode, third.stdout) == (1, "")
    assert f"{location}/model.pth is not in the store" in third.stderr


def test_weights_that_are_not_what_the_model_states_are_not_asked(
    team: Team, location: str
) -> None:
    team.store.write_bytes(f"{location}/model.pth", b"another model")
    done = predict(team, "cats", "a.png")
    assert (done.returncode, done.stdout) == (1, "")
    (sentence,) = (line for line in done.stderr.splitlines() if line.startswith("Error"))
    assert (
        f"{location}/model.pth is not the file that the model names: expected SHA-256" in sentence
    )


def test_an_unknown_model_and_missing_keys_are_told_in_a_sentence(
    team: Team, location: str
) -> None:
    unknown = predict(team, "dogs", "a.png")
    assert unknown.returncode == 1
    assert f"there is no TrainedModel dogs in namespace {team.namespace}" in unknown.stderr
    keyless = predict(team, "cats", "a.png", keys=False)
    assert keyless.returncode == 1
    assert "there are no keys for the object store" in keyless.stderr
