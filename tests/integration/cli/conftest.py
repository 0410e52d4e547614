"""The command line against a real API server and a real S3 server; no operator need run."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.fixtures import Cluster, cluster, kubelet, programs, s3, store
from support.kubelet import SimulatedKubelet
from support.operator_process import RBAC
from support.waiting import eventually
from support.world import NAMESPACE
from team import Team

from trainyard.cluster import names
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.resources import LEASE, LOCK_NAMESPACE, ResourceType
from trainyard.stores import Store
from trainyard_local.binaries import obtain
from trainyard_local.s3 import S3Account

__all__ = ["cluster", "kubelet", "programs", "s3", "store"]

Json = dict[str, Any]
CHART = Path(__file__).resolve().parents[3] / "helm" / "trainyard"
CLUSTER_ROLE = ResourceType(RBAC, "v1", "clusterroles", "ClusterRole", namespaced=False)
CLUSTER_ROLE_BINDING = ResourceType(
    RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False
)
ROLE = ResourceType(RBAC, "v1", "roles", "Role")
ROLE_BINDING = ResourceType(RBAC, "v1", "rolebindings", "RoleBinding")
KINDS = {type_.kind: type_ for type_ in (CLUSTER_ROLE, ROLE)}


@pytest.fixture(scope="session")
def roles(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The roles for people, as the chart has them."""
    helm = [obtain({"helm"})["helm"], "template", "trainyard", CHART]
    which = ["--show-only", "templates/user-roles.yaml", "--namespace", "trainyard-system"]
    values = ["--set", "store.bucket=bucket", "--set", "trainer.image=registry.example/trainer:1"]
    done = subprocess.run([*helm, *which, *values], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for body in yaml.safe_load_all(done.stdout):
        if body:
            cluster.api.create(KINDS[body["kind"]], body, body["metadata"].get("namespace"))
    user = {"kind": "User", "name": "node-admin", "apiGroup": RBAC}
    for type_, kind, name, namespace in (
        (CLUSTER_ROLE_BINDING, "ClusterRole", "trainyard-node-admin", None),
        (ROLE_BINDING, "Role", "trainyard-node-admin-trainyard-system", LOCK_NAMESPACE),
    ):
        _bind(cluster.api, type_, kind, name, namespace, user)
    eventually(
        "the kinds being part of the role edit",
        lambda: "trainyard.dev" in str(cluster.api.get(CLUSTER_ROLE, "edit")),
    )


def _bind(
    api: ApiServer, type_: ResourceType, kind: str, role: str, namespace: str | None, user: Json
) -> None:
    body = {
        "apiVersion": f"{RBAC}/v1",
        "kind": type_.kind,
        "metadata": {"name": f"{role}-{user['name']}"},
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": role},
        "subjects": [user],
    }
    api.create(type_, body, namespace)


@pytest.fixture(scope="session")
def people(cluster: Cluster, roles: None) -> dict[str, Path]:
    """Kubeconfigs by user."""
    found = {
        name: cluster.plane.user_kubeconfig(name, name, [])
        for name in ("engineer", "viewer", "node-admin")
    }
    return {"admin": cluster.plane.kubeconfig, **found}


@pytest.fixture
def team(
    cluster: Cluster,
    s3: S3Account,
    store: Store,
    kubelet: SimulatedKubelet,
    people: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Team]:
    """A namespace with a node, and a home that has no settings of other tools."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "TRAINYARD_")) or name == "KUBECONFIG":
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)
    made = Team(
        api=cluster.api,
        store=store,
        account=s3,
        kubelet=kubelet,
        folder=home,
        admin=people["admin"],
        engineer=people["engineer"],
        viewer=people["viewer"],
        node_admin=people["node-admin"],
    )
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": made.namespace}}
    made.api.create(NAMESPACE, body)
    for name, role in (("engineer", "edit"), ("viewer", "view")):
        user = {"kind": "User", "name": name, "apiGroup": RBAC}
        _bind(made.api, ROLE_BINDING, "ClusterRole", role, made.namespace, user)
    yield made
    made.kubelet.remove_node(made.node)
    lock = made.api.get(LEASE, names.node_lease(made.node), LOCK_NAMESPACE)
    if lock is not None:
        made.api.delete(
            LEASE, lock["metadata"]["name"], LOCK_NAMESPACE, uid=lock["metadata"]["uid"]
        )
    raw = made.api.get(NAMESPACE, made.namespace)
    if raw is not None:
        made.api.delete(NAMESPACE, made.namespace, uid=raw["metadata"]["uid"])
