"""From the trainer's words to status fields."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.builders import (
    LOCATION,
    NOW,
    UID,
    after,
    attempted,
    manifest,
    process,
    report,
    run_of,
    template,
    verified,
)
from trainyard.api.process_status import MetricValue, ProgressStatus
from trainyard.api.report import EpochReport
from trainyard.decide import results
from trainyard.decide.facts import VerifiedArtefacts


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.9, "0.9"), (1 / 3, "0.333333"), (1.0, "1"), (1e-7, "1e-07"), (0.0, "0")],
)
def test_number_has_six_significant_digits(value: float, text: str) -> None:
    assert results.number(value) == text


def test_metrics_stand_in_the_order_of_their_names() -> None:
    assert results.metric_values({"top-5": 1, "top-1": 0.5}) == (
        MetricValue(name="top-1", value="0.5"),
        MetricValue(name="top-5", value="1"),
    )


def test_progress_is_that_of_the_report_and_ends_at_its_time_plus_the_rest() -> None:
    received = replace(report(), received_at=NOW.replace(microsecond=250_000))
    assert results.progress(received) == ProgressStatus(
        stage="train",
        percent=40,
        epoch=12,
        epochs=30,
        estimated_remaining_seconds=6000,
        estimated_completion_time=after(6000),
        last_updated_time=NOW,
    )


def test_progress_without_an_estimate_has_no_end() -> None:
    made = results.progress(report(estimated_remaining_seconds=None))
    assert made.estimated_completion_time is None


def test_history_spells_numbers_as_strings_and_leaves_out_what_is_unknown() -> None:
    points = results.history(
        report(history=(EpochReport(epoch=1, train_loss=2.5), EpochReport(epoch=2))).report
    )
    assert [point.to_wire() for point in points] == [
        {"epoch": 1, "trainLoss": "2.5"},
        {"epoch": 2},
    ]


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ({"engine": "yolo-cls"}, "top-1"),
        ({"engine": "yolo-det"}, "mAP50-95"),
        ({"engine": "yolo-det", "evaluation": {"primaryMetric": "mAP50"}}, "mAP50"),
    ],
)
def test_primary_metric_is_the_templates_else_the_engines(spec: Any, name: str) -> None:
    assert results.primary_metric_name(template(**spec).spec) == name


@pytest.mark.parametrize(
    ("old", "epochs"),
    [(None, 7), (ProgressStatus(percent=5), 7), (ProgressStatus(percent=5, epochs=30), 30)],
)
def test_finished_progress_is_whole_and_says_how_many_epochs_were_trained(
    old: ProgressStatus | None, epochs: int
) -> None:
    made = results.finished_progress(old, 7, NOW)
    assert (made.percent, made.epoch, made.epochs) == (100, 7, epochs)


def test_artefacts_are_named_by_their_role() -> None:
    made = results.artefacts(VerifiedArtefacts(LOCATION, manifest()))
    assert made.to_wire() == {
        "location": LOCATION,
        "weights": {
            "uri": f"{LOCATION}/model.pth",
            "sha256": "1" * 64,
            "sizeBytes": 3_500_000,
        },
        "config": {"uri": f"{LOCATION}/config.yaml", "sha256": "2" * 64, "sizeBytes": 900},
    }


def test_evaluation_has_both_splits_or_dev_alone() -> None:
    both = results.evaluation(manifest())
    assert both.dev is not None and both.test is not None
    assert (both.dev.samples, both.test.samples) == (40, 32)
    assert both.test.metrics == (MetricValue(name="top-1", value="0.9375"),)
    assert results.evaluation(manifest(test=None)).test is None


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        pytest.param({}, "top-1 0.938", id="on test"),
        pytest.param({"test": None}, "top-1 0.950", id="on dev without test"),
        pytest.param({"primary_metric": "top-5"}, "top-5 1.000", id="on dev when test lacks it"),
        pytest.param({"primary_metric": "other"}, "", id="nothing when nobody has it"),
    ],
)
def test_metric_column(changes: dict[str, Any], text: str) -> None:
    assert results.primary(manifest(**changes)) == text


@pytest.mark.parametrize(
    ("name", "made_by", "expected"),
    [
        pytest.param("digits", None, "digits", id="the process's name"),
        pytest.param("digits", UID, "digits", id="made by this process before a crash"),
        pytest.param("digits", "", "digits-11111111", id="taken by a model made by hand"),
        pytest.param("digits", "other", "digits-11111111", id="taken by an older process"),
        pytest.param("x" * 63, "", "x" * 54 + "-11111111", id="never longer than 63"),
        pytest.param("x" * 53 + "-yyyyyyyyy", "", "x" * 53 + "-11111111", id="no double dash"),
    ],
)
def test_name_of_the_model(name: str, made_by: str | None, expected: str) -> None:
    made = results.model_name(process(name), made_by)
    assert made == expected
    assert len(made) <= 63


def test_model_says_where_it_comes_from() -> None:
    known = attempted()
    found = verified(known)
    spec = results.model_spec(known.process, run_of(known), found, after(0.5))
    assert spec.classes == run_of(known).capability.outputs
    assert spec.fingerprint == run_of(known).fingerprint
    assert spec.lineage is not None
    assert spec.lineage.to_wire() == {
        "process": "digits",
        "processUid": UID,
        "template": "recipe",
        "node": "gpu-1",
        "finishedAt": "2026-11-23T12:00:00Z",
    }
