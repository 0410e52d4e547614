"""The commands about a folder: lay its data out, evaluate a checkpoint, export it."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainyard.api.evaluation import EvaluatedSplit, EvaluationFile
from trainyard.api.report import LastWords
from trainyard.stores.digests import sha256_of
from trainyard_trainer.folder.opening import read_inputs, working
from trainyard_trainer.stopping import StopRequest

if TYPE_CHECKING:
    from trainyard_trainer.engines.base import Trained
    from trainyard_trainer.folder.work import Work

PLAN = "default"

Command = Callable[[StopRequest, argparse.Namespace], LastWords]


def add_commands(commands: Any) -> dict[str, Command]:
    """Add their parsers; gives what each does."""
    laid = commands.add_parser("lay-out", help="write the data of a folder into it")
    laid.add_argument("folder", type=Path)
    for name, help_ in (
        ("evaluate", "measure a checkpoint on the data of a folder"),
        ("export", "make a model of a checkpoint, and measure it"),
    ):
        parser = commands.add_parser(name, help=help_)
        parser.add_argument("folder", type=Path)
        parser.add_argument("checkpoint", type=Path, help="best.pt, or a .pth")
        parser.add_argument("config", type=Path, help="args.yaml or config.yaml")
        parser.add_argument("--trust", action="store_true", help="open a pickle of unknown origin")
        if name == "evaluate":
            parser.add_argument("--plan", default=PLAN, help="what the evaluation is called")
    return {"lay-out": lay_out, "evaluate": evaluate, "export": export}


def lay_out(stop: StopRequest, parsed: argparse.Namespace) -> LastWords:
    """Write the data of a folder into `train`, `dev` and `test`."""
    inputs = read_inputs(parsed.folder)
    with working(inputs, inputs.run, stop) as work:
        data = work.prepare()
    count = sum(data.layout.counts.values())
    return LastWords(reason="Succeeded", message=f"{count} examples are laid out")


def evaluate(stop: StopRequest, parsed: argparse.Namespace) -> LastWords:
    """Measure a checkpoint; leaves `evaluations/PLAN.json` and `PLAN-metrics.json`."""
    inputs = read_inputs(parsed.folder)
    with working(inputs, inputs.run, stop) as work:
        from trainyard_trainer import metrics

        trained = _read(work, parsed)
        data = work.prepare()
        results = work.evaluate(data, trained)
        primary = work.recipe.settings.primary_metric
        file = EvaluationFile(
            plan=parsed.plan,
            checkpoint_sha256=sha256_of(parsed.checkpoint),
            primary_metric=primary,
            thresholds=work.recipe.run.template.evaluation,
            created_at=datetime.now(UTC).replace(microsecond=0),
            **{
                split: EvaluatedSplit(metrics=dict(result.metrics), samples=result.samples)
                for split, result in results.items()
            },
        )
        folder = work.places.evaluations
        folder.mkdir(exist_ok=True)
        metrics.write(
            folder / f"{parsed.plan}-metrics.json",
            metrics.document(primary, results, data.names, best_epoch=trained.best_epoch),
        )
        place = folder / f"{parsed.plan}.json"
        place.write_text(file.model_dump_json(by_alias=True, exclude_none=True, indent=2) + "\n")
    return LastWords(reason="Succeeded", message=f"measured as {place}", location=str(place))


def export(stop: StopRequest, parsed: argparse.Namespace) -> LastWords:
    """Make a model of a checkpoint, and measure it; all of it goes into `exported`."""
    inputs = read_inputs(parsed.folder)
    places = inputs.places
    run = inputs.run.model_copy(update={"output": places.uri(places.exported)}).sealed()
    with working(inputs, run, stop) as work:
        trained = _read(work, parsed)
        data = work.prepare()
        results = work.evaluate(data, trained)
        files = work.recipe.export(data, trained, results)
        shutil.rmtree(places.exported, ignore_errors=True)
        return work.recipe.publish(files, trained, results)


def _read(work: Work, parsed: argparse.Namespace) -> Trained:
    """The checkpoint that a person names."""
    from trainyard_trainer.folder import record
    from trainyard_trainer.folder.weights import Reader, read_config

    described = read_config(parsed.config)
    reader = Reader(
        work.recipe.engine,
        work.recipe.settings,
        record.read(work.places.record),
        trust=parsed.trust,
    )
    return reader.read(parsed.checkpoint, described, parsed.config)
