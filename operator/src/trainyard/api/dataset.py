"""Dataset: an immutable snapshot of labelled images."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from trainyard.api._base import (
    LINE_PATTERN,
    ApiModel,
    Label,
    Line,
    ListedLabel,
    Name,
    Says,
    Text,
    atomic_list,
    map_list,
    rule,
    rules,
    set_list,
)
from trainyard.api.meta import Condition, Resource

GroupBy = Annotated[
    str,
    StringConstraints(min_length=1, max_length=256, pattern=LINE_PATTERN),
    Says("groupBy: one line; control characters and characters that reorder text are not allowed"),
]
"""What it means is told by `trainyard.api.grouping`."""

_RELATIVE = "a path must be relative and must not contain '..'"


class DataFormat(StrEnum):
    """Layouts of labelled images that can be read."""

    YOLO = "yolo"
    COCO = "coco"
    VOC = "voc"
    FOLDERS = "folders"
    RECORDS = "records"


class S3Source(ApiModel):
    """A prefix in a bucket of the operator's object store."""

    bucket: Annotated[
        str,
        StringConstraints(min_length=3, max_length=63, pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"),
        Says("a bucket's name has lower-case letters, digits, '-' and '.' only"),
    ]
    """Bucket name."""
    prefix: Annotated[
        Line,
        StringConstraints(max_length=900),
        Field(
            json_schema_extra=rules(
                rule("!self.startsWith('/') && !self.contains('..')", f"prefix: {_RELATIVE}")
            )
        ),
    ] = ""
    """Everything below this prefix is read; empty means the whole bucket."""


class VolumeSource(ApiModel):
    """A folder on a PersistentVolumeClaim of the same namespace."""

    claim_name: Name
    """Name of the PersistentVolumeClaim."""
    path: Annotated[
        Line,
        StringConstraints(max_length=900),
        Field(
            json_schema_extra=rules(
                rule("!self.startsWith('/') && !self.contains('..')", f"path: {_RELATIVE}")
            )
        ),
    ] = ""
    """Folder below the volume's root."""


class DataSource(ApiModel):
    """Where the images and labels lie: exactly one of s3 and volume."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("has(self.s3) != has(self.volume)", "give exactly one of s3 and volume")
        )
    )
    s3: S3Source | None = None
    """A prefix in a bucket."""
    volume: VolumeSource | None = None
    """A folder on a PersistentVolumeClaim."""


class SelectionFilter(ApiModel):
    """Which of the images found are taken; all that are given must hold."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.submittedAfter) || !has(self.submittedBefore) || "
                "self.submittedAfter < self.submittedBefore",
                "submittedAfter must be earlier than submittedBefore",
            )
        )
    )
    latest_submissions_only: bool = False
    """Per image and entity only the last submission counts (format `records`)."""
    classes: Annotated[
        tuple[ListedLabel, ...], Field(max_length=5000, json_schema_extra=set_list())
    ] = ()
    """Only images with a label of at least one of these values; all of their labels stay."""
    tags: Annotated[
        tuple[ListedLabel, ...], Field(max_length=100, json_schema_extra=set_list())
    ] = ()
    """Only images with all of these tags (format `records`)."""
    submitted_after: datetime | None = None
    """Only annotations submitted at or after this time (format `records`)."""
    submitted_before: datetime | None = None
    """Only annotations submitted before this time (format `records`)."""
    search: Text | None = None
    """Only images whose path in the source, or one of whose tags, contains this text, whatever
    its case."""
    limit: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    """At most this many different images, chosen at random with `seed`: the same ones for the
    same source. One that cannot be used is replaced by the next."""
    seed: Annotated[int, Field(ge=0, le=2147483647)] = 0
    """Seed of the choice that `limit` makes. Without a limit it says nothing."""


def _needs_records(field: str, unset: str) -> dict[str, str]:
    """The rule that a filter has a field only where the format has records, or that `unset`."""
    return rule(
        f"self.format == 'records' || !has(self.filter) || {unset}",
        f"filter.{field} needs the format records: the other formats do not carry it",
    )


