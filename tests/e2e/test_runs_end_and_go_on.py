"""Stops, failures and lies about the end of a run, on two real nodes with the real images."""

from __future__ import annotations

import json
import os
import random
import secrets
import signal
import time
from collections.abc import Iterator

import pytest

from tests.e2e import manifests
from tests.e2e.causes import Cause
from tests.e2e.conftest import Team
from tests.e2e.containers import ContainerWatch
from tests.e2e.steps import (
    apply,
    condition,
    finish,
    get,
    locks,
    phase,
    runs,
    suspend,
    training_pod,
    until,
)
from trainyard.api.reasons import Reason
from trainyard_demo.install import SYSTEM
from trainyard_local.containers import Container
from trainyard_local.node import Node

pytestmark = pytest.mark.timeout(900)
LONG = {"hyperparameters": {"epochs": 12}}


@pytest.fixture
def node(team: Team) -> Iterator[Node]:
    """gpu-1, to be maltreated; afterwards it is as it was."""
    chosen = next(item for item in team.system.cluster.nodes if item.name == "gpu-1")
    yield chosen
    chosen.heal()
    chosen.start()
    for item in chosen.containers():
        chosen.thaw(item)
    label = ("label", "node", "gpu-1", "trainyard.dev/target=true", "--overwrite")
    until("gpu-1 is there", lambda: team.system.kubernetes.run("get", "nodes", "-o", "name"))
    team.system.kubernetes.run(*label)
    team.system.kubernetes.run("wait", "node/gpu-1", "--for=condition=Ready", "--timeout=120s")


def container_of(node: Node, pod: str) -> Container | None:
    return next(
        (
            item
            for item in node.containers()
            if item.pod == pod and item.running and not item.holds_pod
        ),
        None,
    )


def reserved(team: Team, name: str) -> dict[str, str]:
    return condition(get(team, "tp", name), "NodeReserved")


def nothing_of_a_training(team: Team) -> bool:
    kinds, role = "jobs,pods", "trainyard.dev/role=training"
    return team.kubectl("get", kinds, "-o", "name", "-l", role) == ""


def test_a_run_is_stopped_with_a_checkpoint_and_goes_on_where_it_was(
    team: Team, containers: ContainerWatch
) -> None:
    apply(
        team,
        *manifests.digits(),
        manifests.process("digits", "digits", "digit", "gpu-1", {"hyperparameters": {"epochs": 6}}),
    )
    runs(team, "digits")
    suspend(team, "digits", True)
    until("it is suspended", lambda: phase(team, "digits") == "Suspended", seconds=120)
    stopped = get(team, "tp", "digits")["status"]
    assert stopped["attempts"][0]["reason"] == "Stopped"
    epoch = stopped["checkpoint"]["epoch"]
    assert 1 <= epoch < 6
    assert locks(team) == []
    # With its Job the pod goes to the garbage collector, which takes a moment.
    until("nothing of it is left", lambda: nothing_of_a_training(team), seconds=30)
    suspend(team, "digits", False)
    ended = finish(team, "digits")["status"]
    assert ended["phase"] == "Succeeded"
    assert ended["attempts"][1]["resumedFromEpoch"] == epoch
    assert [point["epoch"] for point in ended["history"]] == [1, 2, 3, 4, 5, 6]
    log = team.kubectl("logs", training_pod(team, "digits"))
    assert f"epoch {epoch + 1} of 6: train loss" in log
    assert f"epoch {epoch} of 6: train loss" not in log
    assert containers.together == []


def test_a_pod_deleted_by_force_whose_process_is_held_alive_lets_nothing_else_start(
    team: Team, containers: ContainerWatch, node: Node
) -> None:
    apply(
        team,
        *manifests.digits(),
        manifests.process("held", "digits", "digit", "gpu-1", LONG),
    )
    runs(team, "held")
    apply(team, manifests.process("next", "digits", "digit", "gpu-1"))
    pod = training_pod(team, "held")
    container = container_of(node, pod)
    assert container is not None
    node.freeze(container)
    team.kubectl("delete", "pod", pod, "--force", "--grace-period=0", "--wait=false")
    deadline = time.monotonic() + 45
    while time.monotonic() < deadline:
        assert container_of(node, pod) is not None, "the container is not held alive"
        assert phase(team, "next") == "Queued"
        time.sleep(2)
    assert "held" in reserved(team, "next")["message"]
    suspend(team, "held", True)
    node.thaw(container)
    until("the attempt is over", lambda: phase(team, "held") == "Suspended", seconds=180)
    assert finish(team, "next")["status"]["phase"] == "Succeeded"
    assert containers.together == []


