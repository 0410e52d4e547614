"""kopf as the trigger: every event of a watched resource is handed on, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import kopf

from trainyard.api.meta import Json
from trainyard.cluster.names import OURS_SELECTOR
from trainyard.cluster.resources import JOB, POD, WATCHED, ResourceType

OnEvent = Callable[[ResourceType, str | None, Json], None]
"""Called with the type, the kind of event (None, ADDED, MODIFIED, DELETED) and the object."""


def registry(on_event: OnEvent) -> kopf.OperatorRegistry:
    """A kopf registry whose handlers only parse, delegate and return None."""
    made = kopf.OperatorRegistry()
    for type_ in WATCHED:
        _register(made, type_, on_event)

    def login(**kwargs: Any) -> Any:
        return kopf.login_via_client(**kwargs)

    kopf.on.login(registry=made)(login)
    return made


def _register(made: kopf.OperatorRegistry, type_: ResourceType, on_event: OnEvent) -> None:
    def handle(event: Any, **_: Any) -> None:
        # Not async: kopf runs it in a thread, and what it calls is quick and thread-safe.
        raw = dict(event["object"])
        raw.setdefault("kind", type_.kind)
        raw.setdefault("apiVersion", type_.api_version)
        on_event(type_, event["type"], raw)

    kopf.on.event(
        type_.group, type_.version, type_.plural, registry=made, id=f"{type_.plural}-event"
    )(handle)


def settings() -> kopf.OperatorSettings:
    """Kopf without its own memory: no peering, no events, no annotations, finite time-outs."""
    made = kopf.OperatorSettings()
    made.peering.standalone = True
    made.posting.enabled = False
    made.scanning.disabled = True
    made.networking.request_timeout = 60
    made.networking.connect_timeout = 10
    made.watching.connect_timeout = 10
    made.watching.server_timeout = 300
    made.watching.label_selectors[JOB.group, JOB.version, JOB.plural] = OURS_SELECTOR
    made.watching.label_selectors[POD.group, POD.version, POD.plural] = OURS_SELECTOR
    return made
