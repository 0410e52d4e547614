"""The commands of the trainer image."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from trainyard.api.report import LastWords
from trainyard.api.run import MOUNT_PATH, RUN_FILE, SNAPSHOT_FILE, RunFile, SnapshotRunFile
from trainyard.stores import open_store
from trainyard_trainer import console
from trainyard_trainer.ending import ended, told
from trainyard_trainer.folder.commands import add_commands
from trainyard_trainer.logs import logged_to
from trainyard_trainer.machine import cpu_count, cpus_of, device, emptied, quieten, workdir
from trainyard_trainer.progress import Reporter
from trainyard_trainer.runfile import read_sealed
from trainyard_trainer.stopping import StopRequest


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
    convert = commands.add_parser("convert", help="make a model.pth of a .pt of ultralytics")
    convert.add_argument("checkpoint", type=Path, help="a pickle: FILE.pt")
    convert.add_argument("weights", type=Path, help="the model.pth to write")
    convert.add_argument("--trust", action="store_true", help="you know where it comes from")
    of_folders = add_commands(commands)
    parsed = parser.parse_args(arguments)
    if parsed.command == "predict" and parsed.out is None and parsed.json is None:
        parser.error("predict needs --out, --json or both")
    console.begin()
    if stop is None:
        stop = StopRequest()
        stop.install()
    works: dict[str, Callable[[argparse.Namespace], LastWords]] = {
        "snapshot": _snapshot,
        "run": partial(_run, stop=stop),
        "predict": _predict,
        "convert": _convert,
        **{name: partial(command, stop) for name, command in of_folders.items()},
    }
    return ended(partial(works[parsed.command], parsed), stop)


def _snapshot(parsed: argparse.Namespace) -> LastWords:
    from trainyard_trainer.snapshot import run_snapshot

    run = read_sealed(parsed.file, SnapshotRunFile)
    store = open_store(run.store)
    with Reporter(run.progress, "snapshot", run.uid) as reporter:
        return run_snapshot(store, run, reporter)


def _run(parsed: argparse.Namespace, stop: StopRequest) -> LastWords:
    run = read_sealed(parsed.file, RunFile)
    folder = emptied(workdir() / "run")
    quieten(folder, cpu_count(cpus_of(run.template.resources.cpu)))
    chosen = device(run.template.resources.gpus)
    from trainyard_trainer.publish import LOG, upload_log
    from trainyard_trainer.recipe import execute

    store = open_store(run.store)
    with logged_to(folder / LOG):
        try:
            with Reporter(run.progress, "run", run.uid, run.attempt) as reporter:
                return execute(run, store, reporter, folder, chosen, stop)
        except BaseException as error:
            end = told(error, stop, folder / LOG)
            # The store may keep it waiting until its time is over.
            upload_log(store, run, folder / LOG)
            raise end from error


def _convert(parsed: argparse.Namespace) -> LastWords:
    folder = emptied(workdir() / "convert")
    quieten(folder, cpu_count())
    device(gpus=0)
    from trainyard_trainer.convert import convert

    return convert(parsed.checkpoint, parsed.weights, trust=parsed.trust)


def _predict(parsed: argparse.Namespace) -> LastWords:
    folder = emptied(workdir() / "predict")
    quieten(folder, cpu_count())
    device(gpus=0)
    from trainyard_trainer.predict import Wanted, predict

    wanted = Wanted(parsed.out, parsed.json, parsed.entities)
    return predict(parsed.weights, parsed.config, parsed.data, wanted, folder)
