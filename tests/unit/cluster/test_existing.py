"""Models of the same inputs: found in the cache, believed only when the store agrees."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.builders import SETTINGS, facts, manifest, process, trained_model
from trainyard.cluster import existing
from trainyard.cluster.artefacts import ArtefactReader
from trainyard.cluster.cache import Cache
from trainyard.cluster.existing import ExistingRuns
from trainyard.cluster.resources import MODEL
from trainyard.cluster.typed import TypedCache
from trainyard.decide.facts import ExistingRun, ProcessFacts, Unavailable
from trainyard.decide.reuse import wanted_fingerprint
from trainyard.stores.errors import StoreUnavailable
from trainyard.stores.folder import FolderStore

WEIGHTS = b"weights"
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()


class Away(FolderStore):
    """A store that may not answer."""

    away = False
    reads = 0

    def read_bytes(self, uri: str, *arguments: Any, **more: Any) -> bytes:
        self.reads += 1
        if self.away:
            raise StoreUnavailable("no answer from the store")
        return super().read_bytes(uri, *arguments, **more)


class World:
    def __init__(self, folder: Path) -> None:
        self.root = f"file://{folder}"
        self.store, self.cache = Away(), Cache()
        settings = replace(SETTINGS, store_root=self.root)
        self.facts: ProcessFacts = facts(process=process(onExistingRun="Reuse"), settings=settings)
        self.mark = wanted_fingerprint(self.facts) or ""
        self.runs = ExistingRuns(
            self.cache, TypedCache(self.cache), ArtefactReader(self.store), settings
        )

    def model(self, name: str, namespace: str = "demo", **changes: Any) -> None:
        """A TrainedModel with its files in the store."""
        location = f"{self.root}/runs/{namespace}/{name}/1"
        uri = f"{location}/model.pth"
        weights = {"uri": uri, "sha256": SHA256, "sizeBytes": len(WEIGHTS)}
        raw = trained_model(
            name,
            fingerprint=self.mark,
            artefacts={"location": location, "weights": weights},
        ).to_wire()
        raw["metadata"]["namespace"] = namespace
        self.cache.put(MODEL, raw)
        files = [{"name": "model.pth", "sha256": SHA256, "size_bytes": len(WEIGHTS)}]
        values = {"files": files, "roles": {"weights": "model.pth"}, "fingerprint": self.mark}
        made = manifest(**{**values, **changes})
        self.store.write_bytes(uri, WEIGHTS)
        self.store.write_bytes(f"{location}/manifest.json", made.model_dump_json().encode())

    def found(self) -> str | None:
        found = self.runs.like(self.facts)
        return found.model if isinstance(found, ExistingRun) else None


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_whole_model_of_the_namespace_is_found(world: World) -> None:
    assert world.runs.like(world.facts) is None
    world.model("older")
    assert world.found() == "older"


def test_model_of_another_namespace_is_not(world: World) -> None:
    world.model("older", namespace="other-team")
    assert world.found() is None


def test_model_whose_file_has_changed_is_passed_over_for_one_that_is_whole(world: World) -> None:
    world.model("a-whole")
    world.model("b-broken")
    world.store.write_bytes(f"{world.root}/runs/demo/b-broken/1/model.pth", b"w-eight")
    assert world.found() == "a-whole"


def test_model_that_only_claims_the_inputs_is_not_taken(world: World) -> None:
    world.model("liar", fingerprint="0" * 64)
    assert world.found() is None


def test_store_that_does_not_answer_is_no_reason_to_train(world: World) -> None:
    world.model("older")
    world.store.away = True
    assert world.runs.like(world.facts) == Unavailable(
        "the artefacts cannot be verified yet: no answer from the store"
    )


def test_what_was_passed_over_is_not_read_again_for_the_same_process(world: World) -> None:
    world.model("broken")
    world.store.write_bytes(f"{world.root}/runs/demo/broken/1/model.pth", b"w-eight")
    assert world.found() is None
    reads = world.store.reads
    assert world.found() is None
    assert world.store.reads == reads
    world.store.write_bytes(f"{world.root}/runs/demo/broken/1/model.pth", WEIGHTS)
    world.facts = replace(world.facts, process=process(onExistingRun="Reuse", uid="another"))
    assert world.found() == "broken"


def test_store_that_did_not_answer_is_asked_again(world: World) -> None:
    world.model("older")
    world.store.away = True
    world.runs.like(world.facts)
    world.store.away = False
    assert world.found() == "older"


def test_what_is_remembered_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(existing, "REMEMBERED", 2)
    world.model("liar", fingerprint="0" * 64)
    for uid in "abcd":
        world.facts = replace(world.facts, process=process(onExistingRun="Reuse", uid=uid))
        world.found()
    assert len(world.runs._passed_over) == 2


def test_model_at_no_place_of_a_store_is_passed_over(world: World) -> None:
    """Users may make one; it must not have their runs wait for a store that will not answer."""
    location = f"{world.root}/runs/demo/../../runs/demo/x/1"
    artefacts = {"location": location, "weights": None}
    world.cache.put(
        MODEL, trained_model("odd", fingerprint=world.mark, artefacts=artefacts).to_wire()
    )
    assert world.runs.like(world.facts) is None


def test_nothing_is_read_for_a_process_that_always_trains(world: World) -> None:
    world.model("older")
    world.store.away = True
    assert world.runs.like(replace(world.facts, process=process())) is None
