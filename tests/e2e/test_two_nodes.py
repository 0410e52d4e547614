"""The real thing: two nodes, the real images, real data, real trainings (short)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import manifests
from tests.e2e.conftest import Team
from tests.e2e.containers import ContainerWatch
from tests.e2e.models import load_back
from tests.e2e.steps import apply, condition, finish, get, until
from trainyard_demo.install import SYSTEM

pytestmark = pytest.mark.timeout(900)


def test_two_runs_share_a_node_one_after_the_other_while_the_operator_is_killed(
    team: Team, containers: ContainerWatch, tmp_path: Path
) -> None:
    apply(
        team,
        *manifests.digits(),
        *manifests.nuclei(),
        manifests.process("first", "digits", "digit", "gpu-1"),
    )
    until("first is queued", lambda: get(team, "tp", "first").get("status", {}).get("phase"))
    apply(
        team,
        manifests.process("second", "digits", "digit", "gpu-1"),
        manifests.process("nuclei", "nuclei", "nucleus", "gpu-2"),
    )

    until(
        "first runs",
        lambda: get(team, "tp", "first")["status"]["phase"] == "Running",
        seconds=280,
    )
    told = until(
        "second is told whom it waits for",
        lambda: (
            message
            if "first"
            in (message := condition(get(team, "tp", "second"), "NodeReserved").get("message", ""))
            else None
        ),
    )
    assert told.startswith(f"node gpu-1 is held by {team.namespace}/first")
    team.system.kubernetes.run(
        *("delete", "pod", "--namespace", SYSTEM, "--all", "--force", "--grace-period=0")
    )

    ended = {name: finish(team, name) for name in ("first", "second", "nuclei")}

    assert {name: item["status"]["phase"] for name, item in ended.items()} == {
        "first": "Succeeded",
        "second": "Succeeded",
        "nuclei": "Succeeded",
    }
    assert containers.looks > 10, containers.failure
    assert containers.together == []
    assert len(containers.seen["gpu-1"]) == 2
    assert len(containers.seen["gpu-2"]) == 1
    log = team.kubectl("logs", "-l", "trainyard.dev/process=nuclei", "--tail=-1")
    assert "Traceback" not in log
    assert log.strip()

    leases = team.system.kubernetes.json("get", "leases", "--namespace", "trainyard-locks")
    until(
        "the locks are released",
        lambda: (
            not team.system.kubernetes.json("get", "leases", "--namespace", "trainyard-locks")[
                "items"
            ]
        ),
    )
    assert leases is not None
    _check_artefacts(team, ended, tmp_path)


def _check_artefacts(team: Team, ended: dict[str, dict[str, Any]], folder: Path) -> None:
    """Every file has the digest of status and manifest, and the model loads from them."""
    for name, item in ended.items():
        assert len(load_back(team, item, folder, _held_out(name))) >= 5
        model = get(team, "tm", name)
        assert model["spec"]["artefacts"] == item["status"]["artefacts"]


def _held_out(name: str) -> Path:
    from trainyard_local.paths import cache

    what = "nuclei" if name == "nuclei" else "digits"
    return next((cache().root / "data").glob("images-*")) / what / "test"


def test_a_run_that_asks_for_a_gpu_waits_for_one_and_ends_when_the_pod_sees_none(
    team: Team,
) -> None:
    gpus = "nvidia.com/gpu"
    patch = json.dumps({"status": {"capacity": {gpus: "1"}, "allocatable": {gpus: "1"}}})
    apply(
        team,
        *manifests.digits(),
        manifests.process("wants-gpu", "digits", "digit", "gpu-2", {"resources": {"gpus": 1}}),
    )
    until(
        "it waits for a GPU",
        lambda: (
            condition(get(team, "tp", "wants-gpu"), "NodeReserved").get("reason")
            == "InsufficientGPUs"
        ),
        seconds=240,
    )
    team.system.kubernetes.run(
        "patch", "node", "gpu-2", "--subresource=status", "--type=merge", "--patch", patch
    )
    try:
        ended = finish(team, "wants-gpu")
    finally:
        gone = json.dumps({"status": {"capacity": {gpus: None}, "allocatable": {gpus: None}}})
        team.system.kubernetes.run(
            "patch", "node", "gpu-2", "--subresource=status", "--type=merge", "--patch", gone
        )
    assert ended["status"]["phase"] == "Failed"
    assert condition(ended, "Failed")["reason"] == "GPUNotVisible"
    assert "GPU" in condition(ended, "Failed")["message"]


def test_a_bad_label_line_is_named_with_its_file_and_line(team: Team) -> None:
    client = team.system.cluster.s3.client()
    prefix = f"e2e/{team.namespace}"
    source = next(iter(_held_out("nuclei").rglob("*.png")))
    client.upload_file(str(source), "trainyard", f"{prefix}/images/tile.png")
    client.put_object(
        Bucket="trainyard",
        Key=f"{prefix}/labels/tile.txt",
        Body=b"0 0.5 0.5 0.1 0.1\n0 0.5 0.5 1.7 0.1\n",
    )
    apply(team, manifests.dataset("broken", "yolo", prefix, ["nucleus"]))
    team.kubectl("wait", "--for=jsonpath={.status.phase}=Failed", "tds/broken", "--timeout=180s")
    ready = condition(get(team, "tds", "broken"), "Ready")
    assert ready["reason"] == "BadData"
    assert "labels/tile.txt:2" in ready["message"]
    assert "1.7" in ready["message"]
