"""The commands of the trainer image."""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from trainyard.api.report import ExitCode, LastWords
from trainyard.api.run import MOUNT_PATH, RUN_FILE, SNAPSHOT_FILE, RunFile, SnapshotRunFile
from trainyard.stores import open_store
from trainyard_trainer import termination
from trainyard_trainer.faults import Ended, explain
from trainyard_trainer.machine import cpu_count, cpus_of, device, quieten, workdir
from trainyard_trainer.progress import Reporter
from trainyard_trainer.runfile import read_sealed
from trainyard_trainer.stopping import StopRequest

_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID")
_SHORTEST_SECRET = 8

_log = logging.getLogger("trainyard")


def main(arguments: Sequence[str], stop: StopRequest | None = None) -> int:
    """Run one command; returns the exit code (`trainyard.api.report.ExitCode`).

    Parameters
    ----------
    arguments
        The command and what belongs to it.
    stop
        Listens to SIGTERM already; by default, from now on.
    """
    parser = argparse.ArgumentParser(prog="python -m trainyard_trainer", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    snapshot = commands.add_parser("snapshot", help="make a snapshot of labelled images")
    snapshot.add_argument("file", type=Path, nargs="?", default=Path(MOUNT_PATH) / SNAPSHOT_FILE)
    run = commands.add_parser("run", help="train a model and publish it")
    run.add_argument("file", type=Path, nargs="?", default=Path(MOUNT_PATH) / RUN_FILE)
    predict = commands.add_parser("predict", help="ask a model about images")
    predict.add_argument("--weights", type=Path, required=True, help="model.pth")
    predict.add_argument("--config", type=Path, required=True, help="config.yaml")
    predict.add_argument(
        "--data",
        required=True,
        nargs="+",
        help="folders of images (with folders or yolo labels), images, or snapshots' URIs",
    )
    predict.add_argument("--out", type=Path, help="a picture to write (PNG), of some of the images")
    predict.add_argument("--json", type=Path, help="a file to write: the answers for all images")
    predict.add_argument(
        "--entities",
        type=Path,
        help="what a Box element is asked about, JSON: boxes in 0..1, for all images or by name "
        "(default: the labelled boxes)",
    )
    parsed = parser.parse_args(arguments)
    if parsed.command == "predict" and parsed.out is None and parsed.json is None:
        parser.error("predict needs --out, --json or both")
    _start_logging()
    if stop is None:
        stop = StopRequest()
        stop.install()
    works: dict[str, Callable[[argparse.Namespace], LastWords]] = {
        "snapshot": _snapshot,
        "run": partial(_run, stop=stop),
        "predict": _predict,
    }
    try:
        stop.arm()
        words = works[parsed.command](parsed)
        code = ExitCode.OK
    except BaseException as error:  # noqa: BLE001 -- the last line of defence: it names the reason
        stop.disarm()
        code, words = _failed(error)
    # From here on there is nothing left that a signal should interrupt.
    stop.disarm()
    if parsed.command != "predict" or termination.VARIABLE in os.environ:
        termination.say(words)
    _log.log(
        logging.ERROR if code else logging.INFO, "%s: %s", words.reason, words.message or "done"
    )
    return int(code)


def _snapshot(parsed: argparse.Namespace) -> LastWords:
    from trainyard_trainer.snapshot import run_snapshot

    run = read_sealed(parsed.file, SnapshotRunFile)
    store = open_store(run.store)
    with Reporter(run.progress, "snapshot", run.uid) as reporter:
        return run_snapshot(store, run, reporter)


def _run(parsed: argparse.Namespace, stop: StopRequest) -> LastWords:
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
            return execute(run, store, reporter, folder, chosen, stop)
    except BaseException as error:
        # A fault that is being told is not to be taken for a stop.
        stop.disarm()
        code, words = _failed(error)
        _log.error("%s: %s", words.reason, words.message)
        handler.flush()
        words = words.model_copy(update={"log_tail": termination.tail(folder / LOG)})
        # Should the store keep it waiting until its time is over.
        termination.say(words)
        upload_log(store, run, folder / LOG)
        raise Ended(code, words) from error
    finally:
        _remove_handler(handler)


def _predict(parsed: argparse.Namespace) -> LastWords:
    folder = _empty(workdir() / "predict")
    quieten(folder, cpu_count())
    device(gpus=0)
    from trainyard_trainer.predict import Wanted, predict

    wanted = Wanted(parsed.out, parsed.json, parsed.entities)
    return predict(parsed.weights, parsed.config, parsed.data, wanted, folder)


def _empty(folder: Path) -> Path:
    """A folder that holds nothing of an earlier try."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _failed(error: BaseException) -> tuple[ExitCode, LastWords]:
    if isinstance(error, Ended):
        return error.code, error.words
    code, words = explain(error)
    if code == ExitCode.INTERNAL_ERROR:
        _log.error("unexpected error", exc_info=error)
    return code, words


def _start_logging() -> None:
    handler = logging.StreamHandler(sys.stdout)
    logging.getLogger("trainyard").setLevel(logging.INFO)
    logging.getLogger("trainyard").propagate = False
    _add_handler(handler)


class _Formatter(logging.Formatter):
    """Logs no credential, whatever a library puts into its errors: the log is kept and shown."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        for name in _SECRETS:
            if len(secret := os.environ.get(name, "")) >= _SHORTEST_SECRET:
                text = text.replace(secret, "***")
        return text


def _add_handler(handler: logging.Handler) -> None:
    formatter = _Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    for name in ("trainyard", "ultralytics"):
        if name == "trainyard" or isinstance(handler, logging.FileHandler):
            logging.getLogger(name).addHandler(handler)


def _remove_handler(handler: logging.Handler) -> None:
    for name in ("trainyard", "ultralytics"):
        logging.getLogger(name).removeHandler(handler)
    handler.close()
