"""Capability and TrainingTemplate only say whether they can be used."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.builders import NOW, after, capability, template
from trainyard.api.meta import Condition
from trainyard.decide.simple import decide_capability, decide_template


def ready(conditions: tuple[Condition, ...]) -> tuple[str, str, str]:
    (found,) = conditions
    return str(found.status), found.reason, found.message


ACCEPTED = ("True", "Accepted", "processes can use it")


@pytest.mark.parametrize("type_", ["ImageClassifierElement", "BoxEmbedderElement"])
def test_capability_is_ready_and_counts_its_classes(type_: str) -> None:
    status = decide_capability(capability("a", "b", "c", type_=type_), NOW).status
    assert ready(status.conditions) == ACCEPTED
    assert (status.classes, status.observed_generation) == (3, 1)


@pytest.mark.parametrize(
    ("base", "shown"),
    [
        ({"architecture": "yolo11n"}, "yolo11n"),
        ({"trainedModel": "older"}, "older"),
        ({"weights": {"uri": "s3://b/models/base.pth", "sha256": "0" * 64}}, "base.pth"),
    ],
)
def test_template_is_ready_and_shows_what_it_starts_from(base: dict[str, Any], shown: str) -> None:
    status = decide_template(template(baseModel=base), NOW).status
    assert ready(status.conditions) == ACCEPTED
    assert status.base == shown


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"baseModel": {"architecture": "yolo99n"}}, "baseModel.architecture: 'yolo99n'"),
        ({"hyperparameters": {"extra": {"mix": "1"}}}, "hyperparameters.extra.mix: not an"),
        ({"evaluation": {"primaryMetric": "mAP50"}}, "evaluation.primaryMetric: 'mAP50'"),
    ],
)
def test_template_that_names_what_its_engine_lacks_is_not_ready(
    spec: dict[str, Any], says: str
) -> None:
    status = decide_template(template(**spec), NOW).status
    (state, reason, message) = ready(status.conditions)
    assert (state, reason) == ("False", "InvalidTemplate")
    assert message.startswith(says)


@pytest.mark.parametrize(
    ("decide", "made"),
    [(decide_capability, capability()), (decide_template, template())],
    ids=["capability", "template"],
)
def test_deciding_again_with_the_written_status_changes_nothing(decide: Any, made: Any) -> None:
    first = decide(made, NOW)
    assert first.actions == ()
    stored = type(first.status).model_validate(first.status.to_wire())
    second = decide(made.model_copy(update={"status": stored}), after(60))
    assert second.status.to_wire() == first.status.to_wire()


def test_a_template_that_cannot_be_used_is_told_of_and_so_is_its_mending() -> None:
    broken = template(evaluation={"primaryMetric": "mAP50"})
    first = decide_template(broken, NOW)
    (event,) = first.events
    assert (event.reason, event.warning) == ("InvalidTemplate", True)
    stored = broken.model_copy(update={"status": first.status})
    assert decide_template(stored, NOW).events == ()
    mended = template().model_copy(update={"status": first.status})
    (event,) = decide_template(mended, NOW).events
    assert (event.reason, event.warning) == ("Accepted", False)


def test_what_can_be_used_from_the_start_is_not_told_of() -> None:
    assert decide_template(template(), NOW).events == ()
    assert decide_capability(capability(), NOW).events == ()
