"""Two runs on one node, with a folder of that node as the cache of what they fetch."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import manifests
from tests.e2e.conftest import CHART, System, Team
from tests.e2e.steps import apply, condition, finish, get, until
from trainyard_demo.install import RELEASE, SYSTEM

pytestmark = pytest.mark.timeout(900)
USER = 1000


@pytest.fixture
def folder(system: System, tmp_path: Path) -> Iterator[Path]:
    """The cache, as an administrator prepares it; the nodes are this machine. Off afterwards."""
    made = tmp_path / "cache"
    made.mkdir(mode=0o700)
    os.chown(made, USER, USER)
    system.kubernetes.install(
        *("upgrade", RELEASE, str(CHART), "--namespace", SYSTEM, "--reuse-values"),
        *("--set", f"trainer.cache.hostPath={made}", "--set", "trainer.cache.size=1Gi"),
        *("--wait", "--timeout", "3m"),
    )
    yield made
    system.install()


def test_a_run_finds_on_its_node_what_the_one_before_it_fetched(team: Team, folder: Path) -> None:
    apply(
        team,
        *manifests.digits(),
        manifests.process("first", "digits", "digit", "gpu-1"),
    )
    refused = until(
        "the namespace refuses the pod for its volume",
        lambda: (
            found
            if "hostPath"
            in (found := condition(get(team, "tp", "first"), "Running")).get("message", "")
            else None
        ),
    )
    assert refused["reason"] == "PodRefused"
    team.system.kubernetes.run(
        *("label", "namespace", team.namespace, "--overwrite"),
        "pod-security.kubernetes.io/enforce=privileged",
    )
    assert finish(team, "first")["status"]["phase"] == "Succeeded"
    entries = [path for path in folder.iterdir() if len(path.name) == 64]
    assert {(path.stat().st_uid, path.stat().st_mode & 0o777) for path in entries} == {
        (USER, 0o600)
    }

    apply(team, manifests.process("second", "digits", "digit", "gpu-1"))
    assert finish(team, "second")["status"]["phase"] == "Succeeded"

    def staged(name: str) -> tuple[int, int]:
        log = team.kubectl("logs", "-l", f"trainyard.dev/process={name}", "--tail=-1")
        said = re.search(r"staging: (\d+) files, (\d+) of them from the node's cache", log)
        assert said is not None, log
        return int(said[1]), int(said[2])

    assert staged("first") == (len(entries), 0)
    assert staged("second") == (len(entries), len(entries))
