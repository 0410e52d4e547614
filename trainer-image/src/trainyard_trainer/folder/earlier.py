"""What earlier commands left in a folder: a finished run, a checkpoint, results of other inputs."""

from __future__ import annotations

import logging
from pathlib import Path

from pydantic import ValidationError

from trainyard.api.manifest import MANIFEST_NAME, ArtefactManifest
from trainyard.api.run import ResumeFrom, RunFile
from trainyard.api.training_folder import TrainingFolder
from trainyard.stores import ObjectNotFound, Store, join
from trainyard.stores.verify import newest_checkpoint

_log = logging.getLogger("trainyard")


def finished(run: RunFile, store: Store) -> ArtefactManifest | None:
    """The manifest of the results, if they are of these inputs."""
    try:
        data = store.read_bytes(join(run.output, MANIFEST_NAME))
        manifest = ArtefactManifest.model_validate_json(data)
    except (ObjectNotFound, ValidationError):
        return None
    return manifest if manifest.fingerprint == run.fingerprint else None


def going_on(run: RunFile, store: Store) -> RunFile:
    """The run with the checkpoint that an interrupted one of the same inputs left, if one did."""
    found = newest_checkpoint(store, run.output, run.uid)
    if found is None:
        return run
    location, sha256, manifest = found
    same = (run.fingerprint, run.template.hyperparameters.epochs)
    if (manifest.fingerprint, manifest.epochs) != same:
        return run
    resume = ResumeFrom(location=location, sha256=sha256, epoch=manifest.epoch)
    return run.model_copy(update={"resume": resume}).sealed()


def move_aside(places: TrainingFolder) -> None:
    """Keep results and checkpoints of other inputs under other names."""
    runs = places.root / "runs"
    tasks = sorted(runs.iterdir()) if runs.is_dir() else []
    for path in (places.results, *(task / "train" for task in tasks)):
        if path.exists():
            aside = _free(path)
            path.rename(aside)
            _log.info("%s of the run before is now %s", path.name, aside)


def _free(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}-{number}")).exists():
        number += 1
    return aside
