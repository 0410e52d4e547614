"""Small versions of the examples: the same kinds on the same real data, two epochs."""

from __future__ import annotations

from typing import Any

Manifest = dict[str, Any]


def _object(kind: str, name: str, spec: Manifest) -> Manifest:
    return {
        "apiVersion": "trainyard.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


def dataset(name: str, layout: str, prefix: str, class_names: list[str] | None = None) -> Manifest:
    """A Dataset of a prefix in the demo's bucket."""
    selection: Manifest = {
        "format": layout,
        "source": {"s3": {"bucket": "trainyard", "prefix": prefix}},
    }
    if class_names:
        selection["classNames"] = class_names
    return _object("Dataset", name, {"selections": [selection]})


def digits() -> list[Manifest]:
    """Capability, datasets and template of a digit classifier."""
    outputs = [
        {"attribute": "class", "value": str(digit), "position": digit} for digit in range(10)
    ]
    capability = {"type": "ImageClassifierElement", "outputs": outputs}
    return [
        _object("Capability", "digit", capability),
        *(
            dataset(f"digits-{split}", "folders", f"examples/digits/{split}")
            for split in ("train", "dev", "test")
        ),
        _template("digits-quick", "yolo-cls", image_size=32, batch_size=64),
    ]


def nuclei() -> list[Manifest]:
    """Capability, datasets and template of a nuclei detector."""
    outputs = [{"attribute": "class", "value": "nucleus", "position": 0}]
    capability = {"type": "DetectorElement", "outputs": outputs}
    return [
        _object("Capability", "nucleus", capability),
        *(
            dataset(f"nuclei-{split}", "yolo", f"examples/nuclei/{split}", ["nucleus"])
            for split in ("train", "dev", "test")
        ),
        _template("nuclei-quick", "yolo-det", image_size=96, batch_size=8),
    ]


def process(
    name: str, what: str, capability: str, node: str, overrides: Manifest | None = None
) -> Manifest:
    """A TrainingProcess on the datasets of `what` (digits or nuclei)."""
    spec: Manifest = {
        "capability": capability,
        "template": f"{what}-quick",
        "datasets": {split: [f"{what}-{split}"] for split in ("train", "dev", "test")},
        "targetNode": node,
    }
    if overrides:
        spec["overrides"] = overrides
    return _object("TrainingProcess", name, spec)


def _template(name: str, engine: str, *, image_size: int, batch_size: int) -> Manifest:
    return _object(
        "TrainingTemplate",
        name,
        {
            "displayName": name,
            "engine": engine,
            "baseModel": {"architecture": "yolo11n"},
            "hyperparameters": {
                "epochs": 2,
                "batchSize": batch_size,
                "imageSize": image_size,
                "workers": 0,
            },
            "resources": {
                "gpus": 0,
                "cpu": "500m",
                "memory": "3Gi",
                "sharedMemory": "128Mi",
            },
        },
    )
