"""The local cluster with the operator installed, as the demo leaves it; a namespace a test."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.containers import ContainerWatch
from trainyard_demo import store
from trainyard_demo.data.prepare import prepare
from trainyard_demo.data.sources import find_uv
from trainyard_demo.install import Images, install
from trainyard_demo.kubernetes import Kubernetes
from trainyard_local.cluster import Cluster
from trainyard_local.images.build import workshop
from trainyard_local.images.spec import OPERATOR, TRAINER
from trainyard_local.paths import cache

REPOSITORY = Path(__file__).parents[2]
CHART = REPOSITORY / "helm" / "trainyard"


@dataclass(frozen=True)
class System:
    """A running Trainyard on two real nodes."""

    cluster: Cluster
    kubernetes: Kubernetes
    images: Images

    def install(self) -> None:
        """The operator as the demo has it, whatever was changed meanwhile."""
        install(self.kubernetes, CHART, self.images, self.cluster.s3)


@dataclass(frozen=True)
class Team:
    """A namespace with credentials, as an administrator prepares it."""

    namespace: str
    system: System

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """What kubectl prints, in this namespace."""
        return self.system.kubernetes.run(*arguments, "--namespace", self.namespace, stdin=stdin)


@pytest.fixture(scope="session")
def system() -> System:
    """The cluster is brought up, the images are built and loaded, the operator is installed."""
    place = cache()
    for command in (["up"], ["images", "build"], ["images", "load"]):
        subprocess.run([sys.executable, "-m", "trainyard_local", *command], check=True)
    cluster = Cluster.open(place)
    client = cluster.s3.client()
    store.ensure_bucket(client)
    uv = find_uv(dict(os.environ), REPOSITORY)
    store.upload(client, prepare(place.root / "data", uv), lambda _: None)
    kubernetes = Kubernetes(
        cluster.binaries["kubectl"], cluster.binaries["helm"], cluster.kubeconfig
    )
    workplace = workshop(place)
    built = [workplace.built(spec) for spec in (OPERATOR, TRAINER)]
    references = [image.reference for image in built if image is not None]
    made = System(cluster, kubernetes, Images(*references))
    made.install()
    return made


@pytest.fixture
def team(system: System) -> Iterator[Team]:
    """A namespace of its own, deleted afterwards."""
    namespace = f"e2e-{secrets.token_hex(4)}"
    account = system.cluster.s3
    system.kubernetes.apply(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": namespace,
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "trainyard-store", "namespace": namespace},
            "stringData": {
                "AWS_ACCESS_KEY_ID": account.access_key,
                "AWS_SECRET_ACCESS_KEY": account.secret_key,
            },
        },
    )
    yield Team(namespace, system)
    system.kubernetes.run("delete", "namespace", namespace, "--timeout=120s")


@pytest.fixture
def containers(system: System) -> Iterator[ContainerWatch]:
    """What really runs on each node, watched for the length of a test."""
    watch = ContainerWatch(system.cluster)
    watch.start()
    yield watch
    watch.stop()
