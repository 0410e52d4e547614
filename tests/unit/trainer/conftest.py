"""A real S3 server, and small labelled images made here."""

from __future__ import annotations

import logging
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.labelled import BUCKET, outline, put, shape_bytes
from tests.unit.sources import selection, snapshot_run
from tests.unit.trainer.pods import SPLITS, Bench, Ended, Models
from trainyard.api.report import ExitCode, LastWords
from trainyard.datasets.reading import read_snapshot
from trainyard.stores import Store
from trainyard_local.s3 import S3Server
from trainyard_trainer.machine import quieten
from trainyard_trainer.main import main
from trainyard_trainer.progress import Reporter
from trainyard_trainer.snapshot import run_snapshot

# Before anything imports ultralytics: without it, importing it asks the network, and it writes into
# the home folder of whoever runs the tests.
quieten(Path(tempfile.mkdtemp(prefix="trainyard-tests-")), threads=1)


@pytest.fixture(scope="session")
def bench(store: Store, s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    made = Bench(store, s3_server, tmp_path_factory.mktemp("bench"))
    for engine, kind in (("yolo-cls", "folders"), ("yolo-det", "yolo"), ("yolo-seg", "yolo")):
        for split, seeds in SPLITS.items():
            files: dict[str, bytes | str] = {"data.yaml": "names: [disc, square]"}
            for seed in seeds:
                value = ("disc", "square")[seed % 2]
                data, box = shape_bytes(value, seed)
                if engine == "yolo-cls":
                    files[f"{value}/{seed}.png"] = data
                else:
                    files[f"images/{seed}.png"] = data
                    shape = box if engine == "yolo-det" else outline(value, box)
                    numbers = " ".join(f"{number:.6f}" for number in shape)
                    files[f"labels/{seed}.txt"] = f"{seed % 2} {numbers}\n"
            prefix = f"source/{engine}/{split}"
            put(store, prefix, files)
            chosen = selection(prefix, kind)
            run = snapshot_run(f"s3://{BUCKET}/snapshots", chosen, name=split, namespace="team")
            words = run_snapshot(store, run, Reporter(None, "snapshot", "u"))
            assert words.location is not None
            digest = read_snapshot(store, words.location).digest
            made.snapshots[engine, split] = {
                "name": split,
                "uri": words.location,
                "digest": digest,
            }
    return made


@pytest.fixture(scope="session")
def models(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Models:
    return Models(bench, tmp_path_factory.mktemp("models"))


@pytest.fixture
def in_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Ended]]:
    """Runs a command of the trainer in this process, which has the libraries loaded already."""
    before = os.environ.copy()
    log = logging.getLogger("trainyard")
    handlers, propagate = list(log.handlers), log.propagate
    signals = (signal.SIGTERM, signal.SIGINT)
    handlers_of_signals = [signal.getsignal(number) for number in signals]
    monkeypatch.setenv("TRAINYARD_WORKDIR", str(tmp_path / "work"))
    monkeypatch.setenv("TRAINYARD_TERMINATION_LOG", str(tmp_path / "last-words"))

    def run(command: str, *arguments: object) -> Ended:
        code = main([command, *map(str, arguments)])
        words = LastWords.model_validate_json((tmp_path / "last-words").read_bytes())
        return Ended(ExitCode(code), words, capsys.readouterr().out, "", tmp_path)

    yield run
    for number, handler in zip(signals, handlers_of_signals, strict=True):
        signal.signal(number, handler)
    log.handlers, log.propagate = handlers, propagate
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def run_here(
    bench: Bench,
    in_this_process: Callable[..., Ended],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str], Ended]:
    """Runs a run.yaml in this process."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", bench.server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", bench.server.secret_key)

    def run(document: str) -> Ended:
        (tmp_path / "run.yaml").write_text(document)
        return in_this_process("run", tmp_path / "run.yaml")

    return run
