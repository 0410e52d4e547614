"""From pydantic to structural schemas: each translation, and each thing that cannot be said."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import pytest
from pydantic import Field, StringConstraints

from trainyard.api._base import ApiModel, Says
from trainyard.api.schema import SchemaError, structural_schema


def schema_of(annotation: Any, default: Any = ...) -> dict[str, Any]:
    """Schema of the one field of a model."""
    model = type(
        "Model",
        (ApiModel,),
        {"__annotations__": {"field_one": annotation}, "field_one": Field(default)},
    )
    made = structural_schema(model, defaults=True)
    field: dict[str, Any] = made["properties"]["fieldOne"]
    return field


def test_field_that_may_be_absent_is_no_union_with_null() -> None:
    assert schema_of(str | None, None) == {"type": "string"}


def test_exclusive_bounds_become_a_bound_and_a_flag() -> None:
    assert schema_of(Annotated[float, Field(gt=0, lt=1)]) == {
        "type": "number",
        "minimum": 0,
        "exclusiveMinimum": True,
        "maximum": 1,
        "exclusiveMaximum": True,
    }


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [({"ge": 0, "le": 2**31 - 1}, "int32"), ({"ge": 0, "le": 2**31}, "int64"), ({}, "int64")],
)
def test_integers_name_the_smallest_format_that_holds_them(
    bounds: dict[str, int], expected: str
) -> None:
    assert schema_of(Annotated[int, Field(**bounds)])["format"] == expected  # type: ignore[arg-type]


def test_times_keep_their_format() -> None:
    assert schema_of(datetime) == {"type": "string", "format": "date-time"}


class Inner(ApiModel):
    """Text in
    two lines."""

    number: int = 3
    """A number."""


def test_references_are_inlined_and_descriptions_are_one_line() -> None:
    assert schema_of(Inner) == {
        "type": "object",
        "description": "Text in two lines.",
        "properties": {
            "number": {
                "type": "integer",
                "format": "int64",
                "default": 3,
                "description": "A number.",
            }
        },
    }


def test_object_default_is_left_to_its_fields() -> None:
    assert schema_of(Inner, Inner())["default"] == {}


def test_object_default_that_its_fields_do_not_make_is_refused() -> None:
    with pytest.raises(SchemaError, match=r"Model\.fieldOne: its default differs from its fields'"):
        schema_of(Inner, Inner(number=4))


def test_pattern_with_a_sentence_becomes_a_rule() -> None:
    text = Annotated[str, StringConstraints(pattern="^a+$"), Says("only the letter a")]
    assert schema_of(text) == {
        "type": "string",
        "x-kubernetes-validations": [
            {"rule": 'self.matches(r"^a+$")', "message": "only the letter a"}
        ],
    }


def test_pattern_without_a_sentence_stays_a_pattern() -> None:
    assert schema_of(Annotated[str, StringConstraints(pattern="^a+$")])["pattern"] == "^a+$"


def test_keys_of_a_map_are_checked_by_a_rule() -> None:
    key = Annotated[str, StringConstraints(max_length=9, pattern="^a+$"), Says("keys are only a")]
    made = schema_of(dict[key, str])  # type: ignore[valid-type]
    assert made["additionalProperties"] == {"type": "string"}
    assert made["x-kubernetes-validations"] == [
        {
            "rule": 'self.all(key, size(key) <= 9 && key.matches(r"^a+$"))',
            "message": "keys are only a",
        }
    ]


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (int | str, "a union of 2 types"),
        (dict[str, str], "the keys of a map need a pattern"),
        (Annotated[float, Field(multiple_of=2)], "a CRD has no place for multipleOf"),
    ],
)
def test_what_a_crd_cannot_say_is_refused_rather_than_lost(annotation: Any, message: str) -> None:
    with pytest.raises(SchemaError, match=f"Model.fieldOne: {message}"):
        schema_of(annotation)


def test_defaults_are_left_out_where_they_are_not_wanted() -> None:
    made = structural_schema(Inner, defaults=False)
    assert "default" not in made["properties"]["number"]