@pytest.mark.full
def test_a_node_that_is_lost_is_quarantined_until_its_machine_has_rebooted(
    team: Team, containers: ContainerWatch, node: Node
) -> None:
    kubernetes = team.system.kubernetes
    apply(
        team,
        *manifests.digits(),
        manifests.process("lost", "digits", "digit", "gpu-1", {"hyperparameters": {"epochs": 300}}),
    )
    runs(team, "lost")
    pod = training_pod(team, "lost")
    apply(team, manifests.process("next", "digits", "digit", "gpu-1"))
    node.kill()
    assert node.live_containers(), "the training should outlive kubelet and containerd"
    kubernetes.run("delete", "node", "gpu-1")
    lost = Cause(
        Reason.NODE_LOST,
        "node gpu-1 was removed from the cluster while the attempt ran there, and nobody knows "
        "whether its processes still run, so its lock is quarantined",
    )
    lost.check(team, "lost", 300)
    node.start()
    until(
        "gpu-1 registers again",
        lambda: "node/gpu-1" in kubernetes.run("get", "nodes", "-o", "name"),
    )
    kubernetes.run("label", "node", "gpu-1", "trainyard.dev/target=true", "--overwrite")
    quarantined = until(
        "the next is told of the quarantine",
        lambda: told if (told := reserved(team, "next")).get("reason") == "Quarantined" else None,
        seconds=180,
    )
    assert pod in quarantined["message"]
    assert "trainyard nodes release gpu-1" in quarantined["message"]
    time.sleep(15)
    assert phase(team, "next") == "Queued"
    node.reboot()
    assert finish(team, "next")["status"]["phase"] == "Succeeded"
    assert containers.together == []


@pytest.mark.full
def test_a_run_outlives_five_minutes_without_the_api_server(
    team: Team, containers: ContainerWatch, node: Node
) -> None:
    apply(
        team,
        *manifests.digits(),
        manifests.process("kept", "digits", "digit", "gpu-1", {"hyperparameters": {"epochs": 300}}),
    )
    runs(team, "kept")
    pod = training_pod(team, "kept")
    node.partition()
    time.sleep(300)
    status = get(team, "tp", "kept")["status"]
    assert status["phase"] == "Running"
    assert condition({"status": status}, "Running")["reason"] == "NodeNotReady"
    node.heal()
    until(
        "the run is seen running again",
        lambda: condition(get(team, "tp", "kept"), "Running").get("reason") == "PodsReady",
        seconds=120,
    )
    assert training_pod(team, "kept") == pod
    assert len(get(team, "tp", "kept")["status"]["attempts"]) == 1
    assert containers.together == []


@pytest.mark.full
def test_wrong_credentials_are_told_and_shown_nowhere(team: Team) -> None:
    canary = f"canary-{secrets.token_hex(8)}"
    patch = {"stringData": {"AWS_SECRET_ACCESS_KEY": canary}}
    team.kubectl("patch", "secret", "trainyard-store", "--patch", json.dumps(patch))
    apply(team, *manifests.digits())
    team.kubectl(
        *("wait", "--for=jsonpath={.status.phase}=Failed", "tds/digits-train", "--timeout=180s")
    )
    ready = condition(get(team, "tds", "digits-train"), "Ready")
    assert ready["reason"] == Reason.STORE_ACCESS_DENIED, ready
    assert Reason.STORE_ACCESS_DENIED.remedy in team.kubectl("describe", "tds", "digits-train")
    shown = [
        team.kubectl("get", "tds,tp,jobs,pods,events,configmaps", "-o", "yaml"),
        team.kubectl("logs", "-l", "trainyard.dev/dataset=digits-train", "--tail=-1"),
        team.system.kubernetes.run("logs", "-n", SYSTEM, "deploy/trainyard", "--tail=-1"),
    ]
    assert not [text for text in shown if canary in text]


@pytest.mark.full
def test_operators_that_are_stopped_and_killed_at_random_never_start_two(
    team: Team, containers: ContainerWatch
) -> None:
    """Two operators, for as long as six runs on two nodes take.

    A paused leader loses the lead and, when it goes on, what it was about to do meets the other's
    work. Two that lead at once are in `tests/faults/test_two_operators.py`: the chart refuses that.
    """
    seed = secrets.randbits(16)
    print(f"seed {seed}")
    kubernetes, nodes = team.system.kubernetes, team.system.cluster.nodes
    chart = ("upgrade", "trainyard", "helm/trainyard", "--namespace", SYSTEM, "--reuse-values")
    kubernetes.install(*chart, "--set", "replicas=2", "--wait")
    try:
        names = [f"run-{index}" for index in range(6)]
        apply(
            team,
            *manifests.digits(),
            *(
                manifests.process(name, "digits", "digit", f"gpu-{index % 2 + 1}")
                for index, name in enumerate(names)
            ),
        )
        chance = random.Random(seed)
        faults = 0
        while not all(phase(team, name) in ("Succeeded", "Failed") for name in names):
            operators = [
                item
                for each in nodes
                for item in each.containers()
                if item.namespace == SYSTEM and item.running and not item.holds_pod and item.pid
            ]
            if operators:
                victim = chance.choice(operators)
                assert victim.pid is not None
                if chance.random() < 0.5:
                    os.kill(victim.pid, signal.SIGSTOP)
                    time.sleep(chance.choice([3, 10, 40]))
                    os.kill(victim.pid, signal.SIGCONT)
                else:
                    os.kill(victim.pid, signal.SIGKILL)
                faults += 1
            time.sleep(chance.uniform(1, 8))
        assert {phase(team, name) for name in names} == {"Succeeded"}
        print(f"{faults} faults, {containers.looks} looks")
        assert containers.together == []
        until("the locks are released", lambda: not locks(team), seconds=120)
        jobs = team.kubectl(
            "get", "jobs", "-l", "trainyard.dev/role=training", "-o", "name"
        ).split()
        assert len(jobs) == 6
    finally:
        kubernetes.install(*chart, "--set", "replicas=1", "--wait")
