"""From the JSON of the API server to typed objects and facts."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, TypeVar

from pydantic import ValidationError

from trainyard.api.documents import first_problem
from trainyard.api.meta import (
    ANNOTATION_IMAGE,
    ANNOTATION_RELEASE,
    ANNOTATION_SPEC_HASH,
    ANNOTATION_TARGET_NODE,
    FINALIZER_EVIDENCE,
    LABEL_PROCESS,
    LABEL_TARGET,
    Json,
    Resource,
)
from trainyard.api.report import LastWords
from trainyard.decide.facts import JobFacts, LeaseFacts, NodeFacts, PodFacts, Taint

ANNOTATION_HOLDER = "trainyard.dev/holder"
ANNOTATION_JOB = "trainyard.dev/job"
ANNOTATION_NODE_UID = "trainyard.dev/node-uid"
ANNOTATION_SYSTEM_UUID = "trainyard.dev/system-uuid"
ANNOTATION_BOOT_ID = "trainyard.dev/boot-id"
ANNOTATION_SEEN = "trainyard.dev/seen-pod"
ANNOTATION_QUARANTINED = "trainyard.dev/quarantined"
KUBELET_TAIL_BYTES = 2048
"""So much of a log is kept by a kubelet."""
_STATUS_UNKNOWN = "ContainerStatusUnknown"
_START_ERRORS = ("StartError", "ContainerCannotRun")
"""Reasons of a container that its runtime made and could not start."""
R = TypeVar("R", bound=Resource)


class UnreadableObject(ValueError):
    """An object whose spec does not fit the API's types: stored under other rules."""


def typed(model: type[R], raw: Json) -> R:
    """The object as its API type. A status that does not fit is dropped: it is recomputed.

    Raises
    ------
    UnreadableObject
        If metadata or spec do not fit; one sentence that names the field.
    """
    try:
        return model.model_validate(raw)
    except ValidationError:
        try:
            return model.model_validate({**raw, "status": {}})
        except ValidationError as error:
            raise UnreadableObject(first_problem(error)) from None


def metadata(raw: Json) -> Json:
    """The metadata, as a dict that can be empty."""
    meta: Json = raw.get("metadata") or {}
    return meta


def key_of(raw: Json) -> str:
    """`namespace/name`, or the name alone for cluster-wide objects."""
    meta = metadata(raw)
    namespace = meta.get("namespace")
    return f"{namespace}/{meta['name']}" if namespace else str(meta["name"])


def owner_uid(raw: Json) -> str:
    """UID of the controlling owner, or an empty string."""
    for owner in metadata(raw).get("ownerReferences") or []:
        if owner.get("controller"):
            return str(owner.get("uid", ""))
    return ""


def owner_name(meta: Json, namespace: str) -> str:
    """`namespace/name` of the controlling owner, or an empty string."""
    for owner in meta.get("ownerReferences") or []:
        if owner.get("controller"):
            return f"{namespace}/{owner.get('name', '')}"
    return ""


def job(raw: Json) -> JobFacts:
    """Facts of a Job."""
    meta = metadata(raw)
    conditions = {
        item["type"]: item
        for item in (raw.get("status") or {}).get("conditions") or []
        if item.get("status") == "True"
    }
    annotations = meta.get("annotations") or {}
    return JobFacts(
        namespace=meta.get("namespace", ""),
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        owner_uid=owner_uid(raw),
        spec_hash=annotations.get(ANNOTATION_SPEC_HASH, ""),
        suspended=bool((raw.get("spec") or {}).get("suspend")),
        complete="Complete" in conditions,
        failed="Failed" in conditions,
        failure=conditions.get("Failed", {}).get("message", ""),
        failed_pods=int((raw.get("status") or {}).get("failed") or 0),
        process=(meta.get("labels") or {}).get(LABEL_PROCESS, ""),
        target_node=annotations.get(ANNOTATION_TARGET_NODE, ""),
        image=annotations.get(ANNOTATION_IMAGE, ""),
        deleting=bool(meta.get("deletionTimestamp")),
    )


