"""The control plane of the integration tests, and operators behind fault proxies."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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
from support.plot import Plot, Yard
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
            # An operator that was killed stays the leader for a while; each is alone here.
            "leaderElection": {"enabled": False},
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
def unbroken(checker: InvariantChecker, kubelet: SimulatedKubelet) -> Iterator[None]:
    """Afterwards nothing that must always hold was broken."""
    yield
    checker.assert_held()
    faults, kubelet.faults = kubelet.faults, []
    assert not faults, "\n".join(faults)


@pytest.fixture
def kill_points(yard: Yard, unbroken: None) -> KillPoints:
    """Plays scenarios."""
    return KillPoints(yard)


PlotMaker = Callable[..., Plot]


@pytest.fixture
def new_plot(yard: Yard, unbroken: None) -> Iterator[PlotMaker]:
    """Makes plots whose operator runs; takes what `Yard.plot` takes."""
    made: list[Plot] = []

    def make(**options: Any) -> Plot:
        plot = yard.plot(**options)
        made.append(plot)
        plot.operator.start()
        return plot

    yield make
    for plot in made:
        plot.demolish()
    for plot in made:
        assert "Traceback" not in plot.operator.log(), plot.operator.log()[-5000:]


@pytest.fixture
def plot(new_plot: PlotMaker) -> Plot:
    """A namespace and a node with the inputs of a run, and an operator of its own."""
    return new_plot()
