"""The faults of nodes that other tests rely on, each tried on real nodes with a small pod.

No image is built: the pods are made of the image that holds every pod of the local cluster.
"""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trainyard_demo.kubernetes import Kubernetes
from trainyard_local.cluster import Cluster
from trainyard_local.containers import Container
from trainyard_local.layout import PAUSE_IMAGE
from trainyard_local.node import Node
from trainyard_local.processes import current_boot

pytestmark = [pytest.mark.full, pytest.mark.timeout(400)]

FOREVER = [{"operator": "Exists"}]
"""Tolerations of a pod that stays on a node whatever is said of the node."""


class Bench:
    """One node to be maltreated, and a way to put pods there."""

    def __init__(self, cluster: Cluster) -> None:
        self.node: Node = cluster.nodes[0]
        self.other: Node = cluster.nodes[1]
        self.kubernetes = Kubernetes(
            cluster.binaries["kubectl"], cluster.binaries["helm"], cluster.kubeconfig
        )
        self.pods: list[str] = []

    def start_pod(self) -> str:
        """A pod on the node that waits until it is killed; its name."""
        name = f"fault-{secrets.token_hex(3)}"
        self.pods.append(name)
        waits = {
            "name": "main",
            "image": PAUSE_IMAGE,
            "imagePullPolicy": "Never",
            "command": ["sleep", "infinity"],
        }
        affinity = {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {
                        "matchFields": [
                            {
                                "key": "metadata.name",
                                "operator": "In",
                                "values": [self.node.name],
                            }
                        ]
                    }
                ]
            }
        }
        self.kubernetes.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": name,
                    "namespace": "default",
                    "labels": {"trainyard.dev/process": name},
                },
                "spec": {
                    "containers": [waits],
                    "restartPolicy": "Never",
                    "terminationGracePeriodSeconds": 1,
                    "tolerations": FOREVER,
                    "affinity": {"nodeAffinity": affinity},
                },
            }
        )
        self.kubectl("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=60s")
        return name

    def kubectl(self, *arguments: str) -> str:
        """What kubectl prints about the namespace of the pods."""
        return self.kubernetes.run("--namespace", "default", *arguments)

    def container(self, pod: str) -> Container:
        """The one container of a pod that containerd runs."""
        (found,) = self.running(pod)
        return found

    def running(self, pod: str) -> list[Container]:
        """Containers of a pod that containerd runs, but for the one that holds it."""
        return [
            item
            for item in self.node.containers()
            if item.pod == pod and item.running and not item.holds_pod
        ]

    def node_says(self, path: str, node: Node | None = None) -> str:
        """A part of the Node object, by JSON path; empty without one."""
        name = (node or self.node).name
        return self.kubectl("get", "node", name, "--ignore-not-found", f"--output=jsonpath={path}")

    def ready(self, node: Node | None = None) -> str:
        """What Kubernetes thinks of a node: True, False, Unknown."""
        return self.node_says("{.status.conditions[?(@.type=='Ready')].status}", node)

    def clear(self) -> None:
        """Everything as it was."""
        self.node.heal()
        self.node.start()
        for item in self.node.containers():
            self.node.thaw(item)
        eventually(lambda: self.ready() == "True", 120, "the node is ready again")
        for pod in self.pods:
            self.kubectl("delete", "pod", pod, "--ignore-not-found", "--force", "--grace-period=0")


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    subprocess.run([sys.executable, "-m", "trainyard_local", "up"], check=True)
    return Cluster.open()


@pytest.fixture
def bench(cluster: Cluster) -> Iterator[Bench]:
    made = Bench(cluster)
    yield made
    made.clear()


def eventually(true: Callable[[], Any], seconds: float, what: str) -> float:
    """Wait; the seconds that it took."""
    start = time.monotonic()
    while not true():
        assert time.monotonic() - start < seconds, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.5)
    return time.monotonic() - start


def test_a_container_outlives_the_kubelet_and_the_containerd_that_are_killed(bench: Bench) -> None:
    pod = bench.start_pod()
    before = bench.container(pod)
    assert before.pod_labels == {"trainyard.dev/process": pod}

    bench.node.kill()

    assert not bench.node.containerd_answers()
    assert before.pid in bench.node.live_containers()[before.identity]

    bench.node.start()
    assert bench.container(pod) == before


