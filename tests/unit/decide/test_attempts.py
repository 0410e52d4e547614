"""What the records of attempts say about the next one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.builders import LOCATION, NOW, after, attempted, run_of
from trainyard.api.process import Retry
from trainyard.api.process_status import Attempt, CheckpointStatus
from trainyard.api.template import Hyperparameters
from trainyard.decide import attempts

CHECKPOINT = CheckpointStatus(
    location=f"{LOCATION}/checkpoints/000012", sha256="c" * 64, epoch=12, attempt=1
)


def tried(*reasons: str) -> tuple[Attempt, ...]:
    """Attempts of ten seconds each, one a minute."""
    return tuple(
        Attempt(
            number=index + 1,
            node="gpu-1",
            start_time=after(60 * index),
            finish_time=after(60 * index + 10),
            reason=reason,
        )
        for index, reason in enumerate(reasons)
    )


FOLLOWS: dict[str, tuple[dict[str, Any] | None, tuple[str, ...], int | None, bool]] = {
    "without retries none follows": (None, ("TrainerError",), 16, False),
    "the limit allows one more": ({"limit": 1}, ("TrainerError",), 16, True),
    "the limit is used up": ({"limit": 1}, ("TrainerError", "TrainerError"), 16, False),
    "stops and evictions do not count": (
        {"limit": 1},
        ("Stopped", "Evicted", "Stopped", "TrainerError"),
        16,
        True,
    ),
    "bad data stays bad": ({"limit": 5}, ("BadData",), 16, False),
    "a loss that became no number becomes none again": (
        {"limit": 5},
        ("LossNotFinite",),
        16,
        False,
    ),
    "weights that cannot be used stay so": ({"limit": 5}, ("BaseModelUnusable",), 16, False),
    "a batch that the trainer chose can shrink": (
        {"limit": 3, "shrinkBatchOnOutOfMemory": True},
        ("GPUOutOfMemory",),
        None,
        True,
    ),
    "a deadline that passed stays passed": ({"limit": 5}, ("DeadlineExceeded",), 16, False),
    "a lost node is a failure": ({"limit": 0}, ("NodeLost",), 16, False),
    "a batch that can shrink": (
        {"limit": 3, "shrinkBatchOnOutOfMemory": True},
        ("GPUOutOfMemory",),
        2,
        True,
    ),
    "a batch of one cannot shrink": (
        {"limit": 3, "shrinkBatchOnOutOfMemory": True},
        ("GPUOutOfMemory",),
        1,
        False,
    ),
}


@pytest.mark.parametrize(("retry", "reasons", "batch", "expected"), FOLLOWS.values(), ids=FOLLOWS)
def test_whether_another_attempt_follows(
    retry: dict[str, Any] | None, reasons: tuple[str, ...], batch: int | None, expected: bool
) -> None:
    rule = None if retry is None else Retry.model_validate(retry)
    assert attempts.may_follow(rule, tried(*reasons), batch) is expected


@pytest.mark.parametrize(
    ("reasons", "seconds"),
    [
        (("TrainerError",), 10),
        (("TrainerError", "TrainerError"), 20),
        (("TrainerError",) * 9, 360),
    ],
)
def test_back_off_doubles_up_to_six_minutes(reasons: tuple[str, ...], seconds: float) -> None:
    last = tried(*reasons)
    assert attempts.back_off_until(last) == after(60 * (len(reasons) - 1) + 10 + seconds)


def test_nobody_backs_off_after_a_stop() -> None:
    assert attempts.back_off_until(tried("TrainerError", "Stopped")) is None


@pytest.mark.parametrize(
    ("reasons", "shrinks", "expected", "automatic"),
    [
        ((), True, None, None),
        (("GPUOutOfMemory",), True, 8, 16),
        (("GPUOutOfMemory", "Stopped", "GPUOutOfMemory"), True, 4, 8),
        (("GPUOutOfMemory",) * 9, True, 1, 1),
        (("GPUOutOfMemory",), False, None, None),
        (("OutOfMemory",), True, None, None),
    ],
)
def test_batch_is_halved_for_each_time_that_the_gpu_ran_out(
    reasons: tuple[str, ...], shrinks: bool, expected: int | None, automatic: int | None
) -> None:
    rule, tries = Retry(limit=9, shrink_batch_on_out_of_memory=shrinks), tried(*reasons)
    recipe = Hyperparameters(batch_size=16)
    assert attempts.batch_size(recipe, tries, rule) == expected
    chosen = recipe.model_copy(update={"automatic_batch_size": True})
    assert attempts.batch_size(chosen, tries, rule) == automatic


def test_batch_that_was_not_chosen_automatically_takes_the_choice_from_the_trainer() -> None:
    base = run_of(attempted())
    hyper = base.template.hyperparameters.model_copy(update={"automatic_batch_size": True})
    chosen = base.model_copy(
        update={"template": base.template.model_copy(update={"hyperparameters": hyper})}
    )
    made = attempts.run_of(chosen, 2, LOCATION, None, 8).template.hyperparameters
    assert (made.batch_size, made.automatic_batch_size) == (8, False)
    same = attempts.run_of(chosen, 2, LOCATION, None, None).template.hyperparameters
    assert same == hyper


def test_active_time_is_that_of_all_attempts_and_of_the_present_one_so_far() -> None:
    running = Attempt(number=3, node="gpu-1", start_time=after(200))
    assert attempts.active_seconds((*tried("Stopped", "Evicted"), running), after(230)) == 50


def test_next_run_differs_in_nothing_but_where_it_goes_on() -> None:
    base = run_of(attempted())
    made = attempts.run_of(base, 2, f"{LOCATION[:-1]}2", CHECKPOINT, 8)
    made.verify("run.yaml")
    assert made.resume is not None
    assert (made.resume.location, made.resume.epoch) == (CHECKPOINT.location, 12)
    hyper = base.template.hyperparameters
    assert made.template.hyperparameters.batch_size == 8
    back = attempts.run_of(made, 1, base.output, None, hyper.batch_size)
    assert back == base


def test_oldest_stop_makes_room_for_a_new_record() -> None:
    known = tried("TrainerError", *("Stopped",) * 99)
    new = Attempt(number=101, node="gpu-1", start_time=NOW)
    kept = attempts.recorded(known, new)
    assert len(kept) == attempts.KEPT
    assert [item.number for item in (*kept[:2], kept[-1])] == [1, 3, 101]
