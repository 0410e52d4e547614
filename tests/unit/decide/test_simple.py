"""Capability, TrainingTemplate and TrainedModel only say whether they can be used."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.builders import NOW, after, attempted, capability, meta, run_of, template, verified
from trainyard.api.meta import Condition
from trainyard.api.model import TrainedModel
from trainyard.decide.results import model_spec
from trainyard.decide.simple import decide_capability, decide_model, decide_template


def model() -> TrainedModel:
    known = attempted()
    spec = model_spec(known.process, run_of(known), verified(known), NOW)
    return TrainedModel.model_validate({"metadata": meta("digits"), "spec": spec.to_wire()})


def ready(conditions: tuple[Condition, ...]) -> tuple[str, str, str]:
    (found,) = conditions
    return str(found.status), found.reason, found.message


ACCEPTED = ("True", "Accepted", "processes can use it")


def test_capability_is_ready_and_counts_its_classes() -> None:
    status = decide_capability(capability("a", "b", "c"), NOW).status
    assert ready(status.conditions) == ACCEPTED
    assert (status.classes, status.observed_generation) == (3, 1)


def test_capability_of_a_type_that_does_not_act_yet_is_not_ready() -> None:
    status = decide_capability(capability("a", type_="BoxEmbedderElement"), NOW).status
    assert ready(status.conditions) == (
        "False",
        "NotYetSupported",
        "spec.type: BoxEmbedderElement is not supported yet: remove it",
    )


def test_template_is_ready() -> None:
    assert ready(decide_template(template(), NOW).status.conditions) == ACCEPTED


def test_template_with_a_field_that_does_not_act_yet_is_not_ready() -> None:
    status = decide_template(template(exports=["onnx"]), NOW).status
    assert ready(status.conditions)[1:] == (
        "NotYetSupported",
        "spec.exports is not supported yet: remove it",
    )


def test_model_is_ready_and_shows_the_size_of_its_weights() -> None:
    status = decide_model(model(), NOW).status
    assert ready(status.conditions)[0] == "True"
    assert status.display is not None
    assert status.display.size == "3.3 MiB"


@pytest.mark.parametrize(
    ("decide", "made"),
    [(decide_capability, capability()), (decide_template, template()), (decide_model, model())],
    ids=["capability", "template", "model"],
)
def test_deciding_again_with_the_written_status_changes_nothing(decide: Any, made: Any) -> None:
    first = decide(made, NOW)
    assert first.actions == ()
    stored = type(first.status).model_validate(first.status.to_wire())
    second = decide(made.model_copy(update={"status": stored}), after(60))
    assert second.status.to_wire() == first.status.to_wire()
