"""Each field that does not act yet is found and named; those that act are not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.builders import capability, process, template
from trainyard.decide import support

PROCESS: dict[str, tuple[dict[str, Any], str | None]] = {
    "a plain process acts": ({}, None),
    "e-mail": ({"notifications": {"email": ["a@b.c"]}}, "spec.notifications"),
    "webhooks": ({"notifications": {"webhooks": ["https://b.c"]}}, "spec.notifications"),
    "empty notifications act": ({"notifications": {}}, None),
    "retries act": ({"retry": {"limit": 2}}, None),
    "a smaller batch acts": ({"retry": {"shrinkBatchOnOutOfMemory": True}}, None),
    "a start deadline acts": ({"startDeadlineSeconds": 5}, None),
    "an active deadline acts": ({"activeDeadlineSeconds": 5}, None),
    "a stall time-out acts": ({"stallTimeoutSeconds": 5}, None),
    "a time to live acts": ({"ttlSecondsAfterFinished": 5}, None),
    "reuse": ({"onExistingRun": "Reuse"}, "spec.onExistingRun: Reuse"),
    "training anew acts": ({"onExistingRun": "Train"}, None),
    "overrides act": ({"overrides": {"hyperparameters": {"epochs": 3}}}, None),
    "an engine argument": (
        {"overrides": {"hyperparameters": {"extra": {"lr0": "1"}}}},
        "spec.overrides.hyperparameters.extra",
    ),
    "priority acts": ({"priority": 5}, None),
}


@pytest.mark.parametrize(("spec", "field"), PROCESS.values(), ids=PROCESS)
def test_process_field(spec: dict[str, Any], field: str | None) -> None:
    assert support.unsupported_in_process(process(**spec).spec) == field


TEMPLATE: dict[str, tuple[dict[str, Any], str | None]] = {
    "a classifier's recipe acts": ({}, None),
    "a detector's recipe acts": ({"engine": "yolo-det"}, None),
    "polygons": ({"engine": "yolo-seg"}, "spec.engine: yolo-seg"),
    "vectors": ({"engine": "embedder"}, "spec.engine: embedder"),
    "weights": (
        {"baseModel": {"weights": {"uri": "s3://b/w", "sha256": "0" * 64}}},
        "spec.baseModel.weights",
    ),
    "a model to start from": (
        {"baseModel": {"trainedModel": "older"}},
        "spec.baseModel.trainedModel",
    ),
    "an engine argument": (
        {"hyperparameters": {"extra": {"lr0": "1"}}},
        "spec.hyperparameters.extra",
    ),
    "an export": ({"exports": ["onnx"]}, "spec.exports"),
    "another image": ({"image": f"x/y@sha256:{'0' * 64}"}, "spec.image"),
}


@pytest.mark.parametrize(("spec", "field"), TEMPLATE.values(), ids=TEMPLATE)
def test_template_field(spec: dict[str, Any], field: str | None) -> None:
    assert support.unsupported_in_template(template(**spec).spec) == field


@pytest.mark.parametrize(
    ("type_", "field"),
    [
        ("DetectorElement", None),
        ("ImageClassifierElement", None),
        ("BoxClassifierElement", "spec.type: BoxClassifierElement"),
        ("BoxEmbedderElement", "spec.type: BoxEmbedderElement"),
    ],
)
def test_capability_type(type_: str, field: str | None) -> None:
    assert support.unsupported_in_capability(capability("cat", type_=type_).spec) == field
