import hashlib
from datetime import UTC, datetime

import pytest

from trainyard.api.manifest import (
    ArtefactManifest,
    ArtefactRole,
    CheckpointManifest,
    SplitMetrics,
    StoredFile,
)
from trainyard.stores import ArtefactMismatch, Store, join, verify_manifest
from trainyard.stores.verify import newest_checkpoint


def publish(store: Store, place: str, **changes: object) -> str:
    files = tuple(
        store.write_bytes(join(place, name), name.encode() * 1000)
        for name in ("model.pth", "train.log")
    )
    values: dict[str, object] = {
        "uid": "u",
        "attempt": 1,
        "run_digest": "a" * 64,
        "fingerprint": "f",
        "files": files,
        "roles": {ArtefactRole.WEIGHTS: "model.pth"},
        "primary_metric": "top-1",
        "dev": SplitMetrics(metrics={"top-1": 0.9}, samples=10),
        "epochs_trained": 3,
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    data = ArtefactManifest.model_validate(values | changes).model_dump_json(by_alias=True).encode()
    store.write_bytes(join(place, "manifest.json"), data)
    return hashlib.sha256(data).hexdigest()


def test_a_whole_run_is_verified(store: Store, place: str) -> None:
    digest = publish(store, place)
    assert verify_manifest(store, place, digest).uid == "u"
    assert verify_manifest(store, place).epochs_trained == 3


def test_a_run_without_manifest_was_not_published(store: Store, place: str) -> None:
    with pytest.raises(ArtefactMismatch, match="the run was not published"):
        verify_manifest(store, place)


def test_another_manifest_than_the_trainer_reported_is_refused(store: Store, place: str) -> None:
    publish(store, place)
    with pytest.raises(ArtefactMismatch, match="but the trainer reported 0000"):
        verify_manifest(store, place, "0" * 64)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"model.pth" * 1000 + b"x", "has 9001 bytes, the manifest says 9000"),
        (b"modelxpth" * 1000, "has the SHA-256"),
    ],
    ids=["another size", "another content of the same size"],
)
def test_a_file_that_is_not_what_the_manifest_says_is_named(
    store: Store, place: str, content: bytes, said: str
) -> None:
    publish(store, place)
    store.write_bytes(join(place, "model.pth"), content)
    with pytest.raises(ArtefactMismatch, match=r"model\.pth " + said):
        verify_manifest(store, place)


def test_a_missing_file_is_named(store: Store, place: str) -> None:
    missing = StoredFile(name="model.zip", sha256="a" * 64, size_bytes=1)
    publish(store, place, files=(missing,), roles={})
    with pytest.raises(ArtefactMismatch, match=r"model\.zip is in the manifest and does not exist"):
        verify_manifest(store, place)


def test_a_role_must_point_to_a_file(store: Store, place: str) -> None:
    publish(store, place, roles={ArtefactRole.WEIGHTS: "other.pth"})
    with pytest.raises(ArtefactMismatch, match=r"the role weights points to 'other\.pth'"):
        verify_manifest(store, place)


def test_a_file_of_the_name_that_is_no_manifest_is_refused(store: Store, place: str) -> None:
    store.write_bytes(join(place, "manifest.json"), b'{"uid": "u"}')
    with pytest.raises(ArtefactMismatch, match="is no manifest: attempt: Field required"):
        verify_manifest(store, place)


def checkpoint(store: Store, place: str, epoch: int, **changes: object) -> str:
    """Write a checkpoint; its folder."""
    folder = join(place, "checkpoints", f"{epoch:06d}")
    files = (store.write_bytes(join(folder, "last.pt"), bytes([epoch]) * 1000),)
    values: dict[str, object] = {
        "uid": "u",
        "attempt": 1,
        "fingerprint": "f",
        "epoch": epoch,
        "epochs": 9,
        "files": files,
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    made = CheckpointManifest.model_validate(values | changes)
    store.write_bytes(join(folder, "checkpoint.json"), made.model_dump_json(by_alias=True).encode())
    return folder


class TestNewestCheckpoint:
    def test_is_found_with_its_digest(self, store: Store, place: str) -> None:
        checkpoint(store, place, 3)
        folder = checkpoint(store, place, 12)
        found = newest_checkpoint(store, place, "u")
        assert found is not None
        location, sha256, manifest = found
        assert (location, manifest.epoch) == (folder, 12)
        document = store.read_bytes(join(folder, "checkpoint.json"))
        assert sha256 == hashlib.sha256(document).hexdigest()

    def test_is_the_one_before_when_the_last_was_not_uploaded_whole(
        self, store: Store, place: str
    ) -> None:
        checkpoint(store, place, 3)
        store.write_bytes(join(checkpoint(store, place, 4), "last.pt"), b"cut off")
        store.write_bytes(
            join(place, "checkpoints/000005/last.pt"), b"its checkpoint.json never came"
        )
        store.write_bytes(join(place, "checkpoints/000006/checkpoint.json"), b"no json")
        found = newest_checkpoint(store, place, "u")
        assert found is not None and found[2].epoch == 3

    def test_of_another_process_does_not_count(self, store: Store, place: str) -> None:
        checkpoint(store, place, 3, uid="another")
        assert newest_checkpoint(store, place, "u") is None

    def test_is_none_where_nothing_was_written(self, store: Store, place: str) -> None:
        assert newest_checkpoint(store, place, "u") is None
