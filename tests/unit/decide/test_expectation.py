"""How long a run will probably take, from runs before it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.builders import NOW, after, process, template
from trainyard.api.process import TrainingProcess
from trainyard.api.process_status import TrainingProcessStatus
from trainyard.decide.expectation import (
    RECENT,
    PastRun,
    done_at,
    expected_end,
    expected_seconds,
    past_run,
    rest_seconds,
)


def attempt(number: int, start: float, end: float | None, **more: Any) -> dict[str, Any]:
    return {
        "number": number,
        "node": "gpu-1",
        "startTime": after(start).isoformat(),
        "finishTime": None if end is None else after(end).isoformat(),
        **more,
    }


def status(*attempts: dict[str, Any], **more: Any) -> TrainingProcessStatus:
    return TrainingProcessStatus.model_validate({"attempts": list(attempts), **more})


def finished(*attempts: dict[str, Any], **more: Any) -> TrainingProcess:
    return process(status=status(*attempts, phase="Succeeded", **more))


def run(seconds: float, end: float = 0.0, work: float | None = None, **more: Any) -> PastRun:
    values = {"template": "demo/recipe", "node": "gpu-1", **more}
    return PastRun(seconds=seconds, work=work, finished=after(end), **values)


class TestPastRun:
    def test_took_as_long_as_its_attempt(self) -> None:
        found = past_run(finished(attempt(1, 0, 600)))
        assert found == run(600, end=600)

    def test_counts_what_it_resumed_from_and_not_what_it_waited(self) -> None:
        found = past_run(finished(attempt(1, 0, 600), attempt(2, 5000, 5300, resumedFromEpoch=20)))
        assert found is not None
        assert found.seconds == 900

    def test_does_not_count_a_crash_after_which_it_began_anew(self) -> None:
        found = past_run(finished(attempt(1, 0, 50), attempt(2, 100, 700)))
        assert found is not None
        assert found.seconds == 600

    def test_does_not_count_a_crash_before_what_it_resumed_from(self) -> None:
        crash, first = attempt(1, 0, 50), attempt(2, 100, 700)
        found = past_run(finished(crash, first, attempt(3, 5000, 5300, resumedFromEpoch=20)))
        assert found is not None
        assert found.seconds == 900

    def test_knows_epochs_and_images(self) -> None:
        found = past_run(
            finished(
                attempt(1, 0, 600),
                progress={"percent": 100, "epochs": 30},
                data={"train": {"samples": 200, "annotations": 200}},
            )
        )
        assert found is not None
        assert found.work == 6000

    @pytest.mark.parametrize(
        "known",
        [
            pytest.param(process(), id="has not begun"),
            pytest.param(process(status=status(attempt(1, 0, 9), phase="Failed")), id="failed"),
            pytest.param(finished(), id="was not trained: another run was taken"),
            pytest.param(finished(attempt(1, 600, 0)), id="a clock that was set back"),
            pytest.param(finished(attempt(1, 0, None)), id="a status that somebody else wrote"),
        ],
    )
    def test_is_none_of_a_process_that(self, known: TrainingProcess) -> None:
        assert past_run(known) is None


class TestExpectation:
    def test_is_unknown_without_a_run_of_the_template_on_the_node(self) -> None:
        others = (run(600, template="demo/other"), run(600, node="gpu-2"))
        assert expected_seconds(process(), template(), others) is None

    def test_is_the_median_of_the_newest(self) -> None:
        old = [run(9000, end=n) for n in range(4)]
        new = [run(seconds, end=100 + seconds) for seconds in (100, 110, 120, 130, 900)]
        assert len(new) == RECENT
        assert expected_seconds(process(), template(), old + new) == 120

    def test_grows_with_epochs_and_images(self) -> None:
        data = {"train": {"samples": 200, "annotations": 200}}
        known = process(status=TrainingProcessStatus.model_validate({"data": data}))
        past = (run(600, work=30 * 100.0),)
        assert expected_seconds(known, template(), past) == 1200
        longer = known.model_copy(
            update={"spec": process(overrides={"hyperparameters": {"epochs": 90}}).spec}
        )
        assert expected_seconds(longer, template(), past) == 3600

    def test_is_not_scaled_by_what_is_not_known(self) -> None:
        assert expected_seconds(process(), template(), (run(600, work=1.0),)) == 600
        assert expected_seconds(process(), None, (run(600, work=1.0),)) == 600

    def test_is_not_scaled_by_what_the_run_before_did_not_know(self) -> None:
        data = {"train": {"samples": 200, "annotations": 200}}
        known = process(status=TrainingProcessStatus.model_validate({"data": data}))
        nothing = {"train": {"samples": 0, "annotations": 0}}
        empty = past_run(finished(attempt(1, 0, 600), progress={"epochs": 30}, data=nothing))
        assert empty is not None
        assert expected_seconds(known, template(), (empty,)) == 600

    def test_counts_the_epochs_that_the_run_has_told(self) -> None:
        """Its recipe is frozen; the template may have been edited since."""
        told = {
            "data": {"train": {"samples": 200, "annotations": 200}},
            "progress": {"epochs": 60},
        }
        known = process(status=TrainingProcessStatus.model_validate(told))
        assert expected_seconds(known, template(), (run(600, work=30 * 200.0),)) == 1200


class TestRest:
    CHECKPOINT = {
        "checkpoint": {"location": "s3://b/c", "sha256": "0" * 64, "epoch": 20, "attempt": 1},
        "progress": {"percent": 66, "epochs": 30},
    }

    def test_of_a_run_that_goes_on_is_what_its_checkpoint_lacks(self) -> None:
        assert rest_seconds(status(**self.CHECKPOINT), 900.0) == pytest.approx(300)

    def test_of_a_new_run_is_the_whole(self) -> None:
        assert rest_seconds(status(), 900.0) == 900
        assert rest_seconds(status(), None) is None

    @pytest.mark.parametrize("field", ["checkpoint", "progress"])
    def test_is_the_whole_where_it_is_not_known_what_was_done(self, field: str) -> None:
        known = {key: value for key, value in self.CHECKPOINT.items() if key != field}
        assert rest_seconds(status(**known), 900.0) == 900

    def test_counts_from_the_start_of_the_attempt(self) -> None:
        known = status(attempt(1, 0, 600), attempt(2, 1000, None), **self.CHECKPOINT)
        assert expected_end(known, 900.0) == after(1300)
        assert expected_end(known, None) is None


class TestEnd:
    def test_is_what_the_trainer_of_this_attempt_says(self) -> None:
        progress = {
            "percent": 10,
            "estimatedCompletionTime": after(777).isoformat(),
            "lastUpdatedTime": after(50).isoformat(),
        }
        assert done_at(status(attempt(1, 0, None), progress=progress), 900.0) == after(777)
        assert done_at(status(attempt(2, 60, None), progress=progress), 900.0) == after(960)

    def test_is_unknown_before_an_attempt(self) -> None:
        assert done_at(status(), 900.0) is None
        assert after(0) == NOW
