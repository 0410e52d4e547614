"""Which Datasets the API server takes, and what it says of the others."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from admission_server import DATASET, DRAFT, REMOVE, SELECTION, Server, changed
from cases import Accepted, Edit, Refusal, check_accepted, check_edit, check_refused, table

from trainyard.api.dataset import Dataset
from trainyard.api.meta import Json

FROZEN = "a Dataset's spec is immutable once suspend is false: create a new Dataset"
EXACTLY_ONE = "give exactly one of s3 and volume"
S3 = {"bucket": "images", "prefix": "a"}
VOLUME = {"claimName": "data", "path": "a"}


PAGE = Path(__file__).parents[3] / "docs" / "datasets.md"


def on_the_page() -> list[Json]:
    """The manifests that docs/datasets.md shows."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.M)
    return [document for block in blocks for document in yaml.safe_load_all(block)]


def with_source(**source: Any) -> Json:
    """A dataset of one selection from `source`."""
    return changed(DATASET, selections=[{"source": source, "format": "folders"}])


def with_selection(**fields: Any) -> Json:
    """A dataset of one selection with more fields."""
    return changed(DATASET, selections=[SELECTION | fields])


def with_filter(kind: str, **rule: Any) -> Json:
    """A dataset of one selection of a format with a filter."""
    return with_selection(format=kind, filter=rule)


@table(
    [
        Accepted("a prefix of a bucket", DATASET),
        Accepted("a whole bucket", with_source(s3={"bucket": "images"})),
        Accepted("a folder on a volume", with_source(volume=VOLUME)),
        Accepted("an empty draft", DRAFT),
        Accepted("class names and an attribute", with_selection(
            attribute="species", classNames=["Käfer", "rose"])),
        Accepted("a filter of classes, text and a number",
                 with_filter("coco", classes=["cat"], search="cam1", limit=5, seed=1)),
        Accepted("a seed without a limit", with_filter("folders", seed=7)),
        Accepted("what other formats lack, left as it is", with_filter(
            "yolo", latestSubmissionsOnly=False, tags=[])),
        Accepted("submissions and tags of records", with_filter(
            "records", latestSubmissionsOnly=True, tags=["night"],
            submittedAfter="2026-01-01T00:00:00Z", submittedBefore="2026-01-01T00:00:00.5Z")),
        Accepted("a time in another zone", with_filter(
            "records", submittedAfter="2026-01-01T00:00:00Z",
            submittedBefore="2025-12-31T23:30:00-01:00")),
        Accepted("groups by a pattern", changed(DATASET, groupBy=r"^(cam\d+)_")),
        Accepted("groups by a column",
                 changed(with_selection(format="records"), groupBy="patient")),
        Accepted("groups of a draft", changed(DRAFT, groupBy="x" * 256)),
        *(Accepted(f"{item['metadata']['name']} of the documentation", item)
          for item in on_the_page()),
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
        *(
            Refusal(f"{field} of {kind}", with_filter(kind, **{field: value}),
                    f"filter.{field} needs the format records")
            for kind in ("folders", "coco")
            for field, value in (
                ("latestSubmissionsOnly", True),
                ("tags", ["night"]),
                ("submittedAfter", "2026-01-01T00:00:00Z"),
                ("submittedBefore", "2026-01-01T00:00:00Z"),
            )
        ),
        Refusal("tags of a draft's images in folders",
                changed(DRAFT, selections=[SELECTION | {"filter": {"tags": ["night"]}}]),
                "filter.tags needs the format records"),
        Refusal("a span of time that ends before it starts", with_filter(
            "records", submittedAfter="2026-01-02T00:00:00Z",
            submittedBefore="2026-01-01T00:00:00Z"),
            "submittedAfter must be earlier than submittedBefore"),
        Refusal("an empty span of time", with_filter(
            "records", submittedAfter="2026-01-01T00:00:00Z",
            submittedBefore="2026-01-01T00:00:00Z"),
            "submittedAfter must be earlier than submittedBefore"),
        Refusal("groups by a column of folders", changed(DATASET, groupBy="patient"),
                "groupBy is the name of a column, which only the format records has"),
        Refusal("groups of a draft by a column of folders",
                changed(DATASET, suspend=True, groupBy="patient"),
                "groupBy is the name of a column, which only the format records has"),
        Refusal("groups by a column where one of two selections has none",
                changed(DATASET, groupBy="patient",
                        selections=[SELECTION | {"format": "records"}, SELECTION]),
                "groupBy is the name of a column, which only the format records has"),
        Refusal("an empty groupBy", changed(DATASET, groupBy=""),
                "spec.groupBy in body should be at least 1 chars long"),
        Refusal("a groupBy that is too long", changed(DATASET, groupBy="x" * 257),
                "spec.groupBy: Too long: may not be more than 256 bytes"),
        Refusal("a line break in groupBy", changed(DATASET, groupBy="^(a)\n"),
                "groupBy: one line; control characters"),
        Refusal("reordered text in groupBy", changed(DATASET, groupBy="^(a)\u202e"),
                "groupBy: one line; control characters"),
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
        Edit("a draft with a selection gets another one", changed(DATASET, suspend=True),
             {"selections": [SELECTION, SELECTION | {"filter": {"limit": 5}}]}),
        Edit("a draft loses its selections", changed(DATASET, suspend=True), {"selections": []}),
        Edit("a snapshot gets groups", DATASET, {"groupBy": "^(cam)"}, FROZEN),
        Edit("a snapshot loses its groups", changed(DATASET, groupBy="^(cam)"),
             {"groupBy": None}, FROZEN),
        Edit("a snapshot gets a filter", DATASET,
             {"selections": [SELECTION | {"filter": {"limit": 5}}]}, FROZEN),
        Edit("a snapshot gets another seed", with_filter("folders", limit=5, seed=1),
             {"selections": [SELECTION | {"filter": {"limit": 5, "seed": 2}}]}, FROZEN),
        Edit("a snapshot is read otherwise", DATASET,
             {"selections": [SELECTION | {"format": "yolo"}]}, FROZEN),
    ]
)  # fmt: skip
def test_dataset_changes_only_while_it_is_a_draft(server: Server, row: Edit) -> None:
    check_edit(server, row)
