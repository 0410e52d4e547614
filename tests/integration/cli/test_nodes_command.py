"""`trainyard nodes` and `trainyard nodes release`, on a real API server."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from support.waiting import eventually
from team import Json, Team

from trainyard.api.meta import ANNOTATION_RELEASE
from trainyard.cli import node_release
from trainyard.cli.errors import CommandError
from trainyard.cluster import names
from trainyard.cluster.resources import LEASE, LOCK_NAMESPACE

WHY = (
    "nobody knows whether the pod still runs (since 2026-11-23T11:00:00Z). Reboot the machine; or, "
    "when nothing of it runs any more, say so with: trainyard nodes release NODE"
)


def on_a_terminal(team: Team, *arguments: str, answer: str = "") -> tuple[int, str]:
    """Exit code and output of a command on a terminal of 100 columns; a question is answered."""
    mine, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (30, 100))
    environ = {**os.environ, "TRAINYARD_KUBECONFIG": str(team.admin), "TERM": "xterm-256color"}
    environ.pop("COLUMNS", None)
    command = [sys.executable, "-m", "trainyard.cli", *arguments]
    running = subprocess.Popen(command, env=environ, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # The other side is closed.
        while chunk := os.read(mine, 4096):
            shown += chunk
            if shown.endswith(b"[y/N]: "):
                os.write(mine, f"{answer}\n".encode())
    code = running.wait(timeout=30)
    os.close(mine)
    text = re.sub(r"\x1b\[[0-9;]*m", "", shown.decode())
    print(text)
    return code, text


def row(team: Team, said: str) -> str:
    [found] = [line for line in said.splitlines() if line.startswith(f"{team.node} ")]
    return found


def lock_is_there(team: Team) -> bool:
    return team.api.get(LEASE, names.node_lease(team.node), LOCK_NAMESPACE) is not None


@contextmanager
def operator_that_believes(team: Team, lock: Json) -> Iterator[None]:
    """Frees the lock when the node carries the lock's UID, as the operator does."""
    uid = lock["metadata"]["uid"]
    done = threading.Event()

    def serve() -> None:
        while not done.wait(0.1):
            if team.node_annotations().get(ANNOTATION_RELEASE) == uid:
                name = lock["metadata"]["name"]
                team.api.delete(LEASE, name, LOCK_NAMESPACE, uid=uid)
                return

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def trains(team: Team, left: timedelta) -> None:
    """Process cats runs, and its trainer says what is left."""
    team.process("cats")
    now = datetime.now(UTC)
    progress = {
        "percent": 42,
        "lastUpdatedTime": now.isoformat(),
        "estimatedCompletionTime": (now + left).isoformat(),
    }
    began = (now - timedelta(hours=1)).isoformat()
    attempt = {"number": 1, "node": team.node, "startTime": began}
    team.put_status("cats", "Running", 1, progress=progress, attempts=[attempt])


def test_nodes_are_shown_with_holder_time_left_and_queue(team: Team) -> None:
    team.kubelet.add_node(team.node, gpus=2)
    team.lock("cats")
    trains(team, timedelta(minutes=42, seconds=20))
    ns, starts = team.namespace, datetime.now(UTC) + timedelta(hours=3, seconds=20)
    team.process("dogs")
    queue = {"position": 2, "waitingFor": f"{ns}/cats", "estimatedStartTime": starts.isoformat()}
    team.put_status("dogs", "Queued", 1, queue=queue)
    team.process("birds", "Queued", priority=3)
    done = team.run("nodes")
    print(done.output)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["NODE", "STATE", "GPUS", "HELD", "BY", "FOR", "LEFT", "WAITING"]
    held = row(team, done.stdout.split("\n\n")[0]).split()
    assert held[:4] == [team.node, "Ready", "2", f"{ns}/cats"]
    assert held[5:] == ["~42m", "2"]
    waiting = [line.split() for line in lines if line.startswith(team.node)][1:]
    assert waiting[0] == [team.node, "1st", f"{ns}/birds", "3", "?"]
    assert waiting[1][:4] == [team.node, "2nd", f"{ns}/dogs", "0"]
    assert waiting[1][-3:] == ["UTC,", "in", "~3h00m"]
    found = json.loads(team.says("nodes", "--output", "json"))["nodes"]
    [mine] = [node for node in found if node["node"] == team.node]
    assert mine.pop("heldSince")
    assert mine.pop("heldUntil")
    assert datetime.fromisoformat(mine["queue"][1].pop("estimatedStartTime")) == starts
    assert mine == {
        "node": team.node,
        "state": "Ready",
        "enabled": True,
        "gpus": 2,
        "held": True,
        "holder": f"{ns}/cats",
        "holderPhase": "Running",
        "holderPercent": 42,
        "queue": [
            {
                "process": f"{ns}/birds",
                "position": 1,
                "priority": 3,
                "estimatedStartTime": None,
                "reason": "",
            },
            {"process": f"{ns}/dogs", "position": 2, "priority": 0, "reason": ""},
        ],
        "quarantined": "",
    }
    wide = team.says("nodes", "--output", "wide")
    assert row(team, wide.split("\n\n")[0]).split()[7:9] == ["Running", "42%"]


