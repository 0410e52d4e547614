"""The API reference for people, written from the CustomResourceDefinitions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from trainyard.api.engine_arguments import ARGUMENTS
from trainyard.api.meta import Json

_HEAD = """\
# API reference

<!-- Generated from trainyard.api by `python -m trainyard.api.crd`: do not edit. -->

All kinds belong to the group `trainyard.dev`, version `v1alpha1`, and live in a namespace; they
refer to each other by name within it. `kubectl get trainyard` lists all of them, and `kubectl
explain tp.spec` says what stands here. A name has at most 63 characters and no dot, because names
become labels. Unknown fields are refused by kubectl and by server-side apply. Only the operator
writes `status`.
"""


def reference(definitions: Sequence[Json]) -> str:
    """Markdown page about the kinds.

    Parameters
    ----------
    definitions
        CustomResourceDefinitions as `trainyard.api.crd.crd` makes them.
    """
    described: dict[frozenset[str], str] = {}
    kinds = (_kind(definition, described) for definition in definitions)
    return "\n".join([_HEAD, *kinds, *_engine_arguments()])


def _engine_arguments() -> Iterator[str]:
    yield """\
## Arguments of the engines

What `hyperparameters.extra` of a TrainingTemplate may have, as strings. They are arguments of
ultralytics; those that are not here have a field of their own, or are refused.

| Argument | Value | Engines |
|---|---|---|"""
    engines: dict[tuple[str, str], list[str]] = {}
    for engine, table in ARGUMENTS.items():
        for name, argument in table.items():
            engines.setdefault((name, str(argument)), []).append(engine)
    for (name, value), takes in sorted(engines.items()):
        yield f"| `{name}` | {value} | {', '.join(takes)} |"
    yield ""


def _kind(definition: Json, described: dict[frozenset[str], str]) -> str:
    names = definition["spec"]["names"]
    (version,) = definition["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    spec, status = schema["properties"]["spec"], schema["properties"]["status"]
    columns = version["additionalPrinterColumns"]
    narrow = ", ".join(column["name"] for column in columns if not column["priority"])
    wide = ", ".join(column["name"] for column in columns if column["priority"])
    selectable = ", ".join(
        f"`{item['jsonPath'][1:]}`" for item in version.get("selectableFields", ())
    )
    lines = [
        f"## {names['kind']}",
        "",
        f"{schema['description']} `kubectl get {names['plural']}`, or `{names['shortNames'][0]}`. "
        f"{spec['description']}",
        "",
        f"Columns: {narrow}" + (f"; with `-o wide` also {wide}." if wide else "."),
        *([f"Field selectors: {selectable}."] if selectable else ()),
        "",
        *_table(spec, names["kind"], described),
        "",
        *_rules(spec),
        "Status:",
        "",
        *(f"- `{name}`: {field['description']}" for name, field in status["properties"].items()),
        "",
    ]
    return "\n".join(lines)


def _table(schema: Json, kind: str, described: dict[frozenset[str], str]) -> Iterator[str]:
    yield "| Field of `spec` | Type | Default | Meaning |"
    yield "|---|---|---|---|"
    for name, field, required, meaning in _fields(schema, kind, "", described):
        default = json.dumps(field["default"]) if "default" in field else ""
        shown = "**required**" if required else (f"`{default}`" if default else "")
        cells = (f"`{name}`", _type(field), shown, meaning)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _fields(
    schema: Json, kind: str, prefix: str, described: dict[frozenset[str], str]
) -> Iterator[tuple[str, Json, bool, str]]:
    for name, field in schema.get("properties", {}).items():
        required = name in schema.get("required", ())
        inner = field.get("items", field)
        path = f"{prefix}{name}{'[]' if 'items' in field else ''}"
        names = frozenset(inner.get("properties", ()))
        # The same object in a second place is described by where it came first.
        first = described.get(names)
        if first is not None:
            yield prefix + name, field, required, f"{field['description']} Fields: as in {first}."
            continue
        if len(names) > 1:
            described[names] = f"`{path}` of {kind}"
        yield prefix + name, field, required, field["description"]
        yield from _fields(inner, kind, f"{path}.", described)


def _type(field: Json) -> str:
    if "enum" in field:
        return " | ".join(f"`{value}`" for value in field["enum"])
    if field.get("x-kubernetes-int-or-string"):
        return "quantity"
    if field["type"] == "array":
        unique = " distinct" if field.get("x-kubernetes-list-type") in ("set", "map") else ""
        least = f"{field['minItems']} to " if field.get("minItems") else "at most "
        return f"list of {least}{field['maxItems']}{unique}: {_type(field['items'])}"
    if "additionalProperties" in field:
        return f"map of at most {field['maxProperties']}: {_type(field['additionalProperties'])}"
    if field.get("format") == "date-time":
        return "date and time"
    return str(field["type"]) + _bounds(field)


def _bounds(field: Json) -> str:
    parts = []
    if "minimum" in field:
        parts.append(("> " if field.get("exclusiveMinimum") else "≥ ") + f"{field['minimum']}")
    if "maximum" in field:
        sign = "< " if field.get("exclusiveMaximum") else "≤ "
        parts.append(sign + f"{field['maximum']}")
    if "maxLength" in field:
        parts.append(f"at most {field['maxLength']} characters")
    return f" ({', '.join(parts)})" if parts else ""


def _rules(schema: Json) -> Iterator[str]:
    messages = dict.fromkeys(_messages(schema))
    if messages:
        yield "Refused with:"
        yield ""
        yield from (f"- {message}" for message in messages)
        yield ""


def _messages(schema: Json) -> Iterator[str]:
    for item in schema.get("x-kubernetes-validations", ()):
        yield item["message"]
    for name in ("items", "additionalProperties"):
        if name in schema:
            yield from _messages(schema[name])
    for field in schema.get("properties", {}).values():
        yield from _messages(field)
