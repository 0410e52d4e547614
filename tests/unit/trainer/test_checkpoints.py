"""Runs that are stopped or killed, and go on: real training, real signals, real stores."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tests.unit.labelled import BUCKET
from tests.unit.trainer.pods import Bench, Ended, Operator, sealed
from trainyard.api.manifest import CheckpointManifest
from trainyard.api.report import ExitCode, ProgressReport
from trainyard.stores import Store, join, verify_manifest
from trainyard_trainer import model

EPOCHS = 6
IMAGES = 16


def place(output: str, epoch: int) -> str:
    return join(output, "checkpoints", f"{epoch:06d}")


def verified(store: Store, location: str) -> tuple[CheckpointManifest, str]:
    """The checkpoint.json of a whole checkpoint, and its digest."""
    data = store.read_bytes(join(location, "checkpoint.json"))
    manifest = CheckpointManifest.model_validate_json(data)
    for file in manifest.files:
        found = store.read_bytes(join(location, file.name), limit=1 << 30)
        assert (hashlib.sha256(found).hexdigest(), len(found)) == (file.sha256, file.size_bytes)
    return manifest, hashlib.sha256(data).hexdigest()


def going_on(document: dict[str, Any], store: Store, location: str) -> dict[str, Any]:
    """The next attempt, as the operator writes it."""
    manifest, sha256 = verified(store, location)
    return document | {
        "attempt": document.get("attempt", 1) + 1,
        "output": document["output"] + "-next",
        "resume": {"location": location, "sha256": sha256, "epoch": manifest.epoch},
    }


def epochs_in(log: str) -> list[int]:
    """Numbers of the epochs that a log tells of."""
    return sorted({int(number) for number in re.findall(r"INFO epoch (\d+) of", log)})


@contextmanager
def signal_at(words: str) -> Iterator[None]:
    """SIGTERM to this process when its log says so."""

    class Trigger(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if words in record.getMessage():
                os.kill(os.getpid(), signal.SIGTERM)

    trigger = Trigger()
    logging.getLogger("trainyard").addHandler(trigger)
    yield
    logging.getLogger("trainyard").removeHandler(trigger)


@dataclass(frozen=True)
class StoppedRun:
    """A run that was told to stop, twice, in the middle of an epoch."""

    engine: str
    document: dict[str, Any]
    ended: Ended
    epoch: int

    @property
    def location(self) -> str:
        return place(self.document["output"], self.epoch)


@pytest.fixture(scope="module", params=["yolo-cls", "yolo-det", "yolo-seg"])
def stopped(request: pytest.FixtureRequest, bench: Bench) -> StoppedRun:
    document = bench.document(request.param)
    document["template"] = bench.template(
        request.param, epochs=EPOCHS, patience=0, warmupEpochs=0, imageSize=96
    )
    process = bench.start("run", sealed(document))
    assert process.stdout is not None
    for line in process.stdout:
        if "epoch 2 of 6" in line:
            break
    process.send_signal(signal.SIGTERM)
    time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    ended = bench.finish(process)
    log = bench.store.read_bytes(join(document["output"], "train.log")).decode()
    return StoppedRun(request.param, document, ended, epochs_in(log)[-1])


def test_a_stopped_run_leaves_a_whole_checkpoint_and_says_where(
    stopped: StoppedRun, bench: Bench
) -> None:
    ended, document = stopped.ended, stopped.document
    assert (ended.code, ended.words.reason) == (ExitCode.STOPPED, "Stopped"), ended.output
    assert 2 <= stopped.epoch < EPOCHS
    assert ended.words.message == (
        f"stopped after epoch {stopped.epoch} of 6; the checkpoint of epoch {stopped.epoch} is at "
        f"{stopped.location}"
    )
    manifest, _ = verified(bench.store, stopped.location)
    assert (manifest.uid, manifest.attempt) == (document["uid"], 1)
    assert (manifest.fingerprint, manifest.epoch, manifest.epochs) == ("f" * 64, stopped.epoch, 6)
    assert {file.name for file in manifest.files} == {
        "last.pt",
        "best.pt",
        "metrics.jsonl",
        "training.json",
    }
    assert bench.store.stat(join(document["output"], "manifest.json")) is None


def test_the_last_words_of_a_stop_carry_the_end_of_the_log(stopped: StoppedRun) -> None:
    lines = stopped.ended.words.log_tail.splitlines()
    assert f"epoch {stopped.epoch} of 6: train loss" in "".join(lines)
    assert stopped.ended.words.message in lines[-1]


def test_a_resumed_run_trains_only_what_is_left(
    stopped: StoppedRun, bench: Bench, run_here: Callable[[str], Ended], tmp_path: Path
) -> None:
    operator = Operator()
    (tmp_path / "token").write_text("token")
    document = going_on(stopped.document, bench.store, stopped.location) | {
        "progress": {
            "url": f"http://{operator.address}",
            "token_path": str(tmp_path / "token"),
            "interval_seconds": 0.05,
        }
    }
    # As after a GPU ran out of memory.
    document["template"] = bench.template(
        stopped.engine, epochs=EPOCHS, patience=0, warmupEpochs=0, imageSize=96, batchSize=4
    )
    before = bench.store.read_bytes(join(stopped.location, "metrics.jsonl")).decode().splitlines()
    ended = run_here(sealed(document))
    operator.close()
    assert ended.code == ExitCode.OK, ended.output
    log = bench.store.read_bytes(join(document["output"], "train.log")).decode()
    assert epochs_in(log) == list(range(stopped.epoch + 1, EPOCHS + 1))

    manifest = verify_manifest(bench.store, document["output"], ended.words.manifest_sha256)
    assert manifest.epochs_trained == EPOCHS
    for file in manifest.files:
        bench.store.download(join(document["output"], file.name), tmp_path / "got" / file.name)
    lines = (tmp_path / "got" / "metrics.jsonl").read_text().splitlines()
    assert lines[: stopped.epoch] == before
    epochs = [json.loads(line) for line in lines]
    assert [entry["epoch"] for entry in epochs] == list(range(1, EPOCHS + 1))
    # The schedule falls in a straight line to a hundredth, whatever came in between.
    first = epochs[0]["learningRate"]
    assert [entry["learningRate"] for entry in epochs] == pytest.approx(
        [first * ((1 - x / EPOCHS) * 0.99 + 0.01) for x in range(EPOCHS)]
    )
    best = max(epochs, key=lambda entry: (entry["devAccuracy"], entry["epoch"]))
    metrics = json.loads((tmp_path / "got" / "metrics.json").read_text())
    assert (metrics["bestEpoch"], metrics["epochsTrained"]) == (best["epoch"], EPOCHS)
    with Image.open(tmp_path / "got" / "curves.png") as curves:
        assert f"epochs 1 to {EPOCHS};" in curves.text["Description"]  # type: ignore[attr-defined]
    model.load(tmp_path / "got" / "model.pth", tmp_path / "got" / "config.yaml")

    # Averaged weights and optimiser went on counting: 2 steps an epoch, then 4.
    saved = tmp_path / "work" / "run" / "checkpoints" / f"{EPOCHS:06d}" / "last.pt"
    content = torch.load(saved, weights_only=False)
    steps = 2 * stopped.epoch + 4 * (EPOCHS - stopped.epoch)
    assert content["updates"] == steps
    assert {int(state["step"]) for state in content["optimizer"]["state"].values()} == {steps}

    reports = [ProgressReport.model_validate(body) for _, _, body in operator.received]
    assert min(report.epoch or 0 for report in reports if report.history) == stopped.epoch
    percents = [report.percent for report in reports]
    assert percents == sorted(percents)
    whole = [report for report in reports if report.history]
    assert percents[reports.index(whole[0])] >= 90 * stopped.epoch // EPOCHS
    assert [entry.epoch for entry in whole[0].history] == list(range(1, stopped.epoch + 1))
    assert [entry.epoch for entry in reports[-1].history] == list(range(1, EPOCHS + 1))

    # The model is there: no checkpoint of any attempt is needed any more.
    for output in (stopped.document["output"], document["output"]):
        assert list(bench.store.list(join(output, "checkpoints"))) == []


@pytest.fixture(scope="module")
def copies(bench: Bench) -> Iterator[Callable[[str], str]]:
    """Copies a checkpoint to where it may be damaged."""

    def copy(location: str) -> str:
        target = f"s3://{BUCKET}/copies/{time.monotonic_ns()}/checkpoints/000001"
        for entry in bench.store.list(location):
            data = bench.store.read_bytes(entry.uri, limit=1 << 30)
            bench.store.write_bytes(join(target, entry.name), data)
        return target

    yield copy


@pytest.fixture(scope="module")
def killed(bench: Bench) -> tuple[dict[str, Any], str]:
    """A run killed when two of its checkpoints had been stored, and where the second is."""
    document = bench.document("yolo-cls")
    document["template"] = bench.template("yolo-cls", epochs=8, patience=0)
    process = bench.start("run", sealed(document), TRAINYARD_CHECKPOINT_SECONDS="0")
    assert process.stdout is not None
    stored: list[str] = []
    for line in process.stdout:
        stored += re.findall(r"checkpoint: epoch \d+ is at (.*)", line)
        if len(stored) == 2:
            break
    process.kill()
    process.communicate()
    return document, stored[1]


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("last.pt", "a byte"),
        ("best.pt", "a byte"),
        ("metrics.jsonl", "a byte"),
        ("training.json", "a byte"),
        ("last.pt", "gone"),
    ],
)
def test_a_damaged_file_of_a_checkpoint_is_refused(
    killed: tuple[dict[str, Any], str],
    copies: Callable[[str], str],
    bench: Bench,
    run_here: Callable[[str], Ended],
    name: str,
    damage: str,
) -> None:
    location = copies(killed[1])
    document = going_on(killed[0], bench.store, location)
    uri = join(location, name)
    if damage == "gone":
        bench.store.delete(uri)
    else:
        data = bytearray(bench.store.read_bytes(uri, limit=1 << 30))
        data[len(data) // 2] ^= 1
        bench.store.write_bytes(uri, bytes(data))
    ended = run_here(sealed(document))
    assert (ended.code, ended.words.reason) == (ExitCode.STORE_UNAVAILABLE, "StoreContentUnusable")
    said = "does not exist" if damage == "gone" else "it was damaged or changed"
    assert uri in ended.words.message
    assert said in ended.words.message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"uid": "another"}, "has the UID uid-yolo-cls, this run another"),
        ({"fingerprint": "e" * 64}, f"has the fingerprint {'f' * 64}, this run {'e' * 64}"),
        ({"epoch": 100}, ", this run 100: a run goes on from a checkpoint of its own only"),
        ({"epochs": 7}, "has the number of epochs 8, this run 7"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(
    killed: tuple[dict[str, Any], str],
    bench: Bench,
    run_here: Callable[[str], Ended],
    change: dict[str, Any],
    said: str,
) -> None:
    document = going_on(killed[0], bench.store, killed[1])
    if "epoch" in change:
        document["resume"] |= change
    elif "epochs" in change:
        document["template"] = bench.template("yolo-cls", **change)
    else:
        document |= change
    ended = run_here(sealed(document))
    assert (ended.code, ended.words.reason) == (ExitCode.BAD_CONFIG, "InvalidRunFile")
    assert said in ended.words.message


def test_another_checkpoint_json_than_the_operator_named_is_refused(
    killed: tuple[dict[str, Any], str], bench: Bench, run_here: Callable[[str], Ended]
) -> None:
    document = going_on(killed[0], bench.store, killed[1])
    document["resume"]["sha256"] = "0" * 64
    ended = run_here(sealed(document))
    assert (ended.code, ended.words.reason) == (ExitCode.STORE_UNAVAILABLE, "StoreContentUnusable")
    assert "checkpoint.json has the SHA-256" in ended.words.message
    assert f"expected {'0' * 64}" in ended.words.message


def test_a_checkpoint_that_cannot_be_loaded_is_refused(
    killed: tuple[dict[str, Any], str],
    copies: Callable[[str], str],
    bench: Bench,
    run_here: Callable[[str], Ended],
) -> None:
    location = copies(killed[1])
    uri = join(location, "checkpoint.json")
    manifest = bench.store.read_json(uri)
    stored = bench.store.write_bytes(join(location, "best.pt"), b"no checkpoint")
    for file in manifest["files"]:
        if file["name"] == "best.pt":
            file.update(sha256=stored.sha256, sizeBytes=stored.size_bytes)
    bench.store.write_bytes(uri, json.dumps(manifest).encode())
    ended = run_here(sealed(going_on(killed[0], bench.store, location)))
    assert (ended.code, ended.words.reason) == (ExitCode.BAD_CONFIG, "InvalidRunFile")
    assert "the checkpoint's best.pt cannot be loaded" in ended.words.message


def test_a_killed_run_goes_on_from_a_checkpoint_that_was_stored_meanwhile(
    killed: tuple[dict[str, Any], str],
    copies: Callable[[str], str],
    bench: Bench,
    run_here: Callable[[str], Ended],
) -> None:
    document = going_on(killed[0], bench.store, copies(killed[1]))
    ended = run_here(sealed(document))
    assert ended.code == ExitCode.OK, ended.output
    log = bench.store.read_bytes(join(document["output"], "train.log")).decode()
    assert epochs_in(log) == list(range(document["resume"]["epoch"] + 1, 9))
    assert verify_manifest(bench.store, document["output"]).epochs_trained == 8


def test_a_run_stopped_before_its_first_epoch_has_nothing_to_keep(
    bench: Bench, run_here: Callable[[str], Ended]
) -> None:
    document = bench.document("yolo-cls")
    with signal_at("train: yolo11n"):
        ended = run_here(sealed(document))
    assert (ended.code, ended.words.reason) == (ExitCode.STOPPED, "Stopped")
    assert ended.words.message == "stopped before the first epoch was done; nothing to keep"
    assert list(bench.store.list(join(document["output"], "checkpoints"))) == []


def test_an_epoch_that_ends_while_the_signal_comes_is_kept_and_told(
    bench: Bench, run_here: Callable[[str], Ended]
) -> None:
    document = bench.document("yolo-cls")
    document["template"] = bench.template("yolo-cls", epochs=EPOCHS)
    # The signal comes before the line has reached the file.
    with signal_at("epoch 2 of 6: train loss"):
        ended = run_here(sealed(document))
    assert ended.words.message.startswith("stopped after epoch 2 of 6")
    log = bench.store.read_bytes(join(document["output"], "train.log")).decode()
    assert epochs_in(log) == [1, 2]
    manifest, _ = verified(bench.store, place(document["output"], 2))
    assert manifest.epoch == 2


def test_a_stop_whose_checkpoint_cannot_be_stored_is_a_stop_all_the_same(
    bench: Bench, run_here: Callable[[str], Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    # With a background upload that fails too: the training does not mind.
    monkeypatch.setenv("TRAINYARD_CHECKPOINT_SECONDS", "0")
    document = bench.document("yolo-cls", output="s3://no-such-bucket/run")
    document["template"] = bench.template("yolo-cls", epochs=100)
    with signal_at("epoch 2 of 100"):
        ended = run_here(sealed(document))
    assert (ended.code, ended.words.reason) == (ExitCode.STOPPED, "Stopped")
    assert "the checkpoint of epoch 1 is not stored" in ended.output
    assert ended.words.message.startswith(
        "stopped after epoch 2 of 100; its checkpoint could not be stored: the bucket "
        "'no-such-bucket' of s3://no-such-bucket/run/checkpoints/000002/"
    )


@pytest.fixture
def trained(
    bench: Bench, run_here: Callable[[str], Ended], tmp_path: Path
) -> tuple[dict[str, Any], str, int]:
    """A run in folders that stopped training early and was stopped when it began to evaluate."""
    document = bench.document("yolo-cls", output=f"file://{tmp_path}/output")
    document["template"] = bench.template("yolo-cls", epochs=50, patience=1)
    with signal_at("(stopped early)"):
        ended = run_here(sealed(document))
    assert ended.code == ExitCode.STOPPED, ended.output
    found = re.search(r"the checkpoint of epoch (\d+) is at (.*)", ended.words.message)
    assert found is not None
    return document, found[2], int(found[1])


def test_a_run_stopped_after_its_last_epoch_goes_straight_to_the_evaluation(
    trained: tuple[dict[str, Any], str, int],
    bench: Bench,
    run_here: Callable[[str], Ended],
    tmp_path: Path,
) -> None:
    document, location, epochs = trained
    assert epochs < 50
    resumed = going_on(document, bench.store, location)
    for words in ("prepare:", "evaluate: dev", "publish:"):
        with signal_at(words):
            ended = run_here(sealed(resumed))
        assert (ended.code, ended.words.reason) == (ExitCode.STOPPED, "Stopped")
        assert ended.words.message == (
            f"stopped after epoch {epochs} of 50; the checkpoint of epoch {epochs} is at {location}"
        )
        assert not (tmp_path / "output-next" / "manifest.json").exists()
    # From here on the run may count as done: it is.
    with signal_at("writing the manifest"):
        ended = run_here(sealed(resumed))
    assert ended.code == ExitCode.OK, ended.output
    assert epochs_in((tmp_path / "output-next" / "train.log").read_text()) == []
    assert verify_manifest(bench.store, resumed["output"]).epochs_trained == epochs
    lines = (tmp_path / "output-next" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, epochs + 1))
    for name in ("output", "output-next"):
        assert not (tmp_path / name / "checkpoints").exists()


def test_a_fault_carries_the_end_of_the_log(bench: Bench, run_here: Callable[[str], Ended]) -> None:
    document = bench.document("yolo-cls")
    document["datasets"] = document["datasets"] | {"dev": document["datasets"]["train"]}
    ended = run_here(sealed(document))
    assert ended.words.reason == "BadData"
    lines = ended.words.log_tail.splitlines()
    assert "prepare: fetching the datasets" in lines[0]
    assert ended.words.message in lines[-1]
