"""Kill -9 at every write of the operator, before and after its commit: the end is the same one.

Each scenario is played undisturbed, which gives the list of its writes and its end, and then once
for every write and moment. `make test-full` plays all of them, `make test` a sample.
"""

from __future__ import annotations

import pytest
from support.kill_points import (
    ANSWERS,
    NAME,
    KillPoints,
    Report,
    Scenario,
    succeeded_with_verified_files,
    what_ran_is_what_was_resolved,
)
from support.plot import Plot
from support.trainer import Epochs, fails
from support.waiting import eventually
from support.world import NAMESPACE

from trainyard.cluster.resources import DATASET, MODEL, PROCESS, SECRET

EPOCHS = 4
HELD_AFTER = 2


def _train(plot: Plot, trainer: Epochs, **spec: object) -> None:
    plot.trainer = trainer
    plot.kubelet.script(plot.namespace, NAME, trainer)
    plot.process(NAME, **spec)


def _run_until_it_is_held(plot: Plot) -> None:
    _train(plot, Epochs(hold_after=HELD_AFTER))
    assert plot.trainer.holding.wait(60)
    plot.wait_phase(PROCESS, NAME, "Running")


def _free(plot: Plot) -> None:
    plot.wait_released(*plot.nodes)


# A run


def _apply_and_succeed(plot: Plot) -> None:
    _train(plot, Epochs())
    plot.succeeds(NAME)
    _free(plot)


def _trained_once(plot: Plot) -> None:
    succeeded_with_verified_files(plot)
    assert plot.trainer.trained == {1: list(range(1, EPOCHS + 1))}


RUN = Scenario("a run", act=_apply_and_succeed, check=_trained_once)


# A run with the snapshots of its datasets


def _apply_everything_and_succeed(plot: Plot) -> None:
    plot.inputs()
    _apply_and_succeed(plot)


def _with_ready_datasets(plot: Plot) -> None:
    _trained_once(plot)
    for name in ("train", "dev"):
        assert plot.status(name, DATASET)["phase"] == "Ready"


WHOLE = Scenario(
    "inputs and a run", act=_apply_everything_and_succeed, check=_with_ready_datasets, seed=False
)


# A stop


def _stop(plot: Plot) -> None:
    plot.patch(PROCESS, NAME, {"spec": {"suspend": True}})
    plot.wait_phase(PROCESS, NAME, "Suspended")
    _free(plot)


def _stopped_with_a_checkpoint(plot: Plot) -> None:
    status = plot.status(NAME)
    assert status["checkpoint"]["epoch"] == HELD_AFTER
    assert plot.trainer.trained == {1: [1, 2]}
    assert plot.kubelet.live(plot.namespace, NAME) == []
    what_ran_is_what_was_resolved(plot)


STOP = Scenario("a stop", _stop, _run_until_it_is_held, _stopped_with_a_checkpoint)


# Going on


def _run_and_stop(plot: Plot) -> None:
    _run_until_it_is_held(plot)
    _stop(plot)


def _go_on(plot: Plot) -> None:
    plot.trainer.let_go.set()
    plot.patch(PROCESS, NAME, {"spec": {"suspend": False}})
    plot.succeeds(NAME)
    _free(plot)


def _went_on_where_it_was(plot: Plot) -> None:
    succeeded_with_verified_files(plot)
    assert plot.trainer.trained == {1: [1, 2], 2: [3, 4]}, "epochs done are not done again"
    assert plot.trainer.told[2].resume is not None
    assert plot.trainer.told[2].resume.epoch == HELD_AFTER


RESUME = Scenario("a resume", _go_on, _run_and_stop, _went_on_where_it_was)


# A retry


def _fail_once_and_succeed(plot: Plot) -> None:
    _train(plot, Epochs(endings={1: fails(1)}), retry={"limit": 1})
    plot.succeeds(NAME)
    _free(plot)


