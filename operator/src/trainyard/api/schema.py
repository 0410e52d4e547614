"""From a pydantic model to a structural schema, the dialect that the Kubernetes API server takes.

pydantic speaks JSON Schema 2020-12; `apiextensions.k8s.io/v1` takes a dialect of draft 4 without
references, unions with null or `additionalProperties: false`. Everything here is pure.

References
----------
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
"""

from __future__ import annotations

from typing import Any

from trainyard.api._base import MESSAGE_KEY, ApiModel, rule
from trainyard.api.meta import Json

INT32_MAX = 2**31 - 1

_COPIED = frozenset(
    {
        "description",
        "enum",
        "format",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "required",
        "type",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-list-type",
        "x-kubernetes-validations",
    }
)
_TRANSLATED = frozenset(
    {
        "$ref",
        "additionalProperties",
        "anyOf",
        "default",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "items",
        "pattern",
        "patternProperties",
        "properties",
        "propertyNames",
        MESSAGE_KEY,
        "x-kubernetes-int-or-string",
    }
)
_DROPPED = frozenset({"$defs", "title"})


class SchemaError(ValueError):
    """A model says something that a structural schema cannot say."""


def structural_schema(model: type[ApiModel], *, defaults: bool) -> Json:
    """Structural schema of `model`.

    Parameters
    ----------
    model
        A model whose JSON Schema uses no more than this module knows.
    defaults
        Whether default values are kept. They are for `spec`: in `status` the operator says all.

    Returns
    -------
    dict
        Plain JSON values; every `$ref` is inlined, every description is one line.

    Raises
    ------
    SchemaError
        When a keyword would be lost, or a default is not what the inner defaults make.
    """
    document = model.model_json_schema(by_alias=True)
    return _Converter(document.get("$defs", {}), defaults=defaults).convert(
        document, (model.__name__,)
    )


class _Converter:
    def __init__(self, definitions: Json, *, defaults: bool) -> None:
        self._definitions = definitions
        self._defaults = defaults

    def convert(self, schema: Json, path: tuple[str, ...]) -> Json:
        schema = self._resolved(schema, path)
        if unknown := schema.keys() - _COPIED - _TRANSLATED - _DROPPED:
            raise SchemaError(
                f"{'.'.join(path)}: a CRD has no place for {', '.join(sorted(unknown))}; say it "
                "with a CEL rule, or teach trainyard.api.schema to translate it"
            )
        made = {key: schema[key] for key in schema.keys() & _COPIED}
        if "description" in made:
            made["description"] = folded(made["description"])
        _exclusive_bounds(schema, made)
        _integer_format(made)
        if "properties" in schema:
            made["properties"] = {
                name: self.convert(inner, (*path, name))
                for name, inner in schema["properties"].items()
            }
        if "items" in schema:
            made["items"] = self.convert(schema["items"], (*path, "items"))
        if isinstance(schema.get("additionalProperties"), dict):
            raise SchemaError(f"{'.'.join(path)}: the keys of a map need a pattern and Says(...)")
        if "patternProperties" in schema:
            (values,) = schema["patternProperties"].values()
            made["additionalProperties"] = self.convert(values, (*path, "VALUE"))
        added = [
            *([_pattern_rule(schema)] if MESSAGE_KEY in schema else ()),
            *([_key_rule(schema, path)] if "patternProperties" in schema else ()),
        ]
        if "pattern" in schema and MESSAGE_KEY not in schema:
            made["pattern"] = schema["pattern"]
        if added:
            made["x-kubernetes-validations"] = [*made.get("x-kubernetes-validations", ()), *added]
        if schema.get("x-kubernetes-int-or-string"):
            made["x-kubernetes-int-or-string"] = True
            made["anyOf"] = schema["anyOf"]
        if self._defaults and schema.get("default") is not None:
            made["default"] = _default(schema["default"], made, path)
        return made

    def _resolved(self, schema: Json, path: tuple[str, ...]) -> Json:
        """`schema` with its reference and its union with null replaced by what they stand for."""
        while True:
            if "$ref" in schema:
                inner = self._definitions[schema["$ref"].rpartition("/")[2]]
            elif "anyOf" in schema and not schema.get("x-kubernetes-int-or-string"):
                others = [item for item in schema["anyOf"] if item != {"type": "null"}]
                if len(others) != 1:
                    raise SchemaError(
                        f"{'.'.join(path)}: a union of {len(others)} types; a structural schema "
                        "has one type in each place"
                    )
                inner = others[0]
            else:
                return schema
            # What stands beside a reference is said about this field: it wins.
            beside = {key: value for key, value in schema.items() if key not in ("$ref", "anyOf")}
            schema = {**inner, **beside}


def folded(text: str) -> str:
    """`text` in one line: runs of white space become one space."""
    return " ".join(text.split())


def _exclusive_bounds(schema: Json, made: Json) -> None:
    """Write exclusive bounds the way draft 4 does: a number and a flag."""
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if exclusive in schema:
            made[bound] = schema[exclusive]
            made[exclusive] = True


def _integer_format(made: Json) -> None:
    if made.get("type") == "integer":
        low, high = made.get("minimum"), made.get("maximum")
        fits = low is not None and high is not None and low >= -INT32_MAX and high <= INT32_MAX
        made["format"] = "int32" if fits else "int64"


def _matches(subject: str, pattern: str) -> str:
    """CEL expression for a match of `pattern`.

    The dialect of the API server, RE2, and that of pydantic, Rust's regex, agree on what is used.
    """
    return f'{subject}.matches(r"{pattern}")'


def _pattern_rule(schema: Json) -> dict[str, str]:
    return rule(_matches("self", schema["pattern"]), schema[MESSAGE_KEY])


def _key_rule(schema: Json, path: tuple[str, ...]) -> dict[str, str]:
    """CEL rule for the keys of a map, which a structural schema cannot bound."""
    names = schema.get("propertyNames", {})
    (pattern,) = schema["patternProperties"]
    if names.keys() != {"maxLength", MESSAGE_KEY}:
        raise SchemaError(f"{'.'.join(path)}: keys need maxLength, a pattern and Says(...), only")
    return rule(
        f"self.all(key, size(key) <= {names['maxLength']} && {_matches('key', pattern)})",
        names[MESSAGE_KEY],
    )


def _default(value: Any, made: Json, path: tuple[str, ...]) -> Any:
    if made.get("type") != "object":
        return value
    # The API server fills an empty object from its fields' own defaults: said in one place only.
    given = {key: inner for key, inner in value.items() if inner is not None}
    from_fields = {
        name: inner["default"]
        for name, inner in made.get("properties", {}).items()
        if "default" in inner
    }
    if given != from_fields:
        raise SchemaError(f"{'.'.join(path)}: its default differs from its fields' own defaults")
    return {}
