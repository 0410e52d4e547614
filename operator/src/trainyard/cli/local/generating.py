"""Making the folder of a training: what is asked for, its data, and the files for people."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from trainyard.api.dataset import Dataset
from trainyard.api.documents import dump_yaml
from trainyard.api.run import RunFile
from trainyard.api.template import Engine
from trainyard.api.training_folder import TrainingFolder
from trainyard.cli.errors import CommandError
from trainyard.cli.local.check import run_file_of
from trainyard.cli.local.texts import readme_of, script_of
from trainyard.cli.local.trainer import call, trainer_command
from trainyard.cli.local.typed import typed
from trainyard.decide.facts import ProcessFacts
from trainyard.stores import Store

WithSnapshots = Callable[[dict[str, Dataset]], dict[str, Dataset]]
"""Gives the datasets with snapshots that lie in the folder's own store."""


def check_engine(facts: ProcessFacts, wanted: Engine) -> None:
    """The trainer that a person names is that of the template.

    Raises
    ------
    CommandError
        If not; the sentence says which one is.
    """
    template = facts.template
    if template is not None and template.spec.engine is not wanted:
        raise CommandError(
            f"TrainingTemplate {template.metadata.name} has the engine {template.spec.engine}, "
            f"not {wanted}: give {template.spec.engine}, or a TrainingProcess with another template"
        )


def check_free(folder: Path) -> None:
    """Nothing is there that would be overwritten.

    Raises
    ------
    CommandError
        If it is.
    """
    if folder.exists() or folder.is_symlink():
        raise CommandError(
            f"{folder} is there already and is not overwritten: remove it, or give another DIR"
        )


def generate(
    facts: ProcessFacts, folder: Path, store: Store, with_snapshots: WithSnapshots
) -> TrainingFolder:
    """Make a folder; if something fails or is interrupted, nothing of it stays.

    Parameters
    ----------
    facts
        Without snapshots.
    folder
        Which is not there yet.
    store
        Has the snapshots.
    with_snapshots
        Makes or fetches them.

    Raises
    ------
    CommandError
        If the data cannot be used, does not fit, or cannot be laid out.
    """
    folder.mkdir(parents=True)
    try:
        places = TrainingFolder(folder.resolve())
        places.state.mkdir()
        facts = replace(facts, datasets=with_snapshots(facts.datasets))
        _write(places, run_file_of(facts, store), folder)
        call(trainer_command("lay-out", places.root), folder=places.state)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return places


def _write(places: TrainingFolder, run: RunFile, folder: Path) -> None:
    run = run.model_copy(update={"output": places.uri(places.results)}).sealed()
    places.run.write_text(dump_yaml(run.to_wire()), encoding="utf-8")
    script = script_of(run)
    for path in (places.script, places.generated):
        path.write_text(script, encoding="utf-8")
    readme = readme_of(run, typed(folder))
    (places.root / "README.md").write_text(readme, encoding="utf-8")
