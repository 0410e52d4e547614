"""Which Datasets the API server takes, and what it says of the others."""

from __future__ import annotations

from typing import Any

from admission_server import DATASET, DRAFT, REMOVE, SELECTION, Server, changed
from cases import Accepted, Edit, Refusal, check_accepted, check_edit, check_refused, table

from trainyard.api.dataset import Dataset
from trainyard.api.meta import Json

FROZEN = "a Dataset's spec is immutable once suspend is false: create a new Dataset"
EXACTLY_ONE = "give exactly one of s3 and volume"
S3 = {"bucket": "images", "prefix": "a"}
VOLUME = {"claimName": "data", "path": "a"}


def with_source(**source: Any) -> Json:
    """A dataset of one selection from `source`."""
    return changed(DATASET, selections=[{"source": source, "format": "folders"}])


def with_selection(**fields: Any) -> Json:
    """A dataset of one selection with more fields."""
    return changed(DATASET, selections=[SELECTION | fields])


@table(
    [
        Accepted("a prefix of a bucket", DATASET),
        Accepted("a whole bucket", with_source(s3={"bucket": "images"})),
        Accepted("a folder on a volume", with_source(volume=VOLUME)),
        Accepted("an empty draft", DRAFT),
        Accepted("class names and an attribute", with_selection(
            attribute="species", classNames=["Käfer", "rose"])),
        Accepted("5,000 class names", with_selection(classNames=[f"c{n}" for n in range(5000)])),
    ]
)  # fmt: skip
def test_dataset_is_accepted(server: Server, row: Accepted) -> None:
    stored = check_accepted(server, row)
    assert Dataset.model_validate(stored).spec == Dataset.model_validate(row.manifest).spec


@table(
    [
        Refusal("a snapshot of nothing", changed(DATASET, selections=[]),
                "a Dataset needs at least one selection, or suspend: true to stay a draft"),
        Refusal("no selections", changed(DATASET, selections=REMOVE),
                "a Dataset needs at least one selection, or suspend: true to stay a draft"),
        Refusal("both sources", with_source(s3=S3, volume=VOLUME), EXACTLY_ONE),
        Refusal("no source", with_source(), EXACTLY_ONE),
        Refusal("a way out of the prefix", with_source(s3=S3 | {"prefix": "a/../../b"}),
                "prefix: a path must be relative and must not contain '..'"),
        Refusal("an absolute prefix", with_source(s3=S3 | {"prefix": "/a"}),
                "prefix: a path must be relative and must not contain '..'"),
        Refusal("a way out of the volume", with_source(volume=VOLUME | {"path": "../etc"}),
                "path: a path must be relative and must not contain '..'"),
        Refusal("a line break in a prefix", with_source(s3=S3 | {"prefix": "a\r\nb"}),
                "control characters and characters that reorder text are not allowed"),
        Refusal("a URL for a bucket", with_source(s3=S3 | {"bucket": "file:///etc"}),
                "a bucket's name has lower-case letters, digits, '-' and '.' only"),
        Refusal("an address for a bucket", with_source(s3=S3 | {"bucket": "169.254.169.254/x"}),
                "a bucket's name has lower-case letters, digits, '-' and '.' only"),
        Refusal("a URL as a source", with_source(url="http://169.254.169.254/"),
                'unknown field "spec.selections[0].source.url"'),
        Refusal("an unknown format", with_selection(format="zip"),
                'spec.selections[0].format: Unsupported value: "zip"'),
        Refusal("a control character in a class name", with_selection(classNames=["a\x07"]),
                "spec.selections[0].classNames[0] in body should match"),
        Refusal("more than 5,000 class names in all selections",
                changed(DATASET, selections=[
                    SELECTION | {"classNames": [f"c{n}" for n in range(2501)]}] * 2),
                "all selections together name at most 5000 classes"),
        Refusal("more than 5,000 classes in all filters",
                changed(DATASET, selections=[
                    SELECTION | {"filter": {"classes": [f"c{n}" for n in range(2501)]}}] * 2),
                "the filters of all selections together name at most 5000 classes"),
        Refusal("a limit of zero", with_selection(filter={"limit": 0}),
                "filter.limit in body should be greater than or equal to 1"),
        Refusal("a time that is none", with_selection(filter={"submittedAfter": "yesterday"}),
                "filter.submittedAfter in body must be of type date-time"),
    ]
)  # fmt: skip
def test_dataset_is_refused(server: Server, row: Refusal) -> None:
    check_refused(server, row)


@table(
    [
        Edit("a draft gets a selection", DRAFT, {"selections": [SELECTION]}),
        Edit("a draft gets a name", DRAFT, {"displayName": "x"}),
        Edit(
            "a draft with a selection becomes a snapshot",
            changed(DATASET, suspend=True),
            {"suspend": False},
        ),
        Edit("a draft is completed and made a snapshot at once", DRAFT,
             {"suspend": False, "selections": [SELECTION]}),
        Edit("an empty draft becomes a snapshot", DRAFT, {"suspend": False},
             "a Dataset needs at least one selection"),
        Edit("a snapshot becomes a draft again", DATASET, {"suspend": True}, FROZEN),
        Edit("a snapshot gets a selection", DATASET, {"selections": [SELECTION] * 2}, FROZEN),
        Edit("a snapshot gets a name", DATASET, {"displayName": "x"}, FROZEN),
        Edit("a snapshot gets another name", changed(DATASET, displayName="x"),
             {"displayName": "y"}, FROZEN),
        Edit("a snapshot loses its description", changed(DATASET, description="x"),
             {"description": None}, FROZEN),
        Edit("a snapshot gets groups", DATASET, {"groupBy": "camera"}, FROZEN),
        Edit("a snapshot is read otherwise", DATASET,
             {"selections": [SELECTION | {"format": "yolo"}]}, FROZEN),
    ]
)  # fmt: skip
def test_dataset_changes_only_while_it_is_a_draft(server: Server, row: Edit) -> None:
    check_edit(server, row)