class Selection(ApiModel):
    """One source of samples: where, in which format, and which of them."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            _needs_records("latestSubmissionsOnly", "!self.filter.latestSubmissionsOnly"),
            _needs_records("tags", "size(self.filter.tags) == 0"),
            _needs_records("submittedAfter", "!has(self.filter.submittedAfter)"),
            _needs_records("submittedBefore", "!has(self.filter.submittedBefore)"),
        )
    )
    source: DataSource
    """Where the images and labels lie."""
    format: DataFormat
    """`folders`: one folder per class, images inside. `yolo`: images with a text file of boxes or
    polygons beside or under labels/. `coco`: JSON files of boxes, polygons and masks, and the
    images they name. `voc`: an XML file of boxes for each image. `records`: Parquet or JSON
    lines, a row for each image or object, with tags and submissions."""
    filter: SelectionFilter | None = None
    """Which of the images found are taken; without it, all."""
    attribute: Label = "class"
    """The attribute that the class names of this source are values of."""
    class_names: Annotated[
        tuple[ListedLabel, ...], Field(max_length=5000, json_schema_extra=atomic_list())
    ] = ()
    """Names of the classes by index. What the data calls a class must be one of them, or a number
    below their count. Without it the names are those of the data."""


class DatasetSpec(ApiModel):
    """Selections of labelled images, united by the digest of the image bytes."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "oldSelf.suspend || self == oldSelf",
                "a Dataset's spec is immutable once suspend is false: create a new Dataset",
            ),
            rule(
                "self.suspend || (has(self.selections) && size(self.selections) > 0)",
                "a Dataset needs at least one selection, or suspend: true to stay a draft",
            ),
            # The rest of what can be wrong with it needs the expression to be compiled.
            rule(
                "!has(self.groupBy) || !self.groupBy.matches('^[A-Za-z_][A-Za-z0-9_]*$') || "
                "!has(self.selections) || self.selections.all(s, s.format == 'records')",
                "groupBy is the name of a column, which only the format records has: for other "
                "formats give a regular expression with one group in parentheses",
            ),
        )
    )
    display_name: Text | None = None
    """Name for people."""
    description: Text | None = None
    """What the data shows."""
    suspend: bool = False
    """True: a draft, which may be empty and be extended. False: the snapshot is made and the spec
    is immutable from then on."""
    selections: Annotated[
        tuple[Selection, ...],
        Field(
            max_length=64,
            json_schema_extra=atomic_list()
            | rules(
                rule(
                    "self.map(s, has(s.classNames) ? size(s.classNames) : 0).sum() <= 5000",
                    "all selections together name at most 5000 classes",
                ),
                rule(
                    "self.map(s, has(s.filter) && has(s.filter.classes) ? "
                    "size(s.filter.classes) : 0).sum() <= 5000",
                    "the filters of all selections together name at most 5000 classes",
                ),
            ),
        ),
    ] = ()
    """The sources whose samples make up the dataset."""
    group_by: GroupBy | None = None
    """What belongs together (a camera, a patient, a video) and must never be spread over splits:
    the name of a column of records, or a regular expression (RE2) with exactly one group in
    parentheses, searched in each image's path in its source: `^(cam[0-9]+)_`. An image that it
    does not match is left out."""


class DatasetPhase(StrEnum):
    """Where a dataset stands."""

    DRAFT = "Draft"
    PENDING = "Pending"
    SNAPSHOTTING = "Snapshotting"
    READY = "Ready"
    FAILED = "Failed"


class ClassCount(ApiModel):
    """How often a class occurs."""

    attribute: str
    """The attribute."""
    value: str
    """Its value."""
    count: int
    """Number of annotations."""


class RefusedCount(ApiModel):
    """How many files were left out for one reason."""

    reason: str
    """Why, in one word."""
    count: int
    """Number of files."""
    examples: Annotated[tuple[str, ...], Field(max_length=5, json_schema_extra=atomic_list())] = ()
    """The first names."""


class SnapshotStatus(ApiModel):
    """The snapshot that trainings read. It never changes."""

    uri: str
    """Where it lies in the store."""
    digest: str
    """SHA-256 over samples and labels; the same selections of the same data give the same."""
    samples: int
    """Number of distinct images."""
    annotations: int
    """Number of labels."""
    classes: Annotated[
        tuple[ClassCount, ...], Field(max_length=5000, json_schema_extra=atomic_list())
    ] = ()
    """Classes with their counts."""
    size_bytes: int
    """Size of the packed images, in bytes."""
    refused: Annotated[
        tuple[RefusedCount, ...], Field(max_length=32, json_schema_extra=map_list("reason"))
    ] = ()
    """Files that were left out, by reason."""
    created_at: datetime
    """When the snapshot was completed."""


class DatasetProgress(ApiModel):
    """How far the snapshot Job is."""

    percent: Annotated[int, Field(ge=0, le=100)] = 0
    """0..100."""
    message: str = ""
    """What it is doing."""


class DatasetDisplay(ApiModel):
    """Strings for the columns of kubectl."""

    size: str = ""
    """Size of the packed images, for people."""
    classes: str = ""
    """Number of classes."""


class DatasetStatus(ApiModel):
    """What the operator found."""

    observed_generation: int | None = None
    """The metadata.generation that this status is about."""
    phase: DatasetPhase | None = None
    """Draft, Pending, Snapshotting, Ready or Failed."""
    conditions: Annotated[
        tuple[Condition, ...], Field(max_length=16, json_schema_extra=map_list("type"))
    ] = ()
    """`Ready`: trainings can use the dataset. `Finished`: it is Ready or Failed, which never
    changes; what waits for this one ends in either case."""
    snapshot: SnapshotStatus | None = None
    """Set when Ready."""
    progress: DatasetProgress | None = None
    """Set while the snapshot is made."""
    display: DatasetDisplay | None = None
    """Strings for the columns."""


class Dataset(Resource):
    """An immutable snapshot of labelled images."""

    kind: str = "Dataset"
    spec: DatasetSpec
    status: DatasetStatus = DatasetStatus()
