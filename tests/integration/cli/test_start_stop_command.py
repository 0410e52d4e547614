"""`trainyard start` and `stop`, on a real API server; the test writes what the operator would."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from support.waiting import eventually
from team import Team

from trainyard.api.process import TrainingProcess
from trainyard.cli import suspension
from trainyard.cluster.resources import PROCESS


def version(team: Team, name: str = "cats") -> str:
    raw = team.api.get(PROCESS, name, team.namespace)
    assert raw is not None
    return str(raw["metadata"]["resourceVersion"])


def afterwards(step: Callable[[], Any], when: Callable[[], bool]) -> threading.Thread:
    """Do something as soon as something else is true."""

    def act() -> None:
        eventually("the moment to act", when, within=30)
        step()

    thread = threading.Thread(target=act)
    thread.start()
    return thread


def test_start_really_starts_a_draft_and_says_what_comes_next(team: Team) -> None:
    team.process("cats", "Created", suspend=True)
    said = team.says("start", "cats", who=team.engineer)
    assert team.spec("cats")["suspend"] is False
    assert f"it starts when its turn on node {team.node} comes" in said


def test_start_of_a_stopped_process_says_after_which_epoch_it_goes_on(team: Team) -> None:
    made = team.process("cats", suspend=True)
    checkpoint = {"location": "s3://a/b", "sha256": "0" * 64, "epoch": 12, "attempt": 1}
    generation = made["metadata"]["generation"]
    team.put_status("cats", "Suspended", generation, checkpoint=checkpoint)
    assert "it goes on after epoch 12, from its checkpoint, when" in team.says("start", "cats")


def test_start_of_what_is_started_already_says_so_and_changes_nothing(team: Team) -> None:
    team.process("cats", "Running")
    before = version(team)
    assert f"is started already: Running on node {team.node}" in team.says("start", "cats")
    assert version(team) == before


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_start_of_a_finished_process_is_refused(team: Team, phase: str) -> None:
    team.process("cats", phase, suspend=True)
    before = version(team)
    sentence = team.refuses("start", "cats")
    assert f"has {phase.lower()} and never runs again: create a new TrainingProcess" in sentence
    assert version(team) == before


def test_stop_really_stops_and_says_what_comes_next(team: Team) -> None:
    team.process("cats", "Running")
    said = team.says("stop", "cats", who=team.engineer)
    assert team.spec("cats")["suspend"] is True
    assert f"writes a checkpoint, uploads it and ends, then node {team.node} is free" in said
    assert f"`trainyard start cats -n {team.namespace}` lets it go on" in said


def test_stop_of_a_waiting_process_takes_it_out_of_the_queue(team: Team) -> None:
    team.process("cats", "Queued")
    assert f"it leaves the queue of node {team.node}" in team.says("stop", "cats")
    assert team.spec("cats")["suspend"] is True


@pytest.mark.parametrize(
    ("phase", "suspended", "says"),
    [
        ("Suspended", True, "is stopped already"),
        ("Suspending", True, "is being stopped already"),
        ("Created", True, "is a draft and was never started"),
        ("Succeeded", False, "has succeeded: nothing is to be stopped"),
    ],
)
def test_stop_of_what_does_not_run_says_so_and_changes_nothing(
    team: Team, phase: str, suspended: bool, says: str
) -> None:
    team.process("cats", phase, suspend=suspended)
    before = version(team)
    assert says in team.says("stop", "cats")
    assert version(team) == before


def test_stop_wait_follows_the_process_until_it_has_stopped(team: Team) -> None:
    generation = team.process("cats", "Running")["metadata"]["generation"] + 1

    def operate() -> None:
        team.put_status("cats", "Suspending", generation, "the attempt is being stopped")
        time.sleep(2.5)
        team.put_status("cats", "Suspended", generation, "stopped after epoch 3")

    operator = afterwards(operate, lambda: bool(team.spec("cats").get("suspend")))
    lines = team.says("stop", "cats", "--wait").splitlines()
    operator.join()
    assert lines[-2:] == [
        "Suspending: the attempt is being stopped",
        "Suspended: stopped after epoch 3",
    ]


def test_stop_wait_does_not_take_the_word_of_an_earlier_time_for_the_end(team: Team) -> None:
    generation = team.process("cats", "Created")["metadata"]["generation"] + 1
    lines: list[str] = []
    stopped = suspension.stop(team.api, team.namespace, "cats").process
    operator = threading.Timer(
        2.5, team.put_status, ("cats", "Suspended", generation, "it holds no node")
    )
    operator.start()
    ended = suspension.wait_stopped(team.api, stopped, lines.append)
    operator.join()
    assert ended.status.phase == "Suspended"
    assert lines[-1] == "Suspended: it holds no node"


def test_a_process_that_succeeds_before_it_stops_is_no_error(team: Team) -> None:
    team.process("cats", "Running")
    operator = afterwards(
        lambda: team.put_status("cats", "Succeeded", 2),
        lambda: bool(team.spec("cats").get("suspend")),
    )
    said = team.says("stop", "cats", "--wait")
    operator.join()
    assert "succeeded before it was stopped" in said


def test_a_process_that_fails_while_it_stops_is_an_error(team: Team) -> None:
    team.process("cats", "Running")
    operator = afterwards(
        lambda: team.put_status("cats", "Failed", 2),
        lambda: bool(team.spec("cats").get("suspend")),
    )
    assert "failed before it was stopped" in team.refuses("stop", "cats", "--wait")
    operator.join()


def test_ctrl_c_ends_the_waiting_and_not_the_stopping(team: Team) -> None:
    team.process("cats", "Running")
    waiting = team.process_of("stop", "cats", "--wait")
    eventually("the stop", lambda: team.spec("cats").get("suspend"))
    time.sleep(1)
    waiting.send_signal(signal.SIGINT)
    _, said = waiting.communicate(timeout=30)
    assert waiting.returncode == 130
    assert said == f"not waiting any more; {team.namespace}/cats goes on stopping\n"
    assert team.spec("cats")["suspend"] is True


@pytest.mark.parametrize("word", ["start", "stop"])
def test_a_process_that_is_not_there_is_told_in_a_sentence(team: Team, word: str) -> None:
    sentence = team.refuses(word, "cats")
    assert f"there is no TrainingProcess cats in namespace {team.namespace}" in sentence


def test_who_may_only_look_is_told_so(team: Team) -> None:
    team.process("cats", "Running")
    sentence = team.refuses("stop", "cats", who=team.viewer)
    assert "you may not do that" in sentence
    assert 'User "viewer" cannot patch resource "trainingprocesses"' in sentence
    assert not team.spec("cats").get("suspend")


def test_a_process_made_anew_meanwhile_is_not_touched(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    team.process("cats", "Running")
    read = suspension.read

    def replaced(*arguments: Any) -> TrainingProcess:
        found = read(*arguments)
        team.api.delete(PROCESS, "cats", team.namespace, uid=found.metadata.uid)
        eventually("the deletion", lambda: team.api.get(PROCESS, "cats", team.namespace) is None)
        team.process("cats")
        return found

    monkeypatch.setattr(suspension, "read", replaced)
    assert "was deleted and made anew meanwhile: try again" in team.refuses("stop", "cats")
    assert not team.spec("cats").get("suspend")


def test_programs_are_told_what_start_and_stop_did(team: Team) -> None:
    team.process("cats", "Created", suspend=True)
    started = json.loads(team.says("start", "cats", "--output", "json"))
    assert (started["name"], started["phase"]) == ("cats", "Created")
    assert "it starts when its turn" in started["message"]
    stopped = json.loads(team.says("stop", "cats", "--output", "json"))
    assert "is being stopped" in stopped["message"]
