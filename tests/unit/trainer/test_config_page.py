"""docs/config-yaml.md names every field of config.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from trainyard_trainer.config import ModelConfig

PAGE = (Path(__file__).parents[3] / "docs" / "config-yaml.md").read_text()
TOLD_TOGETHER = {
    "exports.torchscript",  # has the fields of exports.onnx
    "metrics.dev",  # "`metrics` (name: number) and `samples`"
    "metrics.test",
    "lineage.train[]",
    "lineage.dev[]",
    "lineage.test[]",
}


def fields(kind: type[BaseModel], above: str = "") -> Iterator[str]:
    for name, info in kind.model_fields.items():
        path = f"{above}{info.serialization_alias or info.alias or name}"
        inner, mark = next(((x, m) for x, m in models_of(info.annotation)), (None, ""))
        if inner is None or f"{path}{mark}" in TOLD_TOGETHER:
            yield path
        else:
            yield from fields(inner, f"{path}{mark}.")


def models_of(annotation: Any, mark: str = "") -> Iterator[tuple[type[BaseModel], str]]:
    """The model that a field holds, and how the page writes the way to it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, mark
    origin = getattr(annotation, "__origin__", None)
    inside = {tuple: "[]", dict: ".onnx"}.get(origin, mark) if origin else mark
    for argument in get_args(annotation):
        yield from models_of(argument, inside)


@pytest.mark.parametrize("field", sorted(fields(ModelConfig)))
def test_each_field_has_its_place_in_the_page(field: str) -> None:
    assert re.search(rf"^\|.*`{re.escape(field)}`.*\|", PAGE, re.MULTILINE), field