def test_a_quarantine_is_told_with_its_reason_and_what_to_do(team: Team) -> None:
    team.kubelet.add_node(team.node)
    team.lock("cats", quarantined=WHY)
    trains(team, timedelta(minutes=42))
    done = team.run("nodes")
    held = row(team, done.stdout).split()
    assert held[1] == "Ready,quarantined"
    assert held[5] == "?", "nobody knows until when"
    assert f"{team.node} is in quarantine: {WHY}" in done.stderr


def test_the_tables_fit_a_terminal_of_100_columns(team: Team) -> None:
    team.kubelet.add_node(team.node)
    team.lock("cats")
    trains(team, timedelta(hours=20, minutes=42))
    team.process("dogs", "Queued")
    code, text = on_a_terminal(team, "nodes")
    assert code == 0
    lines = [line for line in text.splitlines() if line.startswith(team.node)]
    assert len(lines) == 2
    assert max(map(len, text.splitlines())) <= 100
    assert f"{team.namespace}/cats" in lines[0], "nothing is folded"


def test_who_may_not_read_nodes_and_locks_sees_what_the_processes_say(team: Team) -> None:
    team.kubelet.add_node(team.node)
    team.lock("cats")
    trains(team, timedelta(minutes=42, seconds=20))
    done = team.run("nodes", who=team.engineer)
    print(done.output)
    assert done.exit_code == 0
    assert row(team, done.stdout).split() == (
        [team.node, "?", "?", f"{team.namespace}/cats", "~42m", "0"]
    )
    assert "You may not list nodes" in done.stderr
    assert "You may not list the Leases of namespace trainyard-locks" in done.stderr
    assert "You may not list the processes of all namespaces" in done.stderr


def test_the_charts_role_for_administrators_of_nodes_sees_nodes_and_locks(team: Team) -> None:
    team.kubelet.add_node(team.node)
    team.lock("cats")
    done = team.run("nodes", who=team.node_admin)
    assert done.exit_code == 0
    assert row(team, done.stdout).split()[:4] == (
        [team.node, "Ready", "1", f"{team.namespace}/cats"]
    )
    assert done.stderr == "You may not list processes: nobody is shown as waiting.\n"


def test_a_release_puts_the_uid_of_the_lock_on_the_node_and_waits(team: Team) -> None:
    team.kubelet.add_node(team.node)
    lock = team.lock("cats", quarantined=WHY)
    with operator_that_believes(team, lock):
        said = team.says("nodes", "release", team.node, "--yes")
    assert team.node_annotations()[ANNOTATION_RELEASE] == lock["metadata"]["uid"]
    assert f"Held by:    TrainingProcess {team.namespace}/cats" in said
    assert f"Quarantine: {WHY}" in said
    assert "waiting up to 60 s for the operator to free its lock" in said
    assert said.endswith(f"node {team.node} is free\n")


def test_the_charts_role_for_administrators_of_nodes_suffices(team: Team) -> None:
    team.kubelet.add_node(team.node)
    lock = team.lock("cats", quarantined=WHY)
    with operator_that_believes(team, lock):
        said = team.says("nodes", "release", team.node, "--yes", who=team.node_admin)
    assert "Pod:        unknown, you may not read pods" in said