def pod(raw: Json) -> PodFacts:
    """Facts of a pod of ours, which has one container."""
    meta, spec, status = metadata(raw), raw.get("spec") or {}, raw.get("status") or {}
    container: Json = next(iter(status.get("containerStatuses") or []), {})
    state = container.get("state") or {}
    terminated = state.get("terminated") or {}
    asked: Json = next(iter(spec.get("containers") or []), {})
    waiting = state.get("waiting") or {}
    scheduled: Json = next(
        (item for item in status.get("conditions") or [] if item["type"] == "PodScheduled"), {}
    )
    node = str(spec.get("nodeName") or "")
    disrupted: Json = next(
        (
            item
            for item in status.get("conditions") or []
            if item["type"] == "DisruptionTarget" and item.get("status") == "True"
        ),
        {},
    )
    deleted = meta.get("deletionTimestamp")
    words = last_words(terminated.get("message"))
    return PodFacts(
        namespace=meta.get("namespace", ""),
        name=meta["name"],
        uid=meta["uid"],
        job_uid=owner_uid(raw),
        phase=str(status.get("phase") or "Pending"),
        target_node=str((meta.get("annotations") or {}).get(ANNOTATION_TARGET_NODE) or node),
        node=node,
        exit_code=terminated.get("exitCode"),
        oom_killed=terminated.get("reason") == "OOMKilled",
        last_words=words,
        log_tail=_log_tail(terminated) if words is None else "",
        deletion_time=time(deleted) if deleted else None,
        kept=FINALIZER_EVIDENCE in (meta.get("finalizers") or []),
        ended=all(_ended(item) for kind in _CONTAINERS for item in status.get(kind) or []),
        disruption=str(disrupted.get("reason") or ""),
        over_limit=str(status.get("message") or "").rstrip(". ")
        if status.get("reason") == "Evicted" and not disrupted
        else "",
        waiting_reason=str(waiting.get("reason") or ""),
        waiting_message=str(waiting.get("message") or ""),
        unschedulable=str(scheduled.get("message") or "")
        if scheduled.get("status") == "False"
        else "",
        image=str(asked.get("image") or ""),
        memory_limit=str(((asked.get("resources") or {}).get("limits") or {}).get("memory") or ""),
        start_error=str(terminated.get("message") or "")
        if terminated.get("reason") in _START_ERRORS
        else "",
    )


def _log_tail(terminated: Json) -> str:
    """The end of its log that a kubelet kept of a container that left no last words."""
    message = terminated.get("message")
    if not isinstance(message, str) or terminated.get("reason") in (
        _STATUS_UNKNOWN,
        *_START_ERRORS,
    ):
        # Of one that never ran the kubelet or the runtime speaks, not the container.
        return ""
    if len(message.encode()) >= KUBELET_TAIL_BYTES:
        # It begins somewhere in a line.
        message = message.partition("\n")[2] or message
    return message.strip()


_CONTAINERS = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")


def _ended(container: Json) -> bool:
    """Whether a container has ended or never started, in its kubelet's own words.

    `ContainerStatusUnknown` is what a kubelet writes that cannot find a container any more: no
    evidence about one that ran. It writes the same about a container that never started, for
    example because its image could not be pulled; that one has no ID and no earlier state.
    """
    state, last = container.get("state") or {}, container.get("lastState") or {}
    if "running" in state:
        return False
    unknown = [item for item in (state.get("terminated"), last.get("terminated")) if item]
    if all(item.get("reason") != _STATUS_UNKNOWN for item in unknown):
        return True
    ran = container.get("containerID") or container.get("started") or last
    return not ran


def last_words(message: Any) -> LastWords | None:
    """The termination message, if it is one of ours."""
    if not isinstance(message, str):
        return None
    try:
        return LastWords.model_validate(json.loads(message))
    except ValueError:
        return None


def node(raw: Json) -> NodeFacts:
    """Facts of a node."""
    meta, spec, status = metadata(raw), raw.get("spec") or {}, raw.get("status") or {}
    ready = any(
        item.get("type") == "Ready" and item.get("status") == "True"
        for item in status.get("conditions") or []
    )
    info = status.get("nodeInfo") or {}
    allocatable = {
        name: int(amount)
        for name, amount in (status.get("allocatable") or {}).items()
        if "/" in name and str(amount).isdigit()
    }
    return NodeFacts(
        name=meta["name"],
        uid=meta["uid"],
        enabled=(meta.get("labels") or {}).get(LABEL_TARGET) == "true",
        ready=ready,
        cordoned=bool(spec.get("unschedulable")),
        taints=tuple(
            Taint(item.get("key", ""), item.get("value", ""), item.get("effect", ""))
            for item in spec.get("taints") or []
        ),
        allocatable=allocatable,
        system_uuid=str(info.get("systemUUID", "")),
        boot_id=str(info.get("bootID", "")),
        release=str((meta.get("annotations") or {}).get(ANNOTATION_RELEASE, "")),
    )


def lease(raw: Json) -> LeaseFacts:
    """Facts of a node's lock."""
    meta = metadata(raw)
    annotations = meta.get("annotations") or {}
    return LeaseFacts(
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        node=annotations.get(ANNOTATION_TARGET_NODE, ""),
        holder_job_uid=str((raw.get("spec") or {}).get("holderIdentity") or ""),
        holder=annotations.get(ANNOTATION_HOLDER, ""),
        node_uid=annotations.get(ANNOTATION_NODE_UID, ""),
        system_uuid=annotations.get(ANNOTATION_SYSTEM_UUID, ""),
        boot_id=annotations.get(ANNOTATION_BOOT_ID, ""),
        seen=annotations.get(ANNOTATION_SEEN, ""),
        quarantined=annotations.get(ANNOTATION_QUARANTINED, ""),
    )


def time(text: str) -> datetime:
    """A Kubernetes timestamp, with its time zone."""
    return datetime.fromisoformat(text)
