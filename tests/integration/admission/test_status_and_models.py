"""TrainedModels, and what holds for every kind: status, pruning, size."""

from __future__ import annotations

import pytest
from admission_server import (
    CLASSIFIER,
    DATASET,
    MODEL,
    PROCESS,
    TEMPLATE,
    Refused,
    Server,
    changed,
    fresh,
    outputs,
)
from cases import Accepted, Edit, Refusal, check_accepted, check_edit, check_refused, table

from trainyard.api.meta import Json
from trainyard.api.model import TrainedModel

IMMUTABLE = "a TrainedModel is immutable: create a new one instead"
KINDS = pytest.mark.parametrize(
    "manifest",
    [CLASSIFIER, DATASET, TEMPLATE, PROCESS, MODEL],
    ids=lambda manifest: manifest["kind"],
)


@table(
    [
        Accepted("a model imported by hand", MODEL),
        Accepted("a model of 5,000 classes", changed(MODEL, classes=outputs(5000))),
    ]
)
def test_model_is_accepted(server: Server, row: Accepted) -> None:
    stored = check_accepted(server, row)
    read, meant = (TrainedModel.model_validate(item) for item in (stored, row.manifest))
    assert read.spec == meant.spec


@table(
    [
        Refusal("no classes", changed(MODEL, classes=[]), "should have at least 1 items"),
        Refusal(
            "a digest that is none",
            changed(MODEL, artefacts__weights={"uri": "s3://a/b", "sha256": "abc", "sizeBytes": 1}),
            "a SHA-256 digest has 64 lower-case hexadecimal digits",
        ),
        Refusal(
            "a control character in a lineage",
            changed(MODEL, lineage={"node": "gpu\x1b[2J"}),
            "control characters and characters that reorder text are not allowed",
        ),
        Refusal("no files", changed(MODEL, artefacts={}), "location: Required value"),
    ]
)
def test_model_is_refused(server: Server, row: Refusal) -> None:
    check_refused(server, row)


@table(
    [
        Edit("another capability", MODEL, {"capability": "x"}, IMMUTABLE),
        Edit("other files", MODEL, {"artefacts": {"location": "s3://x"}}, IMMUTABLE),
        Edit("a lineage added", MODEL, {"lineage": {"process": "x"}}, IMMUTABLE),
        Edit("another metric", MODEL, {"metric": "top-1 1.0"}, IMMUTABLE),
    ]
)
def test_model_never_changes(server: Server, row: Edit) -> None:
    check_edit(server, row)


@KINDS
def test_status_cannot_be_written_with_the_object(server: Server, manifest: Json) -> None:
    made = fresh(manifest) | {"status": {"observedGeneration": 7}}
    assert "status" not in server.create(made)
    assert "status" not in server.patch(made, {"status": {"observedGeneration": 7}})
    written = server.patch(made, {"status": {"observedGeneration": 7}}, status=True)
    assert written["status"] == {"observedGeneration": 7}
    server.delete(made)


@KINDS
def test_spec_cannot_be_written_with_the_status(server: Server, manifest: Json) -> None:
    made = fresh(manifest)
    before = server.create(made)
    after = server.patch(
        made,
        {"spec": {"displayName": "x", "priority": 7}, "status": {"observedGeneration": 1}},
        status=True,
        field_validation="Ignore",
    )
    assert after["spec"] == before["spec"]
    assert after["metadata"]["generation"] == 1
    server.delete(made)


@KINDS
def test_unknown_field_is_pruned_for_a_client_that_asks_for_no_validation(
    server: Server, manifest: Json
) -> None:
    stored = server.create(changed(manifest, colour="red"), dry_run=True, field_validation="Ignore")
    assert "colour" not in stored["spec"]


@KINDS
def test_name_that_is_no_label_is_refused_for_every_kind(server: Server, manifest: Json) -> None:
    for name, message in (("a" * 64, "has more than 63 characters"), ("a.b", "contains a dot")):
        with pytest.raises(Refused, match=message):
            server.create(manifest | {"metadata": {"name": name}}, dry_run=True)


@pytest.mark.parametrize(
    "manifest",
    [
        changed(CLASSIFIER, description="x" * 2**20),
        changed(DATASET, description="x" * 2**20),
        changed(TEMPLATE, description="x" * 2**20),
        changed(PROCESS, capability="x" * 2**20),
        changed(MODEL, displayName="x" * 2**20),
    ],
    ids=lambda manifest: manifest["kind"],
)
def test_text_of_a_mebibyte_is_refused(server: Server, manifest: Json) -> None:
    with pytest.raises(Refused, match="Too long: may not be more than"):
        server.create(manifest, dry_run=True)
