"""Which pickles of a training's folder are opened: those that its training wrote."""

from __future__ import annotations

from pathlib import Path

from trainyard.stores.digests import sha256_of
from trainyard_trainer.engines.classify import Classifier
from trainyard_trainer.folder import record


def test_only_what_a_training_wrote_is_known(tmp_path: Path) -> None:
    for name in ("best.pt", "last.pt", "stranger.pt"):
        (tmp_path / name).write_bytes(name.encode())
    path = tmp_path / "checkpoints.json"
    for _ in range(2):
        record.add(path, tmp_path, tmp_path, Classifier.checkpoint_files)
    known = record.read(path)
    assert sorted(item.path for item in known.checkpoints) == ["best.pt", "last.pt"]
    assert known.knows(sha256_of(tmp_path / "best.pt"))
    assert not known.knows(sha256_of(tmp_path / "stranger.pt"))


def test_a_checkpoint_that_was_written_over_is_still_known(tmp_path: Path) -> None:
    # A copy of it may be what is evaluated.
    path, best = tmp_path / "checkpoints.json", tmp_path / "best.pt"
    digests = []
    for content in (b"first", b"second"):
        best.write_bytes(content)
        digests.append(sha256_of(best))
        record.add(path, tmp_path, tmp_path, Classifier.checkpoint_files)
    assert all(record.read(path).knows(digest) for digest in digests)


def test_what_is_not_there_and_a_damaged_record_are_no_error(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints.json"
    path.write_text("{")
    record.add(path, tmp_path, tmp_path, Classifier.checkpoint_files)
    assert record.read(path) == record.Record()
