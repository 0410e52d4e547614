"""What every API type shares: camelCase on the wire, docstrings as descriptions, CEL rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StringConstraints,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
SHA256_PATTERN = r"^[0-9a-f]{64}$"

# Control characters of both ranges, line and paragraph separators, and the characters that
# reorder bidirectional text, which make a name look like another one.
_NEVER = r"\x7f-\x9f\x{2028}-\x{202e}\x{2066}-\x{2069}"
LINE_PATTERN = rf"^[^\x00-\x1f{_NEVER}]*$"
TEXT_PATTERN = rf"^[^\x00-\x08\x0b-\x1f{_NEVER}]*$"
WORD_PATTERN = rf"[^\x00-\x20{_NEVER}]+"
"""Characters of a URL; without anchors, because a scheme stands before it."""

MESSAGE_KEY = "x-trainyard-message"


@dataclass(frozen=True)
class Says:
    """Sentence that a person reads in place of a regular expression that a value did not match.

    Stands beside the pattern in `Annotated`; the CRD generator makes a CEL rule of the two.
    """

    message: str

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """The type's own schema with the sentence added."""
        return {**handler(core_schema), MESSAGE_KEY: self.message}


_NO_CONTROLS = "control characters and characters that reorder text are not allowed"

Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=63, pattern=NAME_PATTERN),
    Says(
        "a name has lower-case letters, digits and '-' only, and neither starts nor ends with '-'"
    ),
]
"""Name of an object in the same namespace (an RFC 1123 label: it becomes a label value)."""

Sha256 = Annotated[
    str,
    StringConstraints(max_length=64, pattern=SHA256_PATTERN),
    Says("a SHA-256 digest has 64 lower-case hexadecimal digits"),
]
"""A SHA-256 digest, 64 lower-case hexadecimal digits."""

Text = Annotated[
    str, StringConstraints(max_length=1024, pattern=TEXT_PATTERN), Says(f"text: {_NO_CONTROLS}")
]
"""Free text for people, without control characters (tabs and line feeds are allowed)."""

Line = Annotated[str, StringConstraints(pattern=LINE_PATTERN), Says(f"one line: {_NO_CONTROLS}")]
"""One line of text; the bound is given where it is used."""

Label = Annotated[
    str,
    StringConstraints(min_length=1, max_length=128, pattern=LINE_PATTERN),
    Says(f"one line: {_NO_CONTROLS}"),
]
"""An attribute or a value: one line of text, any script."""

ListedLabel = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=LINE_PATTERN)]
"""A Label in a list of a list: there a rule with a sentence would cost more than the API server's
budget, so that a person reads the bare pattern."""


class ApiModel(BaseModel):
    """Base of all API types.

    On the wire the names are camelCase; in Python they are snake_case. Instances are frozen:
    what was read stays what was read. Unknown fields are ignored when an object is read from
    the API server (which has refused or pruned them) and refused by `StrictModel`.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
        frozen=True,
        extra="ignore",
    )

    def to_wire(self) -> dict[str, Any]:
        """Plain JSON values under their wire names; fields that are None are left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class StrictModel(ApiModel):
    """Base of the documents that Trainyard itself writes and reads: unknown fields are errors."""

    model_config = ConfigDict(extra="forbid")


M = TypeVar("M", bound=type[BaseModel])


def rule(expression: str, message: str, field_path: str | None = None) -> dict[str, str]:
    """One CEL validation rule as the CRD schema spells it."""
    made = {"rule": expression, "message": message}
    if field_path is not None:
        made["fieldPath"] = field_path
    return made


def rules(*items: dict[str, str]) -> dict[str, Any]:
    """Schema extra that carries CEL rules; goes into `json_schema_extra`."""
    return {"x-kubernetes-validations": list(items)}


def map_list(*keys: str) -> dict[str, Any]:
    """Schema extra of a list whose items are identified by `keys`."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


def set_list() -> dict[str, Any]:
    """Schema extra of a list of unique scalars."""
    return {"x-kubernetes-list-type": "set"}


def atomic_list() -> dict[str, Any]:
    """Schema extra of a list that is always replaced as a whole."""
    return {"x-kubernetes-list-type": "atomic"}


def unchanged(*fields: str) -> list[dict[str, str]]:
    """Rules of a parent that freeze the fields named in their wire spelling.

    They stand on the parent because a transition rule on an optional field is not evaluated
    when the field is added or removed.
    """
    return [
        rule(
            f"has(self.{field}) == has(oldSelf.{field}) && "
            f"(!has(self.{field}) || self.{field} == oldSelf.{field})",
            f"{field} cannot be changed after creation",
        )
        for field in fields
    ]


PositiveInt32 = Annotated[int, Field(ge=1, le=2147483647)]
NonNegativeInt32 = Annotated[int, Field(ge=0, le=2147483647)]
