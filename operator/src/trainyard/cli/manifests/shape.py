"""What a structural schema says of a value, as the API server words it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

import jsonschema
import re2
from jsonschema.exceptions import ValidationError as SchemaProblem

from trainyard.api.meta import Json


def shape_problems(value: Json, schema: Json) -> list[str]:
    """Everything of an object that its schema does not allow, a sentence each."""
    return [_told(problem) for problem in _Validator(schema).iter_errors(value)]


def joined(path: str, name: str) -> str:
    """The path of a field of what is at `path`."""
    return f"{path}.{name}" if path else name


def short(value: Any) -> str:
    """A value as it stands in a sentence."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))[:80]


def _matches(_: Any, pattern: str, value: Any, __: Json) -> Iterator[SchemaProblem]:
    r"""In the dialect of the API server; Python's own knows no `\x{2028}`."""
    if isinstance(value, str) and not re2.search(pattern, value):
        yield SchemaProblem("")


def _number(validator: Any, bound: float, value: Any, schema: Json) -> Iterator[SchemaProblem]:
    """YAML has numbers that JSON has not, and that compare with nothing."""
    if isinstance(value, float) and not math.isfinite(value):
        yield SchemaProblem("")
        return
    yield from jsonschema.Draft4Validator.VALIDATORS["minimum"](validator, bound, value, schema)


def _format(_: Any, wanted: str, value: Any, __: Json) -> Iterator[SchemaProblem]:
    if wanted == "date-time" and isinstance(value, str):
        try:
            known = datetime.fromisoformat(value).tzinfo is not None
        except ValueError:
            known = False
        if not known:
            yield SchemaProblem("")


_Validator = jsonschema.validators.extend(
    jsonschema.Draft4Validator, {"pattern": _matches, "format": _format, "minimum": _number}
)


def _told(problem: SchemaProblem) -> str:
    """A problem of the shape, as the API server words it."""
    path, limit = _path(problem.absolute_path), problem.validator_value
    value = problem.instance
    match str(problem.validator):
        case "required":
            missing = next(name for name in limit if name not in value)
            return f"{joined(path, missing)}: Required value"
        case "type" | "anyOf":
            wanted = limit if isinstance(limit, str) else "integer or string"
            if isinstance(value, float):
                wanted = problem.schema.get("format", wanted)
            return f'{path} in body must be of type {wanted}: "{_type_name(value)}"'
        case "format":
            return f"{path} in body must be of type {limit}: {short(value)}"
        case "enum":
            known = ", ".join(f'"{item}"' for item in limit)
            return f"{path}: Unsupported value: {short(value)}: supported values: {known}"
        case "pattern":
            return f"{path} in body should match '{limit}'"
        case "maxItems" | "maxProperties":
            return f"{path}: Too many: {len(value)}: must have at most {limit} items"
        case "maxLength":
            return f"{path}: Too long: may not be more than {limit} bytes"
    what = _BOUNDS.get(str(problem.validator), lambda *_: str(problem.message))
    return f"{path} in body {what(limit, problem.schema)}"


_BOUNDS: dict[str, Callable[[Any, Any], str]] = {
    "minimum": lambda bound, schema: (
        f"should be greater than {bound:g}"
        if schema.get("exclusiveMinimum")
        else f"should be greater than or equal to {bound:g}"
    ),
    "maximum": lambda bound, schema: (
        f"should be less than {bound:g}"
        if schema.get("exclusiveMaximum")
        else f"should be less than or equal to {bound:.10g}"
    ),
    "minItems": lambda bound, _: f"should have at least {bound} items",
    "minLength": lambda bound, _: f"should be at least {bound} chars long",
}


def _type_name(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "float64", str: "string", list: "array"}
    return names.get(type(value), "object")


def _path(parts: Sequence[str | int]) -> str:
    path = ""
    for part in parts:
        path = f"{path}[{part}]" if isinstance(part, int) else joined(path, part)
    return path
