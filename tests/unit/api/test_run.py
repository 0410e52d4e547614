"""run.yaml and snapshot.yaml carry their own digest and nothing that is secret."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from trainyard.api.documents import DocumentError, dump_yaml, load_yaml
from trainyard.api.run import RunFile, SnapshotRunFile, StoreLocation

REF = {"name": "train", "uri": "s3://b/datasets/demo/a", "digest": "a" * 64}
RUN: dict[str, Any] = {
    "name": "digits",
    "namespace": "demo",
    "uid": "u",
    "fingerprint": "f" * 64,
    "capabilityName": "digits",
    "capability": {
        "type": "ImageClassifierElement",
        "outputs": [{"attribute": "class", "value": "0", "position": 0}],
    },
    "templateName": "recipe",
    "template": {
        "displayName": "recipe",
        "engine": "yolo-cls",
        "baseModel": {"architecture": "yolo11n"},
    },
    "datasets": {"train": [REF], "dev": [{**REF, "digest": "b" * 64}]},
    "output": "s3://b/runs/demo/u/1",
}
SNAPSHOT: dict[str, Any] = {
    "name": "train",
    "namespace": "demo",
    "uid": "u",
    "selections": [{"source": {"s3": {"bucket": "data"}}, "format": "folders"}],
    "output": "s3://b/datasets/demo",
}
FILES = [
    pytest.param(RunFile, RUN, "Run", id="run.yaml"),
    pytest.param(SnapshotRunFile, SNAPSHOT, "SnapshotRun", id="snapshot.yaml"),
]


@pytest.mark.parametrize(("model", "values", "kind"), FILES)
class TestBoth:
    def test_survive_being_written_and_read(self, model: Any, values: Any, kind: str) -> None:
        made = model.model_validate(values).sealed()
        read = model.model_validate(load_yaml(dump_yaml(made.to_wire())))
        read.verify("file")
        assert read == made
        assert made.to_wire()["kind"] == kind

    def test_that_were_not_sealed_are_refused(self, model: Any, values: Any, kind: str) -> None:
        with pytest.raises(DocumentError, match="does not match its digest ''"):
            model.model_validate(values).verify("file")

    @pytest.mark.parametrize("field", ["name", "namespace", "uid", "output"])
    def test_in_which_a_field_was_changed_are_refused(
        self, model: Any, values: Any, kind: str, field: str
    ) -> None:
        wire = {**model.model_validate(values).sealed().to_wire(), field: "changed"}
        with pytest.raises(DocumentError, match=r"run: the content does not match"):
            model.model_validate(wire).verify("run")

    def test_sealed_twice_are_the_same(self, model: Any, values: Any, kind: str) -> None:
        once = model.model_validate(values).sealed()
        assert once.sealed() == once

    def test_with_an_unknown_field_are_refused(self, model: Any, values: Any, kind: str) -> None:
        with pytest.raises(ValidationError, match="surprise"):
            model.model_validate({**values, "surprise": 1})

    def test_of_another_kind_are_refused(self, model: Any, values: Any, kind: str) -> None:
        with pytest.raises(ValidationError, match="kind"):
            model.model_validate({**values, "kind": "Other"})


def test_snapshot_without_a_digest_is_refused() -> None:
    datasets = {"train": [{**REF, "digest": "short"}], "dev": [REF]}
    with pytest.raises(ValidationError, match="digest"):
        RunFile.model_validate({**RUN, "datasets": datasets})


def test_store_is_told_without_credentials() -> None:
    assert set(StoreLocation.model_fields) == {"endpoint_url", "region"}
    with pytest.raises(ValidationError):
        StoreLocation.model_validate({"secretAccessKey": "x"})
