"""What the API server would say of an object: the same schema, the same rules, the same words.

In its order: what may be there and its shape; then, of a shape that is right, the rules in CEL.
The texts are those of the API server, so that a sentence that people know means the same here.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import date, datetime
from functools import cache
from typing import Any

import re2

from trainyard.api._base import NAME_PATTERN
from trainyard.api.crd import KINDS, crd
from trainyard.api.meta import API_VERSION, Json
from trainyard.cli.manifests.cel import OLD, CannotEvaluate, cel_value, holds
from trainyard.cli.manifests.shape import joined, shape_problems, short

SHOWN = 10
"""Problems of one object that are told."""


def admit(document: Json) -> tuple[Json, list[str]]:
    """The object as the API server would keep it, and why it would not.

    Parameters
    ----------
    document
        As it stands in a manifest, of one of our kinds.

    Returns
    -------
    tuple
        With defaults, if nothing is wrong; and what is wrong, a sentence each.
    """
    schema = _schema(document["kind"])
    made = _plain(document)
    problems = [*_metadata(made), *_unknown(made, schema, "")]
    if not problems:
        problems = [*shape_problems(made, schema), *_repeated(made, schema, "")]
    if not problems:
        made = _with_defaults(made, schema)
        problems = list(_rules(made, schema, ""))
    return made, list(dict.fromkeys(problems))[:SHOWN]


@cache
def _schema(kind: str) -> Json:
    """The schema of the CRD, without status: people do not write it."""
    definition = next(crd(each) for each in KINDS if each.name == kind)
    (version,) = definition["spec"]["versions"]
    whole: Json = version["schema"]["openAPIV3Schema"]
    fields = {name: inner for name, inner in whole["properties"].items() if name != "status"}
    fields["apiVersion"] = fields["apiVersion"] | {"enum": [API_VERSION]}
    return whole | {"properties": fields}


def _plain(value: Any) -> Any:
    """JSON values, as kubectl sends them: a date is text, and what is null is not there."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else value


def _metadata(document: Json) -> Iterator[str]:
    meta = document.get("metadata")
    name = meta.get("name") if isinstance(meta, dict) else None
    if not isinstance(name, str) or not name:
        yield "metadata.name: Required value: name or generateName is required"
    elif not re2.search(NAME_PATTERN, name) and "." not in name:
        yield (
            f'metadata.name: Invalid value: "{name}": a name has lower-case letters, digits and '
            "'-' only, and neither starts nor ends with '-'"
        )


def _unknown(value: Any, schema: Json, path: str) -> Iterator[str]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unknown(item, schema.get("items", {}), f"{path}[{index}]")
    if not isinstance(value, dict):
        return
    fields, others = schema.get("properties"), schema.get("additionalProperties")
    if fields is None and others is None:
        # Metadata, which is not ours.
        return
    for name, inner in value.items():
        place = f"{path}.{name}".lstrip(".")
        if name in (fields or {}):
            yield from _unknown(inner, (fields or {})[name], place)
        elif others is not None:
            yield from _unknown(inner, others, place)
        elif path or name != "status":
            yield f'unknown field "{place}"'


def _repeated(value: Any, schema: Json, path: str) -> Iterator[str]:
    """Lists whose items must differ: sets, and maps by their keys."""
    if isinstance(value, dict):
        for name, inner in value.items():
            field = schema.get("properties", {}).get(name, schema.get("additionalProperties", {}))
            yield from _repeated(inner, field, joined(path, name))
    if not isinstance(value, list):
        return
    kind = schema.get("x-kubernetes-list-type")
    keys = schema.get("x-kubernetes-list-map-keys", ())
    seen: set[Any] = set()
    for index, item in enumerate(value):
        if kind in ("set", "map"):
            key = tuple(item.get(name) for name in keys) if kind == "map" else item
            if key in seen:
                shown = {name: item.get(name) for name in keys} if kind == "map" else item
                yield f"{path}[{index}]: Duplicate value: {short(shown)}"
            seen.add(key)
        yield from _repeated(item, schema.get("items", {}), f"{path}[{index}]")


def _with_defaults(value: Any, schema: Json) -> Any:
    if isinstance(value, list):
        return [_with_defaults(item, schema.get("items", {})) for item in value]
    if not isinstance(value, dict):
        return value
    made = dict(value)
    others = schema.get("additionalProperties", {})
    for name, field in schema.get("properties", {}).items():
        if name not in made and "default" in field:
            made[name] = copy.deepcopy(field["default"])
    fields = schema.get("properties", {})
    return {name: _with_defaults(inner, fields.get(name, others)) for name, inner in made.items()}


def _rules(value: Any, schema: Json, path: str) -> Iterator[str]:
    """The rules in CEL that do not hold, those of the innermost fields last."""
    for rule in schema.get("x-kubernetes-validations", ()):
        if OLD in rule["rule"]:
            continue
        try:
            right = holds(rule["rule"], cel_value(value, schema))
        except CannotEvaluate as error:
            yield f"{path}: {error}"
            continue
        if not right:
            where = path + rule.get("fieldPath", "")
            shown = f"Invalid value: {short(value)}: " if isinstance(value, (str, int)) else ""
            yield f"{where}: {shown}{rule['message']}" if where else rule["message"]
    if isinstance(value, dict):
        others = schema.get("additionalProperties", {})
        for name, inner in value.items():
            field = schema.get("properties", {}).get(name, others)
            yield from _rules(inner, field, joined(path, name))
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _rules(item, schema.get("items", {}), f"{path}[{index}]")
