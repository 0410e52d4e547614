"""The control plane of the integration tests, and operators behind fault proxies."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from support import operator_process
from support.fault_proxy import ProxyLoop
from support.fixtures import (
    GPU_WAIT_SECONDS,
    Cluster,
    checker,
    cluster,
    kubelet,
    programs,
    s3,
    store,
)
from support.forked_operator import Nursery
from support.invariants import InvariantChecker
from support.kill_points import KillPoints, inputs_of
from support.kubelet import SimulatedKubelet
from support.mirror import Mirror
from support.plot import Yard
from support.world import BUCKET

from trainyard.stores import Store
from trainyard_local.binaries import Binaries
from trainyard_local.s3 import S3Account

__all__ = ["checker", "cluster", "kubelet", "programs", "s3", "store"]


@pytest.fixture(scope="session")
def yard(
    tmp_path_factory: pytest.TempPathFactory,
    cluster: Cluster,
    kubelet: SimulatedKubelet,
    s3: S3Account,
    store: Store,
    programs: Binaries,
) -> Iterator[Yard]:
    mirror = Mirror(str(cluster.plane.kubeconfig)).start()
    loop = ProxyLoop(cluster.plane, operator_process.USER)
    nursery = Nursery()
    made = Yard(
        api=cluster.api,
        kubelet=kubelet,
        mirror=mirror,
        loop=loop,
        nursery=nursery,
        account=s3,
        store=store,
        folder=tmp_path_factory.mktemp("operators"),
        settings={
            "store": {"bucket": BUCKET, "prefix": "trainyard", "endpointUrl": s3.endpoint_url},
            "trainer": {"image": "trainyard/trainer:test"},
            "gpuWaitSeconds": GPU_WAIT_SECONDS,
        },
        kubectl_program=programs["kubectl"],
        kubeconfig=cluster.plane.kubeconfig,
    )
    made.inputs.update(inputs_of(made))
    yield made
    nursery.stop()
    loop.stop()
    mirror.stop()


@pytest.fixture
def kill_points(
    yard: Yard, checker: InvariantChecker, kubelet: SimulatedKubelet
) -> Iterator[KillPoints]:
    """Plays scenarios; afterwards nothing that must always hold was broken."""
    yield KillPoints(yard)
    checker.assert_held()
    faults, kubelet.faults = kubelet.faults, []
    assert not faults, "\n".join(faults)
