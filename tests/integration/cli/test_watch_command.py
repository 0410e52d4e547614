"""`trainyard watch` on a real API server; the test writes what the operator would."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from support.fault_proxy import FaultProxy, ProxyLoop
from support.fixtures import Cluster
from support.waiting import eventually
from team import Team

from trainyard.cluster.resources import PROCESS
from trainyard_local import processes

Json = dict[str, Any]
GENERATION = 1
HELD = "node gpu-1 is held by team/dogs; this process is 1st of 1 that wait"


def put(team: Team, phase: str, condition: tuple[str, str, str, str], **status: Any) -> None:
    """Write a status of one condition (type, status, reason, message)."""
    kind, value, reason, message = condition
    stamp = "2026-11-23T11:00:00Z"
    whole = {
        "phase": phase,
        "observedGeneration": GENERATION,
        "conditions": [
            {
                "type": kind,
                "status": value,
                "reason": reason,
                "message": message,
                "lastTransitionTime": stamp,
            }
        ],
        **status,
    }
    team.api.merge_patch(PROCESS, "cats", {"status": whole}, team.namespace, subresource="status")


def waits(team: Team) -> None:
    put(team, "Queued", ("NodeReserved", "False", "WaitingForNode", HELD))


def trains(team: Team, epoch: int, history: list[Json] | None = None) -> None:
    progress = {"stage": "train", "percent": 10 * epoch, "epoch": epoch, "epochs": 10}
    put(
        team,
        "Running",
        ("Running", "True", "PodsReady", "pod tp-1 runs"),
        progress=progress,
        metrics=[{"name": "top-1", "value": f"0.{epoch}5"}],
        history=history or [{"epoch": epoch, "trainLoss": "1.25", "learningRate": "0.01"}],
        attempts=[{"number": 1, "node": team.node, "location": "s3://b/runs/cats/1"}],
        display={"metric": f"top-1 0.{epoch}50"},
    )


def curve(epochs: int) -> list[Json]:
    """A history of so many epochs; the accuracy of the second is no number."""
    return [
        {
            "epoch": epoch,
            "learningRate": f"{0.01 / epoch:.6g}",
            "trainLoss": f"{2 / epoch:.6g}",
            "devAccuracy": "nan" if epoch == 2 else f"0.{epoch}5",
        }
        for epoch in range(1, epochs + 1)
    ]


def succeeds(team: Team) -> None:
    put(
        team,
        "Succeeded",
        ("Complete", "True", "TrainingSucceeded", "the model is at s3://bucket/cats"),
        progress={"percent": 100, "epoch": 10, "epochs": 10},
        evaluation={"test": {"metrics": [{"name": "top-1", "value": "0.968"}], "samples": 50}},
        model="cats",
    )


def fails(team: Team) -> None:
    attempt = {"number": 1, "node": "gpu-1", "reason": "BadData", "logTail": "the last line"}
    put(
        team,
        "Failed",
        ("Failed", "True", "BadData", "labels/a.txt:3: 4 columns"),
        attempts=[attempt],
    )


class Watching:
    """A watch as a process of its own, and what it has said so far."""

    def __init__(self, team: Team, **environ: str) -> None:
        output = environ.pop("OUTPUT", "text")
        unbuffered = {"PYTHONUNBUFFERED": "1", **environ}
        self.process = team.process_of("watch", "cats", "--output", output, **unbuffered)
        self.said, self.errors = Reader(self.process.stdout), Reader(self.process.stderr)

    def end(self) -> int:
        """Exit code, once all that it says was read."""
        code = self.process.wait(timeout=30)
        self.said.end()
        self.errors.end()
        return code


class Reader:
    """Reads a stream in a thread of its own."""

    def __init__(self, stream: IO[str] | None) -> None:
        assert stream is not None
        self._stream, self._lines = stream, list[str]()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        self._lines.extend(iter(self._stream.readline, ""))

    @property
    def text(self) -> str:
        """What came so far."""
        return "".join(self._lines)

    def until(self, text: str) -> None:
        """Wait until something was said."""
        eventually(f"{text!r}", lambda: text in self.text, seen=lambda: self.text, within=30)

    def end(self) -> None:
        """Wait for its end."""
        self._thread.join(30)


def test_a_watch_says_in_lines_what_a_process_waits_for_how_far_it_is_and_how_it_ends(
    team: Team,
) -> None:
    team.process("cats")
    watching = Watching(team, TRAINYARD_KUBECONFIG=str(team.viewer))
    watching.said.until("New: not seen by the operator yet")
    waits(team)
    watching.said.until(f"Queued: {HELD}")
    for epoch in (1, 2):
        trains(team, epoch)
        watching.said.until(
            f"Running, train: {epoch}0%, epoch {epoch} of 10, top-1 0.{epoch}5, train loss 1.25\n"
        )
    succeeds(team)
    assert watching.end() == 0
    print(watching.said.text)
    lines = watching.said.text.splitlines()
    assert lines[4] == "Succeeded: 100%, epoch 10 of 10, the model is at s3://bucket/cats"
    assert [line.split() for line in lines[5:7]] == [["METRIC", "TEST"], ["top-1", "0.968"]]
    assert f"`trainyard models download cats -n {team.namespace}`" in lines[7]
    assert len(lines) == 8, "one line a change"


def test_a_watch_of_a_run_that_has_failed_says_why_and_has_exit_code_1(team: Team) -> None:
    team.process("cats")
    fails(team)
    done = team.run("watch", "cats")
    print(done.output)
    assert done.exit_code == 1
    assert done.stdout == "Failed: labels/a.txt:3: 4 columns\n"
    assert "has failed: BadData" in done.stderr
    assert "the last line" in done.stderr


@pytest.mark.parametrize("phase", ["Created", "Suspended"])
def test_a_watch_of_what_stands_still_ends_with_exit_code_3(team: Team, phase: str) -> None:
    team.process("cats", phase, suspend=True)
    done = team.run("watch", "cats")
    assert done.exit_code == 3
    assert f"`trainyard start cats -n {team.namespace}` lets it go on" in done.stderr


def test_a_watch_waits_for_the_operator_to_confirm_that_it_stands_still(team: Team) -> None:
    team.process("cats", "Created", suspend=True)
    patch = {"spec": {"priority": 3}}
    team.api.merge_patch(PROCESS, "cats", patch, team.namespace)
    watching = Watching(team)
    watching.said.until("Created")
    assert watching.process.poll() is None
    team.put_status("cats", "Created", 2)
    assert watching.end() == 3


def test_a_watch_of_what_is_deleted_ends_with_exit_code_4(team: Team) -> None:
    made = team.process("cats")
    watching = Watching(team)
    watching.said.until("New")
    team.api.delete(PROCESS, "cats", team.namespace, uid=made["metadata"]["uid"])
    assert watching.end() == 4
    assert (
        watching.errors.text
        == f"Error: TrainingProcess {team.namespace}/cats was deleted meanwhile\n"
    )


def test_programs_get_one_json_object_a_change(team: Team) -> None:
    team.process("cats")
    watching = Watching(team, OUTPUT="json")
    watching.said.until("not seen")
    trains(team, 3)
    watching.said.until('"epoch": 3')
    succeeds(team)
    assert watching.end() == 0
    first, training, last = map(json.loads, watching.said.text.splitlines())
    assert first == {
        "name": "cats",
        "namespace": team.namespace,
        "node": team.node,
        "message": "not seen by the operator yet",
    }
    assert training == {
        "name": "cats",
        "namespace": team.namespace,
        "node": team.node,
        "phase": "Running",
        "attempt": 1,
        "location": "s3://b/runs/cats/1",
        "stage": "train",
        "percent": 30,
        "epoch": 3,
        "epochs": 10,
        "metrics": {"top-1": 0.35},
        "trainLoss": 1.25,
        "learningRate": 0.01,
    }
    assert (last["phase"], last["model"], last["percent"]) == ("Succeeded", "cats", 100)


def test_ctrl_c_ends_the_watching_and_nothing_else(team: Team) -> None:
    team.process("cats")
    waits(team)
    watching = Watching(team)
    watching.said.until("Queued")
    watching.process.send_signal(signal.SIGINT)
    assert watching.end() == 130
    again = f"`trainyard watch cats -n {team.namespace}` shows it again"
    assert f"TrainingProcess {team.namespace}/cats goes on as before, and {again}" in (
        watching.errors.text
    )
    assert team.spec("cats")["suspend"] is False


def test_a_process_that_is_not_there_is_told_in_a_sentence(team: Team) -> None:
    assert f"there is no TrainingProcess cats in namespace {team.namespace}" in team.refuses(
        "watch", "cats"
    )


def test_who_may_not_look_is_told_in_a_sentence(team: Team) -> None:
    team.process("cats")
    sentence = team.refuses("watch", "cats", who=team.node_admin)
    assert sentence.startswith("Error: you may not do that: trainingprocesses.trainyard.dev")
    assert len(sentence.splitlines()) == 1


@pytest.fixture
def proxy(cluster: Cluster, tmp_path: Path) -> Iterator[FaultProxy]:
    """A way to the API server that can be cut."""
    loop = ProxyLoop(cluster.plane, "engineer")
    made = FaultProxy(loop, tmp_path / "proxy")
    yield made
    made.stop()
    loop.stop()


def test_a_watch_whose_connection_is_cut_misses_nothing(team: Team, proxy: FaultProxy) -> None:
    team.process("cats")
    waits(team)
    watching = Watching(team, TRAINYARD_KUBECONFIG=str(proxy.kubeconfig))
    watching.said.until("Queued")
    for epoch in (1, 2, 3):
        proxy.cut_connections()
        trains(team, epoch)
        watching.said.until(f"epoch {epoch} of 10")
    proxy.available = False
    proxy.cut_connections()
    succeeds(team)
    assert watching.process.poll() is None
    watching.errors.until("does not answer, and is asked again")
    proxy.available = True
    assert watching.end() == 0
    assert watching.said.text.count("Queued") == 1, "what has not changed is not said again"


class Terminal:
    """A watch in a real terminal of some size, and all that was written to it."""

    def __init__(self, team: Team, columns: int, rows: int, **environ: str) -> None:
        self._main, terminal = pty.openpty()
        termios.tcsetwinsize(terminal, (rows, columns))
        command = [sys.executable, "-m", "trainyard.cli", "watch", "cats"]
        kept = {name: value for name, value in os.environ.items() if name not in _OF_A_TERMINAL}
        self.process = subprocess.Popen(
            command,
            env={
                **kept,
                "TRAINYARD_KUBECONFIG": str(team.admin),
                "TRAINYARD_NAMESPACE": team.namespace,
                "TERM": "xterm-256color",
                **environ,
            },
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        )
        os.close(terminal)
        os.set_blocking(self._main, False)
        self._seen = bytearray()

    @property
    def raw(self) -> str:
        """What was written so far."""
        with contextlib.suppress(BlockingIOError, OSError):
            while chunk := os.read(self._main, 65536):
                self._seen.extend(chunk)
        return self._seen.decode("utf-8", "replace")

    @property
    def text(self) -> str:
        """The same without codes."""
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.raw)

    def until(self, text: str) -> None:
        """Wait until something is seen."""
        eventually(f"{text!r}", lambda: text in self.text, seen=lambda: self.text, within=30)

    def end(self) -> int:
        """Exit code."""
        code = self.process.wait(timeout=30)
        print(self.text)
        os.close(self._main)
        return code


_OF_A_TERMINAL = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE")


@pytest.mark.parametrize("size", [(100, 30), (80, 24)], ids=["100x30", "80x24"])
def test_a_live_picture_has_a_bar_and_curves_and_is_drawn_anew_in_place(
    team: Team, size: tuple[int, int]
) -> None:
    team.process("cats")
    trains(team, 4, curve(4))
    terminal = Terminal(team, *size)
    terminal.until("40%, epoch 4 of 10")
    terminal.until("top-1 on dev 0.45")
    terminal.until("learning rate 0.0025")
    trains(team, 5, curve(5))
    terminal.until("top-1 on dev 0.55")
    succeeds(team)
    terminal.until("`trainyard models download cats")
    text, raw = terminal.text, terminal.raw
    assert terminal.end() == 0
    assert "━" in text
    assert "top-1 0.45, train loss 0.5" in text
    assert "◆ on test, at the end 0.968" in text
    assert max(len(line) for line in text.splitlines() if "┤" in line) <= size[0]
    assert raw.count("\x1b[1A") > 2 * size[1] // 3, "it is drawn over itself"
    for colour in ("31", "34", "32"):
        assert f"\x1b[{colour}m" in raw


def test_without_colours_the_curves_are_there_all_the_same(team: Team) -> None:
    team.process("cats")
    trains(team, 4, curve(4))
    terminal = Terminal(team, 100, 30, NO_COLOR="1")
    terminal.until("learning rate 0.0025")
    assert "\x1b[3" not in terminal.raw
    terminal.process.send_signal(signal.SIGINT)
    terminal.until(f"`trainyard watch cats -n {team.namespace}` shows it again")
    assert terminal.end() == 130


def test_a_small_terminal_has_no_curves(team: Team) -> None:
    team.process("cats")
    trains(team, 4, curve(4))
    terminal = Terminal(team, 60, 8)
    terminal.until("epoch 4")
    succeeds(team)
    terminal.until("`trainyard models download cats")
    assert "┤" not in terminal.text
    assert terminal.end() == 0


def test_a_watch_survives_a_restart_of_the_api_server(team: Team, cluster: Cluster) -> None:
    team.process("cats")
    waits(team)
    watching = Watching(team)
    watching.said.until("Queued")
    api_server = cluster.plane.services()[1]
    assert api_server.name == "kube-apiserver"
    processes.stop(api_server)
    cluster.plane.start()
    trains(team, 5)
    watching.said.until("epoch 5 of 10")
    succeeds(team)
    assert watching.end() == 0
    assert watching.said.text.count("Queued") == 1
    assert "does not answer, and is asked again" in watching.errors.text
