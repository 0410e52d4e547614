"""Rows of the admission tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pytest
from admission_server import Refused, Server, fresh

from trainyard.api.meta import Json
from trainyard.cli.manifests.admission import admit


@dataclass(frozen=True)
class Accepted:
    """An object that the API server takes."""

    sentence: str
    manifest: Json


@dataclass(frozen=True)
class Refusal:
    """An object that the API server refuses, and what a person reads."""

    sentence: str
    manifest: Json
    message: str


@dataclass(frozen=True)
class Edit:
    """A merge patch of an object that is there; `message` None: it is taken."""

    sentence: str
    before: Json
    change: Json
    message: str | None = None


def table(rows: Iterable[Accepted | Refusal | Edit]) -> pytest.MarkDecorator:
    """Parametrisation over rows, each under its sentence."""
    rows = list(rows)
    return pytest.mark.parametrize("row", rows, ids=[row.sentence for row in rows])


def check_accepted(server: Server, row: Accepted) -> Json:
    """The API server takes the row's object, and so does the command line; it as stored."""
    made, problems = admit(row.manifest)
    assert problems == []
    stored = server.create(row.manifest, dry_run=True)
    assert made["spec"] == stored["spec"]
    return stored


def check_refused(server: Server, row: Refusal) -> None:
    """The API server and the command line refuse the row's object with the row's message."""
    with pytest.raises(Refused) as caught:
        server.create(row.manifest, dry_run=True)
    assert any(row.message in problem for problem in admit(row.manifest)[1])
    assert row.message in caught.value.message
    assert caught.value.status in (400, 422)


def check_edit(server: Server, row: Edit) -> None:
    """The API server takes or refuses the change, and nothing changes when it refuses."""
    manifest = fresh(row.before)
    before = server.create(manifest)
    try:
        if row.message is None:
            after = server.patch(manifest, {"spec": row.change})
            assert after["spec"] != before["spec"], "the change changed nothing"
        else:
            with pytest.raises(Refused) as caught:
                server.patch(manifest, {"spec": row.change})
            assert row.message in caught.value.message
            assert caught.value.status == 422
            assert server.get(manifest)["spec"] == before["spec"]
    finally:
        server.delete(manifest)
