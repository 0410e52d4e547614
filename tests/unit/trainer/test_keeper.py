"""When checkpoints are uploaded, and what stays; a folder as the store, no engine."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from trainyard.api.report import EpochReport
from trainyard.api.run import RunFile, StoreLocation
from trainyard.stores import AccessDenied, Store, open_store
from trainyard_trainer import checkpoint, keeper
from trainyard_trainer.checkpoint import Resumed
from trainyard_trainer.faults import InvalidRunFile
from trainyard_trainer.keeper import Keeper


def nothing(folder: Path, epoch: int) -> None:
    """Every file can be loaded."""


@dataclass
class Training:
    """Writes `last.pt` in place, an epoch at a time."""

    root: Path
    keeper: Keeper
    history: list[EpochReport]

    def epoch(self) -> None:
        number = len(self.history) + 1
        self.history.append(EpochReport(epoch=number))
        (self.root / "last.pt").write_text(f"epoch {number}")
        self.keeper.keep(self.history, [self.root / "last.pt"], finished=False)

    def stored(self) -> dict[str, str]:
        """Whole checkpoints in the store: epoch -> content of last.pt."""
        folders = (self.root / "output" / "checkpoints").glob("*/checkpoint.json")
        return {path.parent.name: (path.parent / "last.pt").read_text() for path in folders}

    def wait(self) -> None:
        assert self.keeper._thread is not None
        self.keeper._thread.join()


SNAPSHOT = {"name": "shapes", "uri": "file:///snapshot", "digest": "d" * 64}
RUN: dict[str, Any] = {
    "name": "tiny",
    "namespace": "team",
    "uid": "uid",
    "fingerprint": "f" * 64,
    "capability_name": "shape",
    "capability": {
        "type": "ImageClassifierElement",
        "outputs": [{"attribute": "class", "value": "disc", "position": 0}],
    },
    "template_name": "tiny",
    "template": {
        "displayName": "tiny",
        "engine": "yolo-cls",
        "baseModel": {"architecture": "yolo11n"},
        "hyperparameters": {"epochs": 2},
    },
    "datasets": {"train": [SNAPSHOT], "dev": [SNAPSHOT]},
}


@pytest.fixture
def training(tmp_path: Path) -> Callable[..., Training]:
    def make(
        every: float = 0.0, prove: Callable[[Path, int], None] = nothing, **changes: Any
    ) -> Training:
        run = RunFile.model_validate(RUN | {"output": f"file://{tmp_path}/output"} | changes)
        kept = tmp_path / "kept" / str(len(list(tmp_path.glob("kept/*"))))
        kept.mkdir(parents=True)
        made = Keeper(open_store(StoreLocation()), run, kept, prove, every)
        return Training(tmp_path, made, [])

    return make


def test_an_epoch_is_uploaded_when_it_is_time(
    training: Callable[..., Training], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(keeper.time, "monotonic", lambda: now[0])
    made = training(every=300.0)
    made.epoch()
    now[0] = 1299.0
    made.epoch()
    assert made.stored() == {}
    now[0] = 1301.0
    made.epoch()
    made.wait()
    now[0] = 1600.0
    made.epoch()
    assert made.stored() == {"000003": "epoch 3"}
    now[0] = 1601.0
    made.epoch()
    made.wait()
    assert made.stored() == {"000003": "epoch 3", "000005": "epoch 5"}


def test_the_newest_two_stay_in_the_store_and_one_on_disk(
    training: Callable[..., Training],
) -> None:
    made = training()
    for _ in range(4):
        made.epoch()
        made.wait()
    assert made.stored() == {"000003": "epoch 3", "000004": "epoch 4"}
    assert [path.name for path in (made.root / "kept" / "0").iterdir()] == ["000004"]


def test_there_is_one_upload_at_a_time_and_training_does_not_wait(
    training: Callable[..., Training],
) -> None:
    begun: list[int] = []
    go_on = threading.Event()

    def slow(folder: Path, epoch: int) -> None:
        begun.append(epoch)
        assert go_on.wait(20)
        assert (folder / "last.pt").read_text() == f"epoch {epoch}"

    made = training(prove=slow)
    for _ in range(3):
        made.epoch()
    assert begun == [1]
    go_on.set()
    made.wait()
    assert made.stored() == {"000001": "epoch 1"}
    assert [path.name for path in (made.root / "kept" / "0").iterdir()] == ["000003"]


def test_a_stop_gives_up_the_upload_of_an_older_epoch(training: Callable[..., Training]) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def slow(folder: Path, epoch: int) -> None:
        if epoch == 1:
            reached.set()
            assert go_on.wait(20)

    made = training(prove=slow)
    made.epoch()
    assert reached.wait(20)
    made.epoch()
    threading.Timer(0.2, go_on.set).start()
    said = made.keeper.stopped()
    assert said.startswith("stopped after epoch 2 of 2; the checkpoint of epoch 2 is at file://")
    assert made.stored() == {"000002": "epoch 2"}


def test_a_stop_does_not_upload_what_is_there(training: Callable[..., Training]) -> None:
    proved: list[int] = []
    made = training(prove=lambda _, epoch: proved.append(epoch))
    made.epoch()
    assert "the checkpoint of epoch 1 is at" in made.keeper.stopped()
    assert proved == [1]


def test_a_copy_that_cannot_be_loaded_is_not_published(training: Callable[..., Training]) -> None:
    def refuse(folder: Path, epoch: int) -> None:
        if epoch == 2:
            raise InvalidRunFile("last.pt cannot be loaded")

    made = training(prove=refuse)
    made.epoch()
    made.wait()
    made.epoch()
    assert made.keeper.stopped() == (
        "stopped after epoch 2 of 2; its checkpoint could not be stored: last.pt cannot be loaded; "
        f"the checkpoint of epoch 1 is at file://{made.root}/output/checkpoints/000001"
    )
    assert made.stored() == {"000001": "epoch 1"}


def test_a_fault_keeps_the_last_epoch_unless_the_store_failed(
    training: Callable[..., Training],
) -> None:
    made = training(every=300.0)
    made.epoch()
    made.keeper.failed(AccessDenied("refused"))
    assert made.stored() == {}
    made.keeper.failed(MemoryError())
    assert made.stored() == {"000001": "epoch 1"}


def test_a_full_disk_does_not_end_the_training(
    training: Callable[..., Training], caplog: pytest.LogCaptureFixture
) -> None:
    made = training()
    made.history.append(EpochReport(epoch=1))
    made.keeper.keep(made.history, [made.root / "not-written"], finished=False)
    assert made.keeper.stopped() == "stopped after epoch 1 of 2; no checkpoint of it could be kept"


def test_what_another_attempt_left_in_the_same_place_is_never_mixed(
    training: Callable[..., Training],
) -> None:
    first, second, same = training(), training(attempt=2), training()
    first.epoch()
    first.wait()
    second.epoch()
    assert "is the checkpoint of another run or attempt" in second.keeper.stopped()
    # The same attempt, begun again: one epoch is as good as the other.
    (first.root / "output" / "checkpoints" / "000001" / "last.pt").write_text("its own")
    same.epoch()
    assert "the checkpoint of epoch 1 is at" in same.keeper.stopped()
    assert same.stored() == {"000001": "its own"}


def test_a_published_run_removes_the_checkpoints_of_all_its_attempts_and_nothing_else(
    training: Callable[..., Training], tmp_path: Path
) -> None:
    store: Store = open_store(StoreLocation())
    for name in ("one", "two", "other"):
        store.write_bytes(f"file://{tmp_path}/{name}/checkpoints/000001/checkpoint.json", b"{}")
        store.write_bytes(f"file://{tmp_path}/{name}/checkpoints/000001/last.pt", b"x")
    store.write_bytes(f"file://{tmp_path}/one/checkpoints/readme", b"x")
    store.write_bytes(f"file://{tmp_path}/one/train.log", b"x")
    made = training()
    made.keeper.go_on(
        Resumed(
            f"file://{tmp_path}/two/checkpoints/000001",
            1,
            tmp_path,
            (),
            checkpoint.Notes(
                finished=False,
                earlier=(f"file://{tmp_path}/one/checkpoints", f"file://{tmp_path}/other"),
            ),
        )
    )
    made.epoch()
    made.wait()
    made.keeper.forget()
    left = sorted(entry.name for entry in store.list(f"file://{tmp_path}"))
    assert [name for name in left if not name.startswith("kept/")] == [
        "last.pt",
        "one/checkpoints/readme",
        "one/train.log",
        "other/checkpoints/000001/checkpoint.json",
        "other/checkpoints/000001/last.pt",
    ]


def test_the_interval_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRAINYARD_CHECKPOINT_SECONDS", raising=False)
    assert keeper.interval_seconds() == 300
    monkeypatch.setenv("TRAINYARD_CHECKPOINT_SECONDS", "often")
    with pytest.raises(InvalidRunFile, match="TRAINYARD_CHECKPOINT_SECONDS is 'often'"):
        keeper.interval_seconds()
