"""The generated CRDs on a real API server."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml
from admission_server import NAMESPACE, Server
from kubernetes import client

from trainyard_local.controlplane import ControlPlane

CRDS = Path(__file__).parents[3] / "crds"


@pytest.fixture(scope="session")
def server(control_plane: ControlPlane) -> Server:
    """An API server that serves our kinds from the committed files."""
    made = Server(control_plane.kubeconfig)
    api = made.api_client
    definitions = client.ApiextensionsV1Api(api)
    served = {item.metadata.name for item in definitions.list_custom_resource_definition().items}
    for path in sorted(CRDS.glob("*.yaml")):
        body = yaml.safe_load(path.read_text(encoding="utf-8"))
        if body["metadata"]["name"] not in served:
            definitions.create_custom_resource_definition(body, field_validation="Strict")
        _wait_until_established(definitions, body["metadata"]["name"])
    client.CoreV1Api(api).create_namespace({"metadata": {"name": NAMESPACE}})
    return made


def _wait_until_established(definitions: client.ApiextensionsV1Api, name: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        found = definitions.read_custom_resource_definition(name)
        states = {item.type: item for item in found.status.conditions or ()}
        accepted = states.get("Established")
        if accepted is not None and accepted.status == "True":
            assert "NonStructuralSchema" not in states, states["NonStructuralSchema"].message
            return
        assert time.monotonic() < deadline, f"{name}: not established: {found.status.conditions}"
        time.sleep(0.1)
