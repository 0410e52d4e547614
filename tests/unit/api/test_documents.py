"""Reading and writing the documents that operator, trainer and people exchange."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, Field, ValidationError, model_validator

from trainyard.api.documents import (
    DocumentError,
    canonical_json,
    digest,
    dump_yaml,
    first_problem,
    load_yaml,
)
from trainyard.api.meta import Condition, ConditionStatus
from trainyard.api.report import LastWords

BOMB = "a: &a [x, x]\n" + "".join(
    f"{name}: &{name} [*{before}, *{before}]\n"
    for before, name in zip("abcdefg", "bcdefgh", strict=True)
)

REFUSED: dict[str, tuple[str | bytes, str]] = {
    "an alias": ("a: &x 1\nb: *x\n", r"run\.yaml: line 2: YAML aliases \(\*x\) are not allowed"),
    "an alias bomb": (BOMB, "line 2: YAML aliases"),
    "a merge of an alias": ("a: &x {k: 1}\nb:\n  <<: *x\n", "line 3: YAML aliases"),
    "a key that is given twice": ("a: 1\nb: 2\na: 3\n", "line 3: the key 'a' is given twice"),
    "a nested key that is given twice": ("a:\n  b: 1\n  b: 2\n", "the key 'b' is given twice"),
    "an unclosed bracket": ("a: [1\n", "not valid YAML"),
    "two documents": ("a: 1\n---\nb: 2\n", "not valid YAML"),
    "a tag that makes objects": ("a: !!python/object/apply:os.system [ls]\n", "not valid YAML"),
    "bytes that are not UTF-8": (b"a: \xff\xff\n", "not valid YAML"),
    "a control character": ("a: \x00\n", "not valid YAML"),
    "a date that does not exist": ("a: 2026-99-99\n", "not valid YAML"),
    "a list as a key": ("? [a, b]\n: 1\n", "not valid YAML"),
    "a number of thousands of digits": ("a: " + "9" * 5000, "not valid YAML"),
    "brackets without an end": ("[" * 5000, "not valid YAML"),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_with_one_line_that_names_the_file(text: str | bytes, message: str) -> None:
    with pytest.raises(DocumentError, match=message) as caught:
        load_yaml(text, "run.yaml")
    assert str(caught.value).startswith("run.yaml: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1\nb: [x, 2.5, true, null]\n", {"a": 1, "b": ["x", 2.5, True, None]}),
        ("a: &unused 1\n", {"a": 1}),
        ("", None),
        ("name: Ünïcode 数字\n".encode(), {"name": "Ünïcode 数字"}),
        ("\ufeffa: 1\n", {"a": 1}),
        ("a: 1\r\nb: 2\r\n", {"a": 1, "b": 2}),
    ],
)
def test_read(text: str | bytes, value: Any) -> None:
    assert load_yaml(text) == value


def test_what_is_written_is_read_back_in_order_and_without_aliases() -> None:
    shared = {"x": 1}
    value = {"z": shared, "a": shared, "text": "line\nline", "n": None, "数": "字"}
    text = dump_yaml(value)
    assert load_yaml(text) == value
    assert list(load_yaml(text)) == list(value)
    assert "&" not in text and "*" not in text
    assert "数" in text


class TestDigest:
    def test_does_not_depend_on_the_order_of_keys(self) -> None:
        assert digest({"a": 1, "b": {"c": 2, "d": 3}}) == digest({"b": {"d": 3, "c": 2}, "a": 1})

    def test_depends_on_the_order_of_lists_and_on_every_value(self) -> None:
        values: list[Any] = [
            {"a": [1, 2]},
            {"a": [2, 1]},
            {"a": [1, "2"]},
            {"a": [1, 2, None]},
            {"b": [1, 2]},
            [],
            {},
        ]
        assert len({digest(value) for value in values}) == len(values)

    def test_is_fixed(self) -> None:
        assert digest({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"

    def test_of_a_model_is_that_of_its_wire_form(self) -> None:
        words = LastWords(reason="BadData")
        assert digest(words) == digest(words.to_wire())
        assert canonical_json(words) == b'{"logTail":"","message":"","reason":"BadData"}'

    def test_spells_text_as_utf_8(self) -> None:
        assert canonical_json({"a": "字"}) == '{"a":"字"}'.encode()

    def test_of_a_time_is_that_of_its_spelling(self) -> None:
        made = Condition(
            type="Ready",
            status=ConditionStatus.TRUE,
            reason="r",
            last_transition_time=datetime(2026, 11, 23, tzinfo=UTC),
        )
        assert b'"lastTransitionTime":"2026-11-23T00:00:00Z"' in canonical_json(made)


class Inner(BaseModel):
    epochs: int = Field(ge=1)


class Whole(BaseModel):
    parts: list[Inner]
    most: int = 9

    @model_validator(mode="after")
    def few(self) -> Whole:
        if len(self.parts) > self.most:
            raise ValueError(f"{len(self.parts)} parts are more than most, which is {self.most}")
        return self


@pytest.mark.parametrize(
    ("document", "said", "shown"),
    [
        (
            {"parts": [{"epochs": 1}, {"epochs": "x" * 100}]},
            "parts.1.epochs: Input should be a valid integer, unable to parse string as an integer",
            f" (given: {'x' * 80!r})",
        ),
        ({"parts": [{}]}, "parts.0.epochs: Field required", ""),
        (
            {"parts": [{"epochs": 1}], "most": 0},
            "the document: 1 parts are more than most, which is 0",
            "",
        ),
        (
            7,
            "the document: Input should be a valid dictionary or instance of Whole",
            " (given: '7')",
        ),
    ],
    ids=["a wrong value", "a missing one", "a rule about several fields", "no document at all"],
)
def test_the_first_problem_of_a_document_is_told_where_it_is_and_with_its_value_if_asked_for(
    document: Any, said: str, shown: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        Whole.model_validate(document)
    assert first_problem(caught.value) == said
    assert first_problem(caught.value, given=True) == said + shown
