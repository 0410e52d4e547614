"""Whole runs with the policies in force, and what stays when the operator goes for good.

The operator has the chart's rights and is the policies' operator. The simulated kubelet acts as
the administrator, so that one is exempt here; everybody else is who they are in a cluster.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from policies import ADMINISTRATOR, BINDING, OPERATOR, POLICY, Server
from support import operator_process
from support.fixtures import (
    Cluster,
    checker,
    cluster,
    kubelet,
    operator,
    operator_of_session,
    programs,
    s3,
    store,
    world,
)
from support.waiting import eventually, never
from support.world import World

from trainyard.api.meta import FINALIZER_EVIDENCE
from trainyard.cluster import parse
from trainyard.cluster.resources import JOB, LEASE, LOCK_NAMESPACE, PROCESS

__all__ = [
    "checker",
    "cluster",
    "kubelet",
    "operator",
    "operator_of_session",
    "programs",
    "s3",
    "store",
    "world",
]


@pytest.fixture(scope="module")
def policed(cluster: Cluster) -> Iterator[Server]:
    """The policies, for the operator's user of these tests."""
    server = Server(cluster.plane.kubeconfig)
    server.install(
        {
            "admissionPolicy": {
                "operatorUsername": operator_process.USER,
                "exemptUsers": ["trainyard-admin"],
            }
        }
    )
    yield server
    for type_ in (BINDING, POLICY):
        for item in server.ask(ADMINISTRATOR, "GET", type_.path()).body["items"]:
            path = type_.path(None, item["metadata"]["name"])
            assert server.ask(ADMINISTRATOR, "DELETE", path, keep=True).taken


def uninstalled(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What the hook before an uninstallation does, with the operator's rights."""
    return subprocess.run(
        [sys.executable, "-m", "trainyard.operator.uninstall", *arguments],
        env=world.operator.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_run_a_stop_and_a_deletion_go_through(policed: Server, world: World) -> None:
    world.ready_inputs()
    hold = world.process("cats", held=True)
    assert hold.started.wait(60), world.explain("cats")
    [job] = world.jobs("cats")
    path = JOB.path(world.namespace, job["metadata"]["name"])
    answer = policed.ask(ADMINISTRATOR, "PATCH", path, {"spec": {"suspend": True}})
    assert "set its spec.suspend" in answer.message
    answer = policed.ask(OPERATOR, "PATCH", path, {"spec": {"suspend": True}})
    assert answer.status == 403, "here the operator has another name"
    hold.let_go.set()
    world.succeeds("cats")
    world.wait_released()

    held = world.process("dogs", held=True)
    assert held.started.wait(60), world.explain("dogs")
    world.delete(PROCESS, "dogs")
    eventually("the end of the deleted run", lambda: not world.pods("dogs"))
    world.wait_released()


def test_job_that_a_user_deletes_goes_with_its_pod(policed: Server, world: World) -> None:
    world.ready_inputs()
    hold = world.process("cats", held=True, retry={"limit": 0})
    assert hold.started.wait(60), world.explain("cats")
    [job] = world.jobs("cats")
    path = JOB.path(world.namespace, job["metadata"]["name"])
    body = {"propagationPolicy": "Background"}
    answer = policed.ask(ADMINISTRATOR, "DELETE", path, body, keep=True)
    assert answer.taken, answer.message
    eventually("the end of its pod", lambda: not world.pods("cats"))
    world.wait_released()


def test_uninstallation_is_refused_while_a_run_lives_and_the_operator_goes_on(
    policed: Server, world: World
) -> None:
    world.ready_inputs()
    hold = world.process("cats", held=True)
    assert hold.started.wait(60), world.explain("cats")
    [pod] = world.pods("cats")
    done = uninstalled(world)
    assert done.returncode == 3, done.stderr
    assert parse.key_of(pod) in done.stderr
    assert "1 run lives, so Trainyard is not uninstalled" in done.stderr
    hold.let_go.set()
    world.succeeds("cats")
    world.wait_released()


def test_pod_that_ended_without_an_operator_is_let_go(policed: Server, world: World) -> None:
    world.ready_inputs()
    hold = world.process("cats", held=True)
    assert hold.started.wait(60), world.explain("cats")
    world.operator.stop()
    world.delete(PROCESS, "cats")
    hold.let_go.set()
    eventually(
        "the end of the pod, which our finalizer keeps",
        lambda: [raw for raw in world.pods("cats") if parse.pod(raw).over],
    )
    never("the pod goes by itself", lambda: not world.pods("cats"), during=2)
    done = uninstalled(world)
    assert done.returncode == 0, done.stderr
    assert "can be deleted now" in done.stdout
    eventually("the end of the pod", lambda: not world.pods("cats"))


def test_forced_uninstallation_lets_a_live_pod_go_and_quarantines_its_node(
    policed: Server, world: World
) -> None:
    world.ready_inputs()
    hold = world.process("cats", held=True)
    assert hold.started.wait(60), world.explain("cats")
    world.operator.stop()
    done = uninstalled(world, "--force")
    assert done.returncode == 0, done.stderr
    [pod] = world.pods("cats")
    assert FINALIZER_EVIDENCE not in pod["metadata"].get("finalizers", [])
    assert parse.pod(pod).phase == "Running"
    lease = world.lease()
    assert lease is not None
    assert "Trainyard was uninstalled while pod" in parse.lease(lease).quarantined
    world.delete(PROCESS, "cats")
    hold.let_go.set()
    eventually("the end of the pod", lambda: not world.pods("cats"))
    world.api.delete(LEASE, lease["metadata"]["name"], LOCK_NAMESPACE, uid=lease["metadata"]["uid"])
