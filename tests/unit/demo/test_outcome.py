"""Artefacts are believed when status, manifest and bytes agree, and models when they are good."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from trainyard.api.manifest import ArtefactManifest
from trainyard.api.process import TrainingProcess
from trainyard.api.run import StoreLocation
from trainyard.stores.routed import open_store
from trainyard_demo.errors import DemoError
from trainyard_demo.outcome import collect, judge, score

FILES = {
    "model.pth": b"tensors",
    "config.yaml": b"classes",
    "pr.png": b"curves",
    "notes.txt": b"no role",
}
ROLES = {"weights": "model.pth", "config": "config.yaml", "precisionRecall": "pr.png"}


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def process(
    folder: Path, name: str = "digits", metric: str = "top-1", value: str = "0.95"
) -> TrainingProcess:
    def ref(file: str) -> dict[str, Any]:
        return {
            "uri": f"file://{folder}/{file}",
            "sha256": sha(FILES[file]),
            "sizeBytes": len(FILES[file]),
        }

    status = {
        "artefacts": {"location": f"file://{folder}"}
        | {role: ref(file) for role, file in ROLES.items()},
        "evaluation": {"test": {"metrics": [{"name": metric, "value": value}], "samples": 9}},
    }
    spec = {
        "capability": "c",
        "template": "t",
        "datasets": {"train": ["a"], "dev": ["b"]},
        "targetNode": "gpu-1",
    }
    return TrainingProcess.model_validate(
        {"kind": "TrainingProcess", "metadata": {"name": name}, "spec": spec, "status": status}
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished run's folder."""
    made = tmp_path / "run"
    made.mkdir()
    for name, data in FILES.items():
        (made / name).write_bytes(data)
    manifest = ArtefactManifest.model_validate(
        {
            "uid": "u",
            "attempt": 1,
            "runDigest": "0" * 64,
            "fingerprint": "f",
            "files": [
                {"name": name, "sha256": sha(data), "sizeBytes": len(data)}
                for name, data in FILES.items()
            ],
            "roles": ROLES,
            "primaryMetric": "top-1",
            "dev": {"metrics": {}, "samples": 1},
            "epochsTrained": 1,
            "createdAt": "2026-01-01T00:00:00Z",
        }
    )
    (made / "manifest.json").write_text(manifest.model_dump_json(by_alias=True))
    return made


STORE = open_store(StoreLocation())


def test_files_are_downloaded_and_those_with_a_role_returned(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "got"
    found = collect(process(folder), STORE, target)
    assert {file.role.value: file.path.read_bytes() for file in found} == {
        "weights": b"tensors",
        "config": b"classes",
        "precisionRecall": b"curves",
    }
    assert (target / "notes.txt").read_bytes() == b"no role"
    assert (target / "manifest.json").exists()


def test_changed_bytes_are_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "model.pth").write_bytes(b"tensorZ")
    with pytest.raises(DemoError, match=r"artefacts of digits cannot be verified: .*model\.pth"):
        collect(process(folder), STORE, tmp_path / "got")


def test_status_that_differs_from_the_manifest_is_refused(folder: Path, tmp_path: Path) -> None:
    honest = process(folder)
    assert honest.status.artefacts is not None
    assert honest.status.artefacts.weights is not None
    wrong = honest.status.artefacts.weights.model_copy(update={"size_bytes": 8})
    artefacts = honest.status.artefacts.model_copy(update={"weights": wrong})
    lying = honest.model_copy(
        update={"status": honest.status.model_copy(update={"artefacts": artefacts})}
    )
    with pytest.raises(DemoError, match=r"status\.artefacts\.weights of TrainingProcess digits"):
        collect(lying, STORE, tmp_path / "got")


def test_missing_manifest_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "manifest.json").unlink()
    with pytest.raises(DemoError, match="cannot be verified"):
        collect(process(folder), STORE, tmp_path / "got")


@pytest.mark.parametrize(
    ("name", "metric", "value", "good"),
    [
        ("digits", "top-1", "0.9", True),
        ("digits-unvaried", "top-1", "0.899", False),
        ("nuclei", "mAP50", "0.5", True),
        ("nuclei", "mAP50", "0.4999", False),
        ("nuclei", "mAP50", "nan", False),
    ],
)
def test_model_must_reach_its_goal(name: str, metric: str, value: str, good: bool) -> None:
    problems = judge([process(Path("/x"), name, metric, value)])
    assert (problems == []) is good
    assert all(name in problem and metric in problem for problem in problems)


def test_missing_metric_is_named_beside_those_that_are_there() -> None:
    with pytest.raises(DemoError, match=r"no mAP50 on test data .*\(it has top-1\)"):
        score(process(Path("/x")), "mAP50")
