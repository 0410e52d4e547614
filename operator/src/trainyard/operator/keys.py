"""From an object that changed to the keys that are to be decided again."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

from trainyard.api.meta import (
    ANNOTATION_TARGET_NODE,
    LABEL_DATASET,
    LABEL_PROCESS,
    Json,
)
from trainyard.api.process import OnExistingRun
from trainyard.cluster import parse
from trainyard.cluster.cache import Cache
from trainyard.cluster.resources import (
    CAPABILITY,
    DATASET,
    JOB,
    MODEL,
    NODE,
    OWN_KINDS,
    POD,
    PROCESS,
    TEMPLATE,
    ResourceType,
)
from trainyard.operator.logs import about

NODE_LOCK = "Node"
"""Kind of the key under which the lock of a node is looked after."""

BY_KIND = {type_.kind: type_ for type_ in OWN_KINDS}


@dataclass(frozen=True)
class Key:
    """What is reconciled: one object of ours, or the lock of one node."""

    kind: str
    key: str
    """`namespace/name`, or the node's name."""


def about_key(key: Key, cache: Cache) -> AbstractContextManager[None]:
    """Whatever is logged meanwhile is about the object of a key."""
    if key.kind == NODE_LOCK:
        return about(NODE_LOCK, key.key, node=key.key)
    raw = cache.get(BY_KIND[key.kind], key.key) or {}
    return about(
        key.kind,
        key.key,
        uid=str(parse.metadata(raw).get("uid") or ""),
        node=str((raw.get("spec") or {}).get("targetNode") or ""),
    )


def affected(type_: ResourceType, raw: Json, cache: Cache) -> set[Key]:
    """The keys that a change of one object concerns."""
    meta = parse.metadata(raw)
    namespace, name = meta.get("namespace", ""), meta["name"]
    if type_ is NODE:
        return {Key(NODE_LOCK, name), *waiting_for_node(name, cache)}
    if type_ in (JOB, POD):
        return _of_owned(raw, cache)
    found = {Key(type_.kind, f"{namespace}/{name}")}
    if type_ is PROCESS:
        node = (raw.get("spec") or {}).get("targetNode", "")
        found |= waiting_for_node(node, cache)
        if _attempt_is_over(raw):
            # Now that its end is on record, its pod may go and its lock be freed.
            found.add(Key(NODE_LOCK, node))
    elif type_ in (CAPABILITY, TEMPLATE, DATASET):
        found |= _referring(type_, namespace, name, cache)
    elif type_ is MODEL:
        for template in _starting_from(namespace, name, cache):
            found |= _referring(TEMPLATE, namespace, template, cache)
        found |= _reusing(namespace, cache)
    return found


def _of_owned(raw: Json, cache: Cache) -> set[Key]:
    meta = parse.metadata(raw)
    labels, annotations = meta.get("labels") or {}, meta.get("annotations") or {}
    namespace = meta.get("namespace", "")
    found: set[Key] = set()
    if LABEL_DATASET in labels:
        found.add(Key(DATASET.kind, f"{namespace}/{labels[LABEL_DATASET]}"))
    if LABEL_PROCESS in labels:
        found.add(Key(PROCESS.kind, f"{namespace}/{labels[LABEL_PROCESS]}"))
    node = annotations.get(ANNOTATION_TARGET_NODE)
    if node:
        found |= {Key(NODE_LOCK, node), *waiting_for_node(node, cache)}
    return found


def _attempt_is_over(raw: Json) -> bool:
    """Whether the last attempt of a TrainingProcess has ended."""
    attempts = (raw.get("status") or {}).get("attempts") or []
    return not unfinished(raw) or bool(attempts and attempts[-1].get("finishTime"))


def unfinished(raw: Json) -> bool:
    """Whether a TrainingProcess may still change."""
    return (raw.get("status") or {}).get("phase") not in ("Succeeded", "Failed")


def waiting_for_node(node: str, cache: Cache) -> set[Key]:
    """The unfinished processes that name the node."""
    return {
        Key(PROCESS.kind, parse.key_of(raw))
        for raw in cache.all(PROCESS)
        if (raw.get("spec") or {}).get("targetNode") == node and unfinished(raw)
    }


def _reusing(namespace: str, cache: Cache) -> set[Key]:
    """The unfinished processes of the namespace that take a model of the same inputs."""
    return {
        Key(PROCESS.kind, parse.key_of(raw))
        for raw in cache.all(PROCESS)
        if parse.metadata(raw).get("namespace") == namespace
        and (raw.get("spec") or {}).get("onExistingRun") == OnExistingRun.REUSE
        and unfinished(raw)
    }


def _starting_from(namespace: str, model: str, cache: Cache) -> list[str]:
    """Names of the templates of the namespace that start from a TrainedModel."""
    return [
        parse.metadata(raw)["name"]
        for raw in cache.all(TEMPLATE)
        if parse.metadata(raw).get("namespace") == namespace
        and ((raw.get("spec") or {}).get("baseModel") or {}).get("trainedModel") == model
    ]


def _referring(type_: ResourceType, namespace: str, name: str, cache: Cache) -> set[Key]:
    """Unfinished processes of the namespace that name the object."""
    found = set()
    for raw in cache.all(PROCESS):
        if parse.metadata(raw).get("namespace") != namespace or not unfinished(raw):
            continue
        spec = raw.get("spec") or {}
        if type_ is DATASET:
            splits = spec.get("datasets") or {}
            named = {item for group in splits.values() for item in group}
        else:
            named = {spec.get("capability" if type_ is CAPABILITY else "template")}
        if name in named:
            found.add(Key(PROCESS.kind, parse.key_of(raw)))
    return found