def test_a_node_that_is_cut_off_is_told_from_the_others_and_comes_back(bench: Bench) -> None:
    pod = bench.start_pod()
    before = bench.container(pod)

    bench.node.partition()

    took = eventually(lambda: bench.ready() == "Unknown", 90, "the node is not ready")
    assert took > 20
    assert bench.ready(bench.other) == "True"
    assert bench.node.kubelet_answers()
    assert bench.container(pod) == before

    bench.node.heal()
    eventually(lambda: bench.ready() == "True", 60, "the node is ready again")
    # Neither evicted nor started anew.
    assert bench.container(pod) == before
    assert bench.kubectl("exec", pod, "--", "echo", "here").strip() == "here"


def test_pods_of_a_node_that_is_cut_off_reach_nothing_outside(bench: Bench) -> None:
    pod = bench.start_pod()
    identity = bench.container(pod).identity
    inside = [*bench.node.ctr, "tasks", "exec", "--exec-id", "probe", identity]
    ask = [*map(str, inside), "nc", "-w", "3", "10.213.0.1", "6443", "-e", "true"]
    assert subprocess.run(ask, check=False, capture_output=True).returncode == 0

    bench.node.partition()
    assert subprocess.run(ask, check=False, capture_output=True).returncode != 0

    bench.node.heal()
    assert subprocess.run(ask, check=False, capture_output=True).returncode == 0


def test_a_reboot_ends_every_container_and_shows_another_boot_id(bench: Bench) -> None:
    pod = bench.start_pod()
    before = bench.container(pod)
    machine = current_boot()

    chosen = bench.node.reboot()

    assert chosen != machine == current_boot()
    assert before.pid is not None
    assert before.pid not in {p for pids in bench.node.live_containers().values() for p in pids}
    eventually(lambda: bench.node_says("{.status.nodeInfo.bootID}") == chosen, 60, "the boot ID")
    assert bench.node_says("{.status.nodeInfo.bootID}", bench.other) == machine
    eventually(lambda: bench.ready() == "True", 60, "the node is ready")
    phase = "--output=jsonpath={.status.phase}"
    eventually(lambda: bench.kubectl("get", "pod", pod, phase) == "Failed", 60, "the pod failed")
    assert bench.running(pod) == []

    # Its kubelet has a mount namespace of its own: pods must see what it mounts all the same.
    later = bench.start_pod()
    token = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    assert bench.kubectl("exec", later, "--", "cat", token).startswith("ey")
    # A kubelet that is killed and started again is still in the same boot.
    bench.node.kill_kubelet()
    bench.node.start_kubelet()
    eventually(bench.node.kubelet_answers, 30, "the kubelet answers")
    assert bench.node.boot_id == chosen
    assert bench.running(later) != []


def test_a_frozen_container_outlives_the_forced_deletion_of_its_pod(bench: Bench) -> None:
    pod = bench.start_pod()
    held = bench.container(pod)

    assert bench.node.freeze(held) == 1
    bench.kubectl("delete", "pod", pod, "--force", "--grace-period=0")
    # The kubelet has heard of it, and runc has sent SIGKILL, when this has passed.
    time.sleep(15)

    assert bench.kubectl("get", "pods", f"--field-selector=metadata.name={pod}", "-oname") == ""
    assert held in bench.running(pod)
    assert held.pid in bench.node.live_containers()[held.identity]

    bench.node.thaw(held)
    eventually(lambda: not bench.running(pod), 60, "the container ended")
    assert not Path(f"/proc/{held.pid}").exists()


def test_a_container_that_is_thawed_untouched_goes_on(bench: Bench) -> None:
    pod = bench.start_pod()
    held = bench.container(pod)

    bench.node.freeze(held)
    bench.node.thaw(held)

    assert bench.kubectl("exec", pod, "--", "echo", "here").strip() == "here"
    assert bench.container(pod) == held


def test_a_deleted_node_registers_anew_with_its_labels(bench: Bench) -> None:
    uid = bench.node_says("{.metadata.uid}")

    bench.kubernetes.run("delete", "node", bench.node.name)
    bench.node.kill_kubelet()
    bench.node.start_kubelet()

    eventually(lambda: bench.node_says("{.metadata.uid}") not in ("", uid), 60, "a new Node")
    assert bench.node_says(r"{.metadata.labels.trainyard\.dev/target}") == "true"
    eventually(lambda: bench.ready() == "True", 60, "the node is ready")
