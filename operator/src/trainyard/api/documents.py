"""Reading and writing the documents that operator, trainer and people exchange."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

_LONGEST_VALUE = 80
"""Characters of a value that are shown."""


class DocumentError(ValueError):
    """A document that cannot be used; the message says which one, where, and why."""


def first_problem(error: ValidationError, *, given: bool = False) -> str:
    """The first thing that is wrong with a document, as `spec.field: what is wrong`.

    Parameters
    ----------
    error
        Of pydantic.
    given
        Whether to show the value, where there is one. It must not be a secret.
    """
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "the document"
    # That of a rule of ours is a sentence of its own.
    problem = f"{where}: {first['msg'].removeprefix('Value error, ')}"
    if not given or first["type"] in ("missing", "value_error"):
        return problem
    return f"{problem} (given: {str(first['input'])[:_LONGEST_VALUE]!r})"


class _NoAliasLoader(yaml.SafeLoader):
    """PyYAML's safe loader, which also refuses aliases and repeated keys.

    An alias lets a document of a few hundred bytes expand to gigabytes.
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise DocumentError(
                f"line {event.start_mark.line + 1}: YAML aliases (*{event.anchor}) are not allowed"
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise DocumentError(
                    f"line {key_node.start_mark.line + 1}: the key {key!r} is given twice"
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def load_yaml(text: str | bytes, name: str = "document") -> Any:
    """Plain values of one YAML document.

    Parameters
    ----------
    text
        The document, UTF-8.
    name
        What to call it in an error, for example its file name.

    Raises
    ------
    DocumentError
        If it is not YAML, has an alias, or gives a key twice.
    """
    with _named(name):
        return yaml.load(text, Loader=_NoAliasLoader)  # noqa: S506 -- derived from SafeLoader


def load_documents(text: str, name: str = "document") -> Iterator[tuple[int, Any]]:
    """Plain values of each YAML document of a text, with the line on which it begins.

    Empty documents are left out.

    Raises
    ------
    DocumentError
        As `load_yaml`.
    """
    with _named(name):
        loader = _NoAliasLoader(text)
        try:
            while loader.check_data():  # type: ignore[no-untyped-call]
                line = loader.peek_event().end_mark.line + 1  # type: ignore[no-untyped-call]
                value = loader.get_data()
                if value is not None:
                    yield line, value
        finally:
            loader.dispose()


def dump_yaml(value: Any) -> str:
    """`value` as YAML that people can read: keys in the order given, no aliases."""

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
            return True

    return yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)


def canonical_json(value: BaseModel | dict[str, Any] | list[Any]) -> bytes:
    """The one JSON spelling of `value`: sorted keys, no spaces, UTF-8, absent instead of null."""
    plain = (
        value.model_dump(mode="json", by_alias=True, exclude_none=True)
        if isinstance(value, BaseModel)
        else value
    )
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(value: BaseModel | dict[str, Any] | list[Any]) -> str:
    """SHA-256 of `canonical_json`, 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Errors of YAML as `DocumentError` that begins with the document's name."""
    try:
        yield
    except DocumentError as error:
        raise DocumentError(f"{name}: {error}") from None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        # ValueError: a date such as 2026-99-99, a number of thousands of digits, bytes that are
        # not UTF-8. TypeError: a list as a key.
        raise DocumentError(f"{name}: not valid YAML: {_one_line(error)}") from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
