"""The commands of the trainer image."""

from __future__ import annotations

import argparse
import logging
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from trainyard.api.report import ExitCode, LastWords
from trainyard.api.run import MOUNT_PATH, RUN_FILE, SNAPSHOT_FILE, RunFile, SnapshotRunFile
from trainyard.stores import open_store
from trainyard_trainer import termination
from trainyard_trainer.faults import Stopped, explain
from trainyard_trainer.machine import cpu_count, cpus_of, device, quieten, workdir
from trainyard_trainer.progress import Reporter
from trainyard_trainer.runfile import read_sealed

_log = logging.getLogger("trainyard")


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code (`trainyard.api.report.ExitCode`)."""
    parser = argparse.ArgumentParser(prog="python -m trainyard_trainer", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    snapshot = commands.add_parser("snapshot", help="make a snapshot of labelled images")
    snapshot.add_argument("file", type=Path, nargs="?", default=Path(MOUNT_PATH) / SNAPSHOT_FILE)
    run = commands.add_parser("run", help="train a model and publish it")
    run.add_argument("file", type=Path, nargs="?", default=Path(MOUNT_PATH) / RUN_FILE)
    predict = commands.add_parser("predict", help="load a model and draw its predictions")
    predict.add_argument("--weights", type=Path, required=True, help="model.pth")
    predict.add_argument("--config", type=Path, required=True, help="config.yaml")
    predict.add_argument(
        "--data",
        required=True,
        help="a folder of images (with folders or yolo labels), or the URI of a snapshot",
    )
    predict.add_argument("--out", type=Path, required=True, help="the picture to write (PNG)")
    parsed = parser.parse_args(arguments)
    _start_logging()
    signal.signal(signal.SIGTERM, _stop)
    work = {"snapshot": _snapshot, "run": _run, "predict": _predict}[parsed.command]
    try:
        words = work(parsed)
        code = ExitCode.OK
    except BaseException as error:  # noqa: BLE001 -- the last line of defence: it names the reason
        code, words = _failed(error)
    # From here on there is nothing left that a signal should interrupt.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if parsed.command != "predict":
        termination.say(words)
    _log.log(
        logging.ERROR if code else logging.INFO, "%s: %s", words.reason, words.message or "done"
    )
    return int(code)


def _snapshot(parsed: argparse.Namespace) -> LastWords:
    from trainyard_trainer.snapshot import make_snapshot

    run = read_sealed(parsed.file, SnapshotRunFile)
    store = open_store(run.store)
    with Reporter(run.progress, "snapshot", run.uid) as reporter:
        return make_snapshot(store, run, reporter)


def _run(parsed: argparse.Namespace) -> LastWords:
    run = read_sealed(parsed.file, RunFile)
    folder = _empty(workdir() / "run")
    quieten(folder, cpu_count(cpus_of(run.template.resources.cpu)))
    chosen = device(run.template.resources.gpus)
    from trainyard_trainer.publish import LOG, upload_log
    from trainyard_trainer.recipe import execute

    store = open_store(run.store)
    handler = logging.FileHandler(folder / LOG, encoding="utf-8")
    _add_handler(handler)
    try:
        with Reporter(run.progress, "run", run.uid, run.attempt) as reporter:
            return execute(run, store, reporter, folder, chosen)
    except BaseException as error:
        _, words = explain(error)
        _log.error("%s: %s", words.reason, words.message)
        handler.flush()
        upload_log(store, run, folder / LOG)
        raise
    finally:
        _remove_handler(handler)


def _predict(parsed: argparse.Namespace) -> LastWords:
    folder = _empty(workdir() / "predict")
    quieten(folder, cpu_count())
    device(gpus=0)
    from trainyard_trainer.predict import predict

    return predict(parsed.weights, parsed.config, parsed.data, parsed.out, folder)


def _empty(folder: Path) -> Path:
    """A folder that holds nothing of an earlier try."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise Stopped("the run was told to stop (SIGTERM) and did")


def _failed(error: BaseException) -> tuple[ExitCode, LastWords]:
    code, words = explain(error)
    if code == ExitCode.INTERNAL_ERROR:
        _log.error("unexpected error", exc_info=error)
    return code, words


def _start_logging() -> None:
    handler = logging.StreamHandler(sys.stdout)
    logging.getLogger("trainyard").setLevel(logging.INFO)
    logging.getLogger("trainyard").propagate = False
    _add_handler(handler)


def _add_handler(handler: logging.Handler) -> None:
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    for name in ("trainyard", "ultralytics"):
        if name == "trainyard" or isinstance(handler, logging.FileHandler):
            logging.getLogger(name).addHandler(handler)


def _remove_handler(handler: logging.Handler) -> None:
    for name in ("trainyard", "ultralytics"):
        logging.getLogger(name).removeHandler(handler)
    handler.close()
