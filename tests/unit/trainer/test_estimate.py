import json
from pathlib import Path

import pytest

from trainyard_trainer.estimate import Estimate


def test_nothing_is_claimed_before_anything_was_measured() -> None:
    estimate = Estimate(0.0, epochs=10)
    assert estimate.remaining(5.0) is None
    assert estimate.percent(5.0) == 0


def test_preparation_is_a_small_part() -> None:
    estimate = Estimate(0.0, epochs=10)
    assert estimate.preparing(0.5) == 1.5
    assert estimate.preparing(1.0) == 3.0


def test_within_the_first_epoch_its_steps_tell() -> None:
    estimate = Estimate(0.0, epochs=10)
    estimate.training_started(20.0, steps_an_epoch=10)
    for _ in range(5):
        estimate.step()
    # 10 s for half an epoch, and a fifth more for its evaluation: 24 s an epoch.
    assert estimate.remaining(30.0) == pytest.approx(10 * 24 - 10 + 12)


def test_later_measured_epochs_tell_evaluation_included() -> None:
    estimate = Estimate(0.0, epochs=10)
    estimate.training_started(20.0, 10)
    for epoch in range(1, 5):
        estimate.epoch(20.0 + 30 * epoch)
    assert estimate.remaining(140.0) == pytest.approx(6 * 30 + 15)
    assert estimate.remaining(150.0) == pytest.approx(6 * 30 - 10 + 15)


def test_a_change_of_speed_shows_within_five_epochs() -> None:
    estimate = Estimate(0.0, epochs=20)
    estimate.training_started(0.0, 10)
    now = 0.0
    for seconds in [10.0] * 5 + [20.0] * 5:
        now += seconds
        estimate.epoch(now)
    assert estimate.remaining(now) == pytest.approx(10 * 20 + 10)


def test_a_change_that_may_pass_counts_half_until_the_newer_half_of_the_epochs_has_it() -> None:
    estimate = Estimate(0.0, epochs=60)
    estimate.training_started(0.0, 10)
    now = 0.0
    for seconds in [10.0] * 30 + [20.0] * 5:
        now += seconds
        estimate.epoch(now)
    assert estimate.remaining(now) == pytest.approx(25 * 15 + 7.5)
    for _ in range(20):
        now += 20.0
        estimate.epoch(now)
    assert estimate.remaining(now) == pytest.approx(5 * 20 + 10)


def test_stopping_early_leaves_only_the_end() -> None:
    estimate = Estimate(0.0, epochs=100)
    estimate.training_started(0.0, 10)
    estimate.epoch(10.0)
    estimate.training_ended(10.0)
    assert estimate.remaining(10.0) == pytest.approx(5.0)
    assert estimate.remaining(13.0) == pytest.approx(2.0)
    assert estimate.remaining(30.0) == 0


def test_each_export_takes_its_time() -> None:
    plain, exporting = Estimate(0.0, epochs=4), Estimate(0.0, epochs=4, exports=2)
    for estimate in (plain, exporting):
        estimate.training_started(0.0, 10)
        estimate.epoch(10.0)
    assert exporting.remaining(10.0) == pytest.approx((plain.remaining(10.0) or 0) + 10)


def test_one_epoch_on_a_busy_machine_does_not_count() -> None:
    estimate = Estimate(0.0, epochs=20)
    estimate.training_started(0.0, 10)
    now = 0.0
    for seconds in (10.0, 10.0, 10.0, 60.0, 10.0):
        now += seconds
        estimate.epoch(now)
    assert estimate.remaining(now) == pytest.approx(15 * 10 + 5)


RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.json"))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_at_half_of_a_recorded_run_its_end_is_told_within_15_percent(path: Path) -> None:
    run = json.loads(path.read_text())
    estimate = Estimate(0.0, run["epochs"], len(run["exports"]))
    estimate.training_started(run["trainingStarted"], 10)
    off = {}
    for at in run["epochsDone"]:
        estimate.epoch(at)
        remaining = estimate.remaining(at)
        assert remaining is not None
        off[at] = at + remaining - run["ended"]
    half = min(off, key=lambda at: abs(at - run["ended"] / 2))
    assert abs(off[half]) <= 0.15 * run["ended"]


def test_a_run_of_each_engine_is_recorded() -> None:
    engines = {json.loads(path.read_text())["engine"] for path in RECORDED}
    assert engines == {"yolo-det", "yolo-seg", "yolo-cls", "embedder"}


def test_percent_never_goes_back_and_ends_below_a_hundred() -> None:
    estimate = Estimate(0.0, epochs=3)
    seen = [estimate.preparing(1.0)]
    estimate.training_started(10.0, 2)
    now = 10.0
    for seconds in (10.0, 200.0, 10.0):
        now += seconds
        estimate.step()
        seen.append(estimate.percent(now))
        estimate.epoch(now)
        seen.append(estimate.percent(now))
    estimate.training_ended(now)
    seen += [estimate.percent(now + 1000), estimate.percent(now + 100_000)]
    assert seen == sorted(seen)
    assert seen[-1] == 99.0


def test_epochs_of_earlier_attempts_count_as_passed_and_are_not_to_come() -> None:
    estimate = Estimate(0.0, epochs=10)
    estimate.go_on(6, 600.0)
    assert estimate.remaining(0.0) is None
    assert estimate.preparing(1.0) == 57
    estimate.training_started(20.0, 10)
    estimate.epoch(120.0)
    # 3 epochs of 100 s and what follows on them are left, of 600 + 120 s and these.
    assert estimate.remaining(120.0) == pytest.approx(300 + 50)
    assert estimate.percent(120.0) == pytest.approx(100 * 720 / (720 + 350))
