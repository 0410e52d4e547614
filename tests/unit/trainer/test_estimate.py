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


def test_stopping_early_leaves_only_the_end() -> None:
    estimate = Estimate(0.0, epochs=100)
    estimate.training_started(0.0, 10)
    estimate.epoch(10.0)
    estimate.training_ended()
    assert estimate.remaining(10.0) == pytest.approx(5.0)


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
    estimate.training_ended()
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
