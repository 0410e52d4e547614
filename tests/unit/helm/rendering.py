"""The chart as Helm renders it."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from trainyard_local.binaries import obtain

REPOSITORY = Path(__file__).resolve().parents[3]
CHART = REPOSITORY / "helm" / "trainyard"
REQUIRED = {"store": {"bucket": "models"}, "trainer": {"image": "registry.example/trainer:1"}}
NAMESPACE = "trainyard-system"

Object = dict[str, Any]


class RenderingRefused(Exception):
    """Helm refused the values; the message is what a person reads."""


@cache
def helm() -> Path:
    return obtain({"helm"})["helm"]


def merged(base: Object, changes: Object) -> Object:
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        result[key] = (
            merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        )
    return result


@cache
def _rendered(values: str) -> tuple[str, ...]:
    command = [str(helm()), "template", "trainyard", str(CHART), "--namespace", NAMESPACE]
    done = subprocess.run(
        [*command, "--values", "-"], input=values, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RenderingRefused(done.stderr)
    return tuple(json.dumps(item) for item in yaml.safe_load_all(done.stdout) if item)


def render(values: Object | None = None, *, complete: bool = True) -> list[Object]:
    """All objects of the chart, with the values that have no default filled in."""
    given = merged(REQUIRED, values or {}) if complete else values or {}
    return [json.loads(item) for item in _rendered(json.dumps(given))]


def one(objects: list[Object], kind: str, name: str = "trainyard") -> Object:
    """The only object of that kind and name."""
    (found,) = (o for o in objects if o["kind"] == kind and o["metadata"]["name"] == name)
    return found


def kinds(objects: list[Object], kind: str) -> list[Object]:
    return [o for o in objects if o["kind"] == kind]
