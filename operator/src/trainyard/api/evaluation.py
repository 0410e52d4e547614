"""Evaluations of a model that were made later: the files that the store keeps of them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, FiniteFloat, model_validator

from trainyard.api._base import Name, Sha256, StrictModel
from trainyard.api.template import Evaluation

EVALUATIONS_FOLDER = "evaluations"
"""Below the location of a model; one file a plan, named `PLAN.json`."""
EVALUATION_BYTES = 64 << 10
"""Largest file of an evaluation, in bytes."""
EVALUATIONS_LISTED = 100
"""Evaluations that the status of a model has room for."""

EvaluatedMetrics = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=64)], FiniteFloat],
    Field(min_length=1, max_length=32),
]


def evaluations_folder(location: str) -> str:
    """Folder of the evaluations of the model whose files lie at `location`."""
    return f"{location.rstrip('/')}/{EVALUATIONS_FOLDER}"


class EvaluatedSplit(StrictModel):
    """What was measured on one split."""

    metrics: EvaluatedMetrics
    """By name, such as mAP50-95."""
    samples: Annotated[int, Field(ge=1)]
    """Number of images."""


class EvaluationFile(StrictModel):
    """One evaluation of a model, at `LOCATION/evaluations/PLAN.json` in the store.

    `trainyard train evaluate --create` writes it, and then sets the annotation
    `trainyard.dev/evaluations` of the TrainedModel to another value (at most 64 characters, for
    example the time). That makes the operator read the folder; it lists what it finds in
    `status.evaluations`, and names in the condition EvaluationsRead what it cannot use. It reads
    only models whose location lies below `STORE/runs/NAMESPACE/`, where the credentials of the
    namespace may write. A file may be replaced: the newest counts.
    """

    api_version: Literal["trainyard.dev/v1alpha1"] = "trainyard.dev/v1alpha1"
    kind: Literal["Evaluation"] = "Evaluation"
    plan: Name
    """Name of the plan; the file is called `PLAN.json`."""
    checkpoint_sha256: Sha256
    """Digest of the file of weights that was measured."""
    primary_metric: Annotated[str, Field(min_length=1, max_length=64)]
    """The metric that plans are compared by."""
    thresholds: Evaluation = Evaluation()
    """What was counted as an answer."""
    dev: EvaluatedSplit | None = None
    """On the data that the best epoch was chosen on."""
    test: EvaluatedSplit | None = None
    """On held-out data."""
    created_at: AwareDatetime
    """When it was measured."""

    @model_validator(mode="after")
    def _measured_something(self) -> Self:
        if self.dev is None and self.test is None:
            raise ValueError("it has neither dev nor test: nothing was measured")
        return self
