"""`trainyard run`: the same manifests on this machine, without a cluster."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import click

from trainyard.api.documents import dump_yaml
from trainyard.api.manifest import ArtefactRole
from trainyard.api.run import RUN_FILE, RunFile
from trainyard.cli import options
from trainyard.cli.commands.local_options import cpu_option, source_options
from trainyard.cli.data.opening import folder_uri
from trainyard.cli.local.attempts import Done, done, standing
from trainyard.cli.local.check import NAMESPACE, facts_of, run_file_of
from trainyard.cli.local.results import print_results, results_document, shortcut
from trainyard.cli.local.snapshots import Snapshots
from trainyard.cli.local.sources import Folders, folders, key_variables, location_of, store_for
from trainyard.cli.local.trainer import call, look_for_trainer, trainer_command
from trainyard.cli.local.typed import program, typed
from trainyard.cli.locked import only_one
from trainyard.cli.manifests.reading import read_manifests
from trainyard.cli.output import RESULT_JSON, Format, note, print_document, result_option
from trainyard.stores import Store

DEFAULT_FOLDER = Path("trainyard-runs")
CHECKPOINT_SECONDS = "TRAINYARD_CHECKPOINT_SECONDS"
OFTEN = "30"
"""Seconds between two checkpoints: on this machine they cost no more than a copy."""


@click.command()
@click.option(
    "-f",
    "--file",
    "place",
    type=click.Path(exists=True, path_type=Path),
    required=True,
    metavar="FOLDER",
    help="Folder (or file) of manifests, as for kubectl apply.",
)
@source_options
@click.option("--process", metavar="NAME", help="TrainingProcess, if there are several.")
@cpu_option
@click.option(
    "--output-folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_FOLDER,
    show_default=True,
    metavar="DIR",
    help="For snapshots, checkpoints and models.",
)
@result_option
@options.store_options
@options.cluster_options
def run(
    place: Path,
    volumes: tuple[str, ...],
    buckets: tuple[str, ...],
    process: str | None,
    cpu: bool,
    output_folder: Path,
    output: str,
) -> None:
    """Train on this machine what manifests describe.

    No cluster is needed: the Datasets of FOLDER are read, everything is checked as the operator
    does, and the TrainingProcess is trained here (targetNode is passed over). Ctrl-C stops it with
    a checkpoint; the same command goes on, and says where the model is once it is done.
    """
    look_for_trainer()
    known = Folders(folders("--volume", volumes), folders("--bucket", buckets))
    manifests = read_manifests(place)
    for thing in manifests.left_alone:
        note(f"left alone: {thing}")
    root = folder_uri(output_folder)
    facts = facts_of(manifests, manifests.process(process), root, cpu=cpu)
    known.check(facts.datasets.values())
    store = store_for(facts.datasets.values(), known, options.target())
    output_folder.mkdir(parents=True, exist_ok=True)
    snapshots = Snapshots(store, root, NAMESPACE, known)
    facts = replace(facts, datasets=snapshots.of_all(facts.datasets))
    first = run_file_of(facts, store)
    first = first.model_copy(update={"store": location_of(options.target())}).sealed()
    there = standing(store, first)
    if isinstance(there, Done):
        note(f"TrainingProcess {first.name} is done already, with these inputs")
    else:
        there = _train(store, there, output_folder, beside=output == RESULT_JSON)
    folder = shortcut(first.name, there.folder, output_folder)
    if output == RESULT_JSON:
        print_document(results_document(first.name, there, folder), Format.JSON)
        return
    print_results(first.name, there, folder)
    weights = folder / there.manifest.roles[ArtefactRole.WEIGHTS]
    images = known.held_out(facts)
    asked = typed(images) if images is not None else "IMAGES"
    click.echo(f"next      {program()} predict {typed(weights)} {asked} --out predictions.png")


def _train(store: Store, attempt: RunFile, output_folder: Path, *, beside: bool) -> Done:
    """Train; with `beside` the trainer's lines go to standard error, as the result is another."""
    folder = output_folder.resolve() / "work" / attempt.uid
    folder.mkdir(parents=True, exist_ok=True)
    busy = f"TrainingProcess {attempt.name} is being trained already, in {output_folder}"
    with only_one(folder, busy) as handle:
        _say(attempt)
        (folder / RUN_FILE).write_text(dump_yaml(attempt.to_wire()), encoding="utf-8")
        words = call(
            trainer_command("run", folder / RUN_FILE),
            folder=folder,
            environ={
                "TRAINYARD_WORKDIR": str(folder),
                **(key_variables(options.target()) if attempt.base is not None else {}),
                CHECKPOINT_SECONDS: os.environ.get(CHECKPOINT_SECONDS) or OFTEN,
            },
            inherited=(handle,),
            going_on="the same command goes on",
            lines_to=sys.stderr.fileno() if beside else None,
        )
        shutil.rmtree(folder, ignore_errors=True)
    return done(store, words.location or attempt.output)


def _say(attempt: RunFile) -> None:
    template, resume = attempt.template, attempt.resume
    what = template.base_model.architecture or "a model of ours"
    where = "the GPU" if template.resources.gpus else "the CPU"
    begun = f", going on after epoch {resume.epoch}" if resume is not None else ""
    note(
        f"TrainingProcess {attempt.name}: {template.engine} {what}, "
        f"{template.hyperparameters.epochs} epochs on {where}{begun}"
    )
