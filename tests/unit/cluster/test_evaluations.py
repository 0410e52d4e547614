"""The evaluations of a model, read from a real store: what is listed, and what is named as bad."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.labelled import BUCKET
from trainyard.cluster.artefacts import ArtefactReader
from trainyard.decide.facts import FoundEvaluations, Unavailable
from trainyard.stores import Store


def document(plan: str, **changes: Any) -> dict[str, Any]:
    """An evaluation as the command line writes it."""
    return {
        "apiVersion": "trainyard.dev/v1alpha1",
        "kind": "Evaluation",
        "plan": plan,
        "checkpointSha256": "6" * 64,
        "primaryMetric": "mAP50",
        "test": {"metrics": {"mAP50": 0.61, "recall": 0.5}, "samples": 12},
        "createdAt": "2026-11-25T09:30:00Z",
        **changes,
    }


class Folder:
    """The evaluations of one model."""

    def __init__(self, store: Store, prefix: str) -> None:
        self.store, self.location = store, f"s3://{BUCKET}/{prefix}/runs/demo/uid/1"

    def put(self, name: str, content: bytes | dict[str, Any]) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.store.write_bytes(f"{self.location}/evaluations/{name}", data)

    def read(self) -> FoundEvaluations:
        found = ArtefactReader(self.store).evaluations(self.location)
        assert isinstance(found, FoundEvaluations)
        return found


@pytest.fixture
def folder(store: Store, prefix: str) -> Folder:
    return Folder(store, prefix)


def test_a_model_that_was_never_evaluated_has_none(folder: Folder) -> None:
    folder.store.write_bytes(f"{folder.location}/model.pth", b"weights")
    assert folder.read() == FoundEvaluations(())


def test_evaluations_are_read_in_the_order_of_their_names(folder: Folder) -> None:
    for plan in ("strict", "plain"):
        folder.put(f"{plan}.json", document(plan))
    found = folder.read()
    assert [file.plan for file in found.files] == ["plain", "strict"]
    assert found.files[0].test is not None
    assert found.files[0].test.metrics == {"mAP50": 0.61, "recall": 0.5}
    assert (found.unusable, found.more) == ((), False)


def test_a_plan_that_is_measured_again_replaces_what_it_said(folder: Folder) -> None:
    folder.put("plain.json", document("plain"))
    folder.put("plain.json", document("plain", primaryMetric="recall"))
    assert [file.primary_metric for file in folder.read().files] == ["recall"]


NOTHING = {"test": None, "dev": None}
BAD: dict[str, tuple[str, bytes | dict[str, Any], str]] = {
    "no JSON": ("a.json", b"{", "a.json is no evaluation: the document: Invalid JSON"),
    "bytes that are no text": ("a.json", bytes(range(256)), "a.json is no evaluation: the doc"),
    "another name": (
        "a.json",
        document("b"),
        "a.json is the evaluation of the plan b: call it b.json",
    ),
    "a folder": ("a/b.json", document("b"), "a/b.json is the evaluation of the plan b: call it"),
    "a field too many": (
        "a.json",
        document("a", note="x"),
        "a.json is no evaluation: note: Extra inputs are not permitted",
    ),
    "no digest": (
        "a.json",
        document("a", checkpointSha256="x"),
        "a.json is no evaluation: checkpointSha256: String should match pattern",
    ),
    "a metric that is no number": (
        "a.json",
        document("a", test={"metrics": {"mAP50": float("nan")}, "samples": 1}),
        "a.json is no evaluation: test.metrics.mAP50: Input should be a finite number",
    ),
    "too many metrics": (
        "a.json",
        document("a", test={"metrics": {f"m{n}": 1.0 for n in range(33)}, "samples": 1}),
        "a.json is no evaluation: test.metrics: Dictionary should have at most 32 items",
    ),
    "nothing measured": (
        "a.json",
        document("a", **NOTHING),
        "a.json is no evaluation: the document: it has neither dev nor test",
    ),
    "a time without a zone": (
        "a.json",
        document("a", createdAt="2026-11-25T09:30:00"),
        "a.json is no evaluation: createdAt: Input should have timezone info",
    ),
    "a name that is none": (
        "A.json",
        document("A"),
        "A.json is no evaluation: plan: String should match pattern",
    ),
}


@pytest.mark.parametrize(("name", "content", "says"), BAD.values(), ids=BAD)
def test_a_file_that_is_no_evaluation_is_named_and_the_others_are_read(
    folder: Folder, name: str, content: bytes | dict[str, Any], says: str
) -> None:
    folder.put(name, content)
    folder.put("good.json", document("good"))
    found = folder.read()
    assert [file.plan for file in found.files] == ["good"]
    (sentence,) = found.unusable
    assert sentence.startswith(says)
    assert "\n" not in sentence


def test_a_file_of_many_bytes_is_not_read(folder: Folder) -> None:
    folder.put("a.json", b" " * (64 << 10) + b"{}")
    (sentence,) = folder.read().unusable
    assert "evaluations/a.json" in sentence
    assert "65536" in sentence


def test_of_many_files_as_many_are_read_as_a_status_has_room_for(folder: Folder) -> None:
    for number in range(102):
        folder.put(f"p{number:03}.json", document(f"p{number:03}"))
    found = folder.read()
    assert [file.plan for file in found.files] == [f"p{number:03}" for number in range(100)]
    assert found.more


def test_a_store_that_cannot_be_read_is_no_model_without_evaluations(store: Store) -> None:
    found = ArtefactReader(store).evaluations("s3://no-such-bucket-here/runs/demo/uid/1")
    assert isinstance(found, Unavailable)
    assert found.message.startswith("the evaluations cannot be read yet: ")
