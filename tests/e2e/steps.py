"""What the end-to-end tests do again and again, by kubectl as a person would."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.conftest import Team


def apply(team: Team, *items: dict[str, Any]) -> None:
    team.kubectl(
        "apply",
        "-f",
        "-",
        stdin=json.dumps({"kind": "List", "apiVersion": "v1", "items": list(items)}),
    )


def get(team: Team, kind: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(team.kubectl("get", kind, name, "-o", "json"))
    return found


def condition(item: dict[str, Any], type_: str) -> dict[str, Any]:
    conditions = item.get("status", {}).get("conditions", [])
    found: dict[str, Any] = next((one for one in conditions if one["type"] == type_), {})
    return found


def until(what: str, check: Callable[[], Any], seconds: float = 180) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = check()
        if found:
            return found
        time.sleep(1)
    pytest.fail(f"after {seconds:.0f} s: {what}")


def finish(team: Team, name: str, seconds: int = 280) -> dict[str, Any]:
    team.kubectl("wait", "--for=condition=Finished", f"tp/{name}", f"--timeout={seconds}s")
    return get(team, "tp", name)


def phase(team: Team, name: str) -> str:
    """Phase of a TrainingProcess; empty before it has one."""
    return str(get(team, "tp", name).get("status", {}).get("phase", ""))


def runs(team: Team, name: str, epochs_done: int = 1) -> None:
    """Wait until a run has done some epochs."""
    until(
        f"{name} has done {epochs_done} epochs",
        lambda: (
            phase(team, name) == "Running"
            and (get(team, "tp", name)["status"].get("progress", {}).get("epoch") or 0)
            >= epochs_done
        ),
        seconds=280,
    )


def suspend(team: Team, name: str, wish: bool) -> None:
    """Stop a run, or start it again."""
    patch = json.dumps({"spec": {"suspend": wish}})
    team.kubectl("patch", "tp", name, "--type=merge", "--patch", patch)


def locks(team: Team) -> list[dict[str, Any]]:
    """The locks of all nodes."""
    found = team.system.kubernetes.json("get", "leases", "--namespace", "trainyard-locks")
    items: list[dict[str, Any]] = found["items"]
    return items


def training_pod(team: Team, name: str) -> str:
    """Name of the newest pod of a process."""
    listed = team.kubectl(
        *("get", "pods", "-l", f"trainyard.dev/process={name}"),
        *("--sort-by=.metadata.creationTimestamp", "-o", "jsonpath={.items[*].metadata.name}"),
    )
    return listed.split()[-1]