def _the_second_attempt_succeeded(plot: Plot) -> None:
    succeeded_with_verified_files(plot)
    first, second = plot.status(NAME)["attempts"]
    assert (first["reason"], second["reason"]) == ("TrainerError", "TrainingSucceeded")
    assert sorted(plot.trainer.trained) == [1, 2]


RETRY = Scenario("a retry", act=_fail_once_and_succeed, check=_the_second_attempt_succeeded)


# Deletion


def _delete(plot: Plot) -> None:
    plot.delete(PROCESS, NAME)
    _everything_is_gone(plot)


def _everything_is_gone(plot: Plot) -> None:
    eventually(
        "everything being gone",
        lambda: (
            plot.get(PROCESS, NAME) is None
            and not plot.jobs()
            and not plot.pods()
            and not plot.config_maps(NAME)
            and plot.lease() is None
        ),
        within=60,
        seen=lambda: (plot.jobs(), plot.pods(), plot.config_maps(NAME), plot.lease()),
    )


def _nothing_runs(plot: Plot) -> None:
    assert plot.kubelet.live(plot.namespace, NAME) == []
    assert plot.trainer.trained == {1: [1, 2]}


DELETION = Scenario("a deletion", _delete, _run_until_it_is_held, _nothing_runs)


def _delete_the_namespace(plot: Plot) -> None:
    raw = plot.api.get(NAMESPACE, plot.namespace)
    assert raw is not None
    plot.api.delete(NAMESPACE, plot.namespace, uid=raw["metadata"]["uid"])
    _everything_is_gone(plot)
    eventually(
        "the namespace being gone",
        lambda: plot.api.get(NAMESPACE, plot.namespace) is None,
        within=60,
        every=0.3,
    )


NAMESPACE_DELETION = Scenario(
    "a deletion of the namespace", _delete_the_namespace, _run_until_it_is_held, _nothing_runs
)


# Clearing away


def _expire(plot: Plot) -> None:
    plot.patch(PROCESS, NAME, {"spec": {"ttlSecondsAfterFinished": 0}})
    eventually("the Job being gone", lambda: not plot.jobs() and not plot.pods())


def _only_job_and_pod_are_gone(plot: Plot) -> None:
    assert plot.status(NAME)["phase"] == "Succeeded"
    assert plot.get(MODEL, NAME) is not None
    assert plot.get(SECRET, "trainyard-store") is not None


CLEARING = Scenario("a clearing away", _expire, _apply_and_succeed, _only_job_and_pod_are_gone)

SCENARIOS = (RUN, WHOLE, STOP, RESUME, RETRY, DELETION, NAMESPACE_DELETION, CLEARING)


def _assert_same(report: Report) -> None:
    assert report.kills > 0
    assert not report.bad, str(report)


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_killed_before_and_after_each_write_it_ends_as_undisturbed(
    kill_points: KillPoints, scenario: Scenario
) -> None:
    _assert_same(kill_points.all(scenario, closed=True))


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("answer", ANSWERS)
def test_refused_or_cut_off_at_each_write_of_a_run_it_ends_as_undisturbed(
    kill_points: KillPoints, answer: str
) -> None:
    _assert_same(kill_points.all(RUN, moments=(answer,)))


def test_killed_after_each_write_of_a_run_it_ends_as_undisturbed(kill_points: KillPoints) -> None:
    report = kill_points.all(RUN, moments=("after",))
    _assert_same(report)
    assert not report.missed, str(report)


SAMPLES = ((STOP, "after"), (RESUME, "before"), (DELETION, "after"), (CLEARING, "before"))


@pytest.mark.parametrize(("scenario", "moment"), SAMPLES, ids=str)
def test_killed_at_some_writes_of_a_scenario_it_ends_as_undisturbed(
    kill_points: KillPoints, scenario: Scenario, moment: str
) -> None:
    report = kill_points.all(scenario, moments=(moment,), choose=lambda writes: writes[::2])
    _assert_same(report)
