"""A TrainedModel: the size of its weights, and the evaluations that the store has of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.builders import (
    LOCATION,
    NOW,
    SETTINGS,
    after,
    attempted,
    meta,
    run_of,
    trained_model,
    verified,
)
from trainyard.api.evaluation import EvaluationFile
from trainyard.api.meta import ANNOTATION_EVALUATIONS
from trainyard.api.model import TrainedModel, TrainedModelStatus
from trainyard.decide.facts import FoundEvaluations, ModelFacts, Unavailable
from trainyard.decide.model import decide_model, may_be_read, unread_mark
from trainyard.decide.results import model_spec


def marked(value: str = "now", **changes: Any) -> TrainedModel:
    """A model whose evaluations somebody wants to be read."""
    made = trained_model(**changes)
    annotated = {"annotations": {ANNOTATION_EVALUATIONS: value}}
    return made.model_copy(update={"metadata": made.metadata.model_copy(update=annotated)})


def evaluation(plan: str = "plain", **changes: Any) -> EvaluationFile:
    return EvaluationFile.model_validate(
        {
            "plan": plan,
            "checkpoint_sha256": "6" * 64,
            "primary_metric": "top-1",
            "test": {"metrics": {"top-1": 0.9468, "top-5": 1.0}, "samples": 70},
            "created_at": datetime(2026, 11, 25, 9, 30, 0, 12345, tzinfo=UTC),
            **changes,
        }
    )


def facts(
    evaluations: FoundEvaluations | Unavailable | None, model: TrainedModel | None = None
) -> ModelFacts:
    return ModelFacts(model or marked(), SETTINGS, evaluations)


def read(status: TrainedModelStatus) -> tuple[str, str, str]:
    """The condition EvaluationsRead."""
    (found,) = [item for item in status.conditions if item.type == "EvaluationsRead"]
    return str(found.status), found.reason, found.message


def test_model_of_a_run_is_ready_and_shows_the_size_of_its_weights() -> None:
    known = attempted()
    spec = model_spec(known.process, run_of(known), verified(known), NOW)
    made = TrainedModel.model_validate({"metadata": meta("digits"), "spec": spec.to_wire()})
    status = decide_model(ModelFacts(made, SETTINGS), NOW).status
    (ready,) = status.conditions
    assert (ready.type, str(ready.status), ready.reason) == ("Ready", "True", "Accepted")
    assert status.display is not None
    assert status.display.size == "3.3 MiB"


def test_model_that_nobody_marked_says_nothing_about_evaluations() -> None:
    made = trained_model()
    assert unread_mark(made) is None
    status = decide_model(ModelFacts(made, SETTINGS), NOW).status
    assert [item.type for item in status.conditions] == ["Ready"]
    assert (status.evaluations, status.observed_evaluations) == ((), None)


def test_evaluations_of_the_store_are_listed() -> None:
    found = FoundEvaluations(
        (
            evaluation("plain"),
            evaluation("strict", test=None, dev={"metrics": {"top-1": 0.5}, "samples": 3}),
        )
    )
    decision = decide_model(facts(found), NOW)
    assert decision.look_again_at is None
    status = decision.status
    assert read(status) == ("True", "EvaluationsListed", "2 evaluations are listed")
    assert status.observed_evaluations == "now"
    assert [item.to_wire() for item in status.evaluations] == [
        {
            "plan": "plain",
            "primaryMetric": "top-1",
            "checkpointSha256": "6" * 64,
            "test": {
                "metrics": [
                    {"name": "top-1", "value": "0.9468"},
                    {"name": "top-5", "value": "1"},
                ],
                "samples": 70,
            },
            "createdAt": "2026-11-25T09:30:00Z",
        },
        {
            "plan": "strict",
            "primaryMetric": "top-1",
            "checkpointSha256": "6" * 64,
            "dev": {"metrics": [{"name": "top-1", "value": "0.5"}], "samples": 3},
            "createdAt": "2026-11-25T09:30:00Z",
        },
    ]


def test_the_same_annotation_makes_no_second_reading_and_no_second_write() -> None:
    first = decide_model(facts(FoundEvaluations((evaluation(),))), NOW).status
    stored = TrainedModelStatus.model_validate(first.to_wire())
    known = marked().model_copy(update={"status": stored})
    assert unread_mark(known) is None
    again = decide_model(facts(None, known), after(600)).status
    assert again.to_wire() == first.to_wire()


def test_another_annotation_makes_them_be_read_again() -> None:
    first = decide_model(facts(FoundEvaluations((evaluation(),))), NOW).status
    known = marked("later").model_copy(update={"status": first})
    assert unread_mark(known) == "later"
    again = decide_model(facts(FoundEvaluations(()), known), after(600)).status
    assert again.evaluations == ()
    assert again.observed_evaluations == "later"


def test_of_a_long_annotation_only_the_beginning_counts() -> None:
    status = decide_model(facts(FoundEvaluations(()), marked("x" * 5000)), NOW).status
    assert status.observed_evaluations == "x" * 64
    assert unread_mark(marked("x" * 5000).model_copy(update={"status": status})) is None


def test_files_that_are_no_evaluation_are_named_and_the_others_listed() -> None:
    bad = tuple(f"{number}.json is no evaluation" for number in range(7))
    status = decide_model(facts(FoundEvaluations((evaluation(),), bad)), NOW).status
    assert read(status) == (
        "False",
        "EvaluationsUnusable",
        "0.json is no evaluation; 1.json is no evaluation; 2.json is no evaluation; 3.json is no "
        "evaluation; 4.json is no evaluation; and 2 more",
    )
    assert [item.plan for item in status.evaluations] == ["plain"]
    assert status.observed_evaluations == "now"


def test_more_evaluations_than_there_is_room_for_are_said() -> None:
    found = FoundEvaluations(tuple(evaluation(f"p{n}") for n in range(100)), more=True)
    status = decide_model(facts(found), NOW).status
    assert read(status)[1:] == (
        "EvaluationsUnusable",
        "there are more than 100 files, of which the first by name are listed: delete those that "
        "nobody needs",
    )
    assert len(status.evaluations) == 100


def test_store_that_does_not_answer_is_asked_again_and_what_was_listed_stays() -> None:
    first = decide_model(facts(FoundEvaluations((evaluation(),))), NOW).status
    known = marked("later").model_copy(update={"status": first})
    decision = decide_model(facts(Unavailable("no answer"), known), after(5))
    assert read(decision.status) == ("False", "StoreUnavailable", "no answer")
    assert decision.status.evaluations == first.evaluations
    assert decision.status.observed_evaluations == "now"
    assert decision.look_again_at == after(20)


PLACES = {
    "a run of the namespace": (LOCATION, True),
    "a run of another namespace": (LOCATION.replace("/demo/", "/team/"), False),
    "a namespace whose name begins alike": (LOCATION.replace("/demo/", "/demo-2/"), False),
    "the datasets of the namespace": (LOCATION.replace("/runs/", "/datasets/"), False),
    "another bucket": ("s3://elsewhere/runs/demo/uid/1", False),
    "a folder of the operator's machine": ("file:///etc/runs/demo", False),
}


@pytest.mark.parametrize(("location", "allowed"), PLACES.values(), ids=PLACES)
def test_only_where_the_namespace_may_write_are_evaluations_read(
    location: str, allowed: bool
) -> None:
    assert may_be_read(trained_model(location=location), SETTINGS) is allowed


def test_model_that_lies_elsewhere_says_where_evaluations_are_read() -> None:
    elsewhere = marked(location="s3://elsewhere/x")
    status = decide_model(facts(None, elsewhere), NOW).status
    assert read(status) == (
        "False",
        "LocationNotAllowed",
        "evaluations are read below s3://trainyard/runs/demo/ only, and the model lies at "
        "s3://elsewhere/x: evaluate a model that was trained or exported there",
    )
    assert status.observed_evaluations == "now"
    settled = decide_model(
        replace(facts(None), model=elsewhere.model_copy(update={"status": status})), after(9)
    )
    assert settled.status.to_wire() == status.to_wire()
