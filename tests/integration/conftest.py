"""A real control plane for all integration tests: etcd, API server, controllers, scheduler."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from trainyard_local.controlplane import ControlPlane


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """One control plane without nodes; tests keep apart by namespaces of their own."""
    folder = tmp_path_factory.mktemp("control-plane")
    with ControlPlane(folder, controller_manager=True, scheduler=True) as running:
        yield running