def test_without_a_terminal_nothing_is_released_unless_yes_is_given(team: Team) -> None:
    team.kubelet.add_node(team.node)
    team.lock("cats", quarantined=WHY)
    sentence = team.refuses("nodes", "release", team.node)
    assert f"only if it is certain that no process of {team.namespace}/cats lives" in sentence
    assert "there is no terminal to ask on: give --yes" in sentence
    assert ANNOTATION_RELEASE not in team.node_annotations()


@pytest.mark.parametrize(("answer", "code"), [("n", 1), ("", 1), ("y", 0)])
def test_on_a_terminal_the_person_is_asked(team: Team, answer: str, code: int) -> None:
    team.kubelet.add_node(team.node)
    lock = team.lock("cats", quarantined=WHY)
    with operator_that_believes(team, lock):
        ended, text = on_a_terminal(team, "nodes", "release", team.node, answer=answer)
    assert ended == code
    assert (ANNOTATION_RELEASE in team.node_annotations()) == (code == 0)
    assert "otherwise two trainings will run on it at once" in text
    assert (f"node {team.node} was not released" in text) == (code == 1)


def test_a_node_without_a_lock_is_not_released(team: Team) -> None:
    team.kubelet.add_node(team.node)
    assert "holds no lock" in team.refuses("nodes", "release", team.node, "--yes")
    assert "there is no node of that name" in team.refuses("nodes", "release", "gpu-x", "--yes")
    assert ANNOTATION_RELEASE not in team.node_annotations()


def test_a_node_that_is_not_in_the_cluster_cannot_be_marked(team: Team) -> None:
    team.lock("cats", quarantined=WHY)
    sentence = team.refuses("nodes", "release", team.node, "--yes")
    assert "is not in the cluster" in sentence
    assert "let the machine join again first" in sentence


def test_a_lock_in_use_is_released_only_by_force(team: Team) -> None:
    team.kubelet.add_node(team.node)
    lock = team.lock("cats")
    team.pod("tp-1")
    sentence = team.refuses("nodes", "release", team.node, "--yes")
    assert f"pod {team.namespace}/tp-1 runs on it, so that its lock is in use" in sentence
    assert ANNOTATION_RELEASE not in team.node_annotations()
    with operator_that_believes(team, lock):
        team.says("nodes", "release", team.node, "--yes", "--force")


def test_a_quarantined_node_is_released_although_a_pod_of_it_is_shown_as_running(
    team: Team,
) -> None:
    team.kubelet.add_node(team.node)
    lock = team.lock("cats", quarantined=WHY)
    team.pod("tp-1")
    with operator_that_believes(team, lock):
        said = team.says("nodes", "release", team.node, "--yes")
    assert f"{team.namespace}/tp-1, Running, whether it has ended is not certain" in said


def test_who_may_not_touch_nodes_is_told_which_role_it_takes(team: Team) -> None:
    team.kubelet.add_node(team.node)
    team.lock("cats", quarantined=WHY)
    sentence = team.refuses("nodes", "release", team.node, "--yes", who=team.engineer)
    assert "you may not read the node or its lock" in sentence
    assert "the chart's role node-admin" in sentence


def test_the_waiting_for_a_release_has_an_end_that_says_what_is_missing(team: Team) -> None:
    team.kubelet.add_node(team.node)
    team.lock("cats", quarantined=WHY)
    holding = node_release.look(team.api, team.node)
    node_release.release(team.api, holding)
    lines: list[str] = []
    with pytest.raises(CommandError, match="is still there after 1 s; the mark stays"):
        node_release.wait_released(team.api, holding, lines.append, within=1)
    assert lines == [
        f"node {team.node} is marked: waiting up to 1 s for the operator to free its lock"
    ]


def test_a_lock_that_another_process_took_since_counts_as_released(team: Team) -> None:
    team.kubelet.add_node(team.node)
    old = team.lock("cats", quarantined=WHY)
    holding = node_release.look(team.api, team.node)
    meta = old["metadata"]
    team.api.delete(LEASE, meta["name"], LOCK_NAMESPACE, uid=meta["uid"])
    eventually("the end of the old lock", lambda: not lock_is_there(team))
    team.lock("dogs")
    node_release.wait_released(team.api, holding, print, within=1)
    assert lock_is_there(team)
