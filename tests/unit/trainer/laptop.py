"""A laptop: folders of images and manifests, and the command line as a person types it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.unit.labelled import shape_bytes, write_folder
from trainyard.api.documents import dump_yaml

VALUES = ("disc", "square")
SPLITS = {"train": range(16), "dev": range(100, 106), "test": range(200, 206)}


def manifest(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "trainyard.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


def manifests(**hyperparameters: Any) -> list[dict[str, Any]]:
    """A classifier of discs and squares; train on a volume, the rest in a bucket."""
    sources: dict[str, dict[str, Any]] = {
        "train": {"volume": {"claimName": "pictures", "path": "train"}},
        "dev": {"s3": {"bucket": "shapes", "prefix": "dev"}},
        "test": {"s3": {"bucket": "shapes", "prefix": "test"}},
    }
    outputs = [{"attribute": "class", "value": v, "position": i} for i, v in enumerate(VALUES)]
    return [
        manifest("Capability", "shape", {"type": "ImageClassifierElement", "outputs": outputs}),
        manifest(
            "TrainingTemplate",
            "tiny",
            {
                "displayName": "tiny",
                "engine": "yolo-cls",
                "baseModel": {"architecture": "yolo11n"},
                "hyperparameters": {"epochs": 2, "batchSize": 8, "imageSize": 32} | hyperparameters,
                "resources": {"gpus": 0, "cpu": "1"},
            },
        ),
        *(
            manifest("Dataset", split, {"selections": [{"source": source, "format": "folders"}]})
            for split, source in sources.items()
        ),
        manifest(
            "TrainingProcess",
            "shapes",
            {
                "capability": "shape",
                "template": "tiny",
                "datasets": {split: [split] for split in SPLITS},
                "targetNode": "nowhere",
            },
        ),
    ]


def prepare(folder: Path, documents: Sequence[dict[str, Any]]) -> None:
    (folder / "m").mkdir(exist_ok=True)
    (folder / "m" / "all.yaml").write_text("---\n".join(map(dump_yaml, documents)))
    if (folder / "pictures").exists():
        return
    for split, seeds in SPLITS.items():
        for seed in seeds:
            value = VALUES[seed % 2]
            data, _ = shape_bytes(value, seed)
            place = "pictures" if split == "train" else "shapes"
            write_folder(folder / place / split, {f"{value}/{seed}.png": data})


TRAINYARD = [sys.executable, "-m", "trainyard.cli"]
COMMAND = [*TRAINYARD, "run", "-f", "m"]
PLACES = ["--volume", "pictures=pictures", "--bucket", "shapes=shapes"]


def environment(folder: Path) -> dict[str, str]:
    """Of a machine that has no keys and no cluster."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "TRAINYARD_"))}
    return kept | {"HOME": str(folder), "KUBECONFIG": str(folder / "none")}


def trainyard(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command, typed in a folder."""
    return subprocess.run(
        [*TRAINYARD, *arguments],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
    )


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return trainyard(folder, "run", "-f", "m", *options)
