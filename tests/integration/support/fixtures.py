"""Fixtures: a real control plane and a real S3 server for the session, nodes for a test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import yaml

from support import operator_process
from support.invariants import InvariantChecker
from support.kubelet import SimulatedKubelet
from support.operator_process import OperatorProcess
from support.waiting import eventually
from support.world import BUCKET, NAMESPACE, World
from trainyard.api.run import StoreLocation
from trainyard.cluster.api_server import ApiServer, connect
from trainyard.cluster.resources import LOCK_NAMESPACE, OWN_KINDS, ResourceType
from trainyard.stores import Credentials, Store, open_store
from trainyard_local.binaries import Binaries, obtain
from trainyard_local.controlplane import ControlPlane, loopback_endpoints
from trainyard_local.s3 import S3Account, S3Server

CRDS = Path(__file__).resolve().parents[3] / "crds"
CRD = ResourceType(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False
)
PROGRAMS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubectl",
    "versitygw",
)
GPU_WAIT_SECONDS = 6
ALLOWED_WEIGHTS = "5" * 64
"""SHA-256 of weights that the operator's settings allow."""


@dataclass(frozen=True)
class Cluster:
    """A running control plane with Trainyard's CRDs."""

    plane: ControlPlane
    api: ApiServer
    """As an administrator."""


@pytest.fixture(scope="session")
def programs() -> Binaries:
    return obtain(PROGRAMS)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, programs: Binaries) -> Iterator[Cluster]:
    folder, endpoints = tmp_path_factory.mktemp("control-plane"), loopback_endpoints()
    bare = ControlPlane(folder, endpoints=endpoints, binaries=programs)
    with bare:
        api = connect(str(bare.kubeconfig), connections=64)
        _install(api)
        # The controllers come after the CRDs: the garbage collector learns of new kinds only
        # every 30 s.
        whole = ControlPlane(
            folder,
            endpoints=endpoints,
            binaries=programs,
            controller_manager=True,
            scheduler=True,
        )
        with whole:
            yield Cluster(whole, api)


def _install(api: ApiServer) -> None:
    for path in sorted(CRDS.glob("*.yaml")):
        api.create(CRD, yaml.safe_load(path.read_text()))
    for type_ in OWN_KINDS:
        eventually(f"{type_.plural} being served", partial(_served, api, type_))
    for name in (LOCK_NAMESPACE, "kube-node-lease"):
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        if api.get(NAMESPACE, name) is None:
            api.create(NAMESPACE, body)
    operator_process.grant(api)


def _served(api: ApiServer, type_: ResourceType) -> bool:
    raw = api.get(CRD, f"{type_.plural}.{type_.group}") or {}
    conditions = (raw.get("status") or {}).get("conditions") or []
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory, programs: Binaries) -> Iterator[S3Account]:
    with S3Server(tmp_path_factory.mktemp("s3"), binaries=programs) as server:
        server.client().create_bucket(Bucket=BUCKET)
        yield server.account


@pytest.fixture(scope="session")
def store(s3: S3Account) -> Store:
    return open_store(
        StoreLocation(endpoint_url=s3.endpoint_url), Credentials(s3.access_key, s3.secret_key)
    )


@pytest.fixture(scope="session")
def kubelet(cluster: Cluster, s3: S3Account) -> Iterator[SimulatedKubelet]:
    made = SimulatedKubelet(
        cluster.api, str(cluster.plane.kubeconfig), StoreLocation(endpoint_url=s3.endpoint_url)
    )
    yield made.start()
    made.stop()


@pytest.fixture(scope="session")
def checker(cluster: Cluster) -> Iterator[InvariantChecker]:
    made = InvariantChecker(str(cluster.plane.kubeconfig)).start()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def operator_of_session(
    tmp_path_factory: pytest.TempPathFactory, cluster: Cluster, s3: S3Account
) -> Iterator[OperatorProcess]:
    made = OperatorProcess(
        folder=tmp_path_factory.mktemp("operator"),
        kubeconfig=cluster.plane.user_kubeconfig("operator", operator_process.USER, []),
        account=s3,
        settings={
            "store": {"bucket": BUCKET, "prefix": "trainyard", "endpointUrl": s3.endpoint_url},
            "trainer": {"image": "trainyard/trainer:test", "allowedWeights": [ALLOWED_WEIGHTS]},
            "gpuWaitSeconds": GPU_WAIT_SECONDS,
        },
    )
    yield made
    made.stop()


@pytest.fixture
def operator(operator_of_session: OperatorProcess) -> OperatorProcess:
    """The running operator; a test that killed it finds it running again."""
    return operator_of_session.start()


@pytest.fixture
def world(
    cluster: Cluster,
    kubelet: SimulatedKubelet,
    checker: InvariantChecker,
    operator: OperatorProcess,
    s3: S3Account,
    store: Store,
    programs: Binaries,
) -> Iterator[World]:
    """A namespace and two nodes; afterwards nothing that must always hold was broken."""
    made = World(
        api=cluster.api,
        kubelet=kubelet,
        operator=operator,
        account=s3,
        store=store,
        kubectl_program=programs["kubectl"],
        kubeconfig=cluster.plane.kubeconfig,
    ).build()
    yield made
    made.demolish()
    checker.assert_held()
    faults, kubelet.faults = kubelet.faults, []
    assert not faults, "\n".join(faults)
    assert "Traceback" not in operator.log(), operator.log()[-5000:]
