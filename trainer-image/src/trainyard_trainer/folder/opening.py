"""Opening a folder: what `train.py` calls first."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from trainyard.api.documents import digest, first_problem
from trainyard.api.report import LastWords
from trainyard.api.run import RunFile
from trainyard.api.template import Hyperparameters
from trainyard.api.training_folder import TrainingFolder
from trainyard.stores import Store, open_store
from trainyard_trainer import console, termination
from trainyard_trainer.ending import failed, told
from trainyard_trainer.faults import InvalidRunFile
from trainyard_trainer.folder import earlier, layout
from trainyard_trainer.folder.layout import LaidOut
from trainyard_trainer.logs import logged_to
from trainyard_trainer.machine import cpu_count, cpus_of, device, emptied, quieten
from trainyard_trainer.progress import Reporter
from trainyard_trainer.runfile import read_sealed
from trainyard_trainer.stopping import StopRequest

if TYPE_CHECKING:
    from trainyard_trainer.folder.work import Work

LOG = "train.log"

_log = logging.getLogger("trainyard")


@contextmanager
def opened(folder: Path, **changes: Any) -> Iterator[Work]:
    """A folder that `trainyard generate training-run` made, ready for its steps.

    What was interrupted goes on from its last checkpoint. What was trained already, with the same
    run.yaml, train.py and data, is not trained again: the process ends and says where the model
    is. Results of other inputs are moved aside.

    Parameters
    ----------
    folder
        Where train.py lies.
    changes
        Hyperparameters that are other than in run.yaml, for example `epochs=50`.

    Raises
    ------
    SystemExit
        Instead of any error, which is logged as one sentence; the code is of
        `trainyard.api.report.ExitCode`.
    """
    stop = StopRequest()
    stop.install()
    console.begin()
    try:
        stop.arm()
        inputs = read_inputs(folder, changes)
        store = open_store(inputs.run.store)
        _end_if_finished(inputs, store)
        run = earlier.going_on(inputs.run, store)
        if run.resume is None:
            earlier.move_aside(inputs.places)
        with working(inputs, run, stop) as work, work.recipe.kept():
            yield work
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 -- the last line of defence: it names the reason
        stop.disarm()
        code, words = failed(error)
        termination.say(words)
        raise SystemExit(int(code)) from None
    stop.disarm()


def _end_if_finished(inputs: Inputs, store: Store) -> None:
    """End the process if there is nothing to do."""
    if earlier.finished(inputs.run, store) is None:
        return
    words = LastWords(
        reason="Succeeded",
        message=f"trained already, with these inputs: the model is in {inputs.places.results}; "
        "remove that folder to train again",
        location=inputs.run.output,
    )
    _log.info("%s", words.message)
    termination.say(words)
    raise SystemExit(0)


@dataclass(frozen=True)
class Inputs:
    """What a folder asks for.

    Attributes
    ----------
    run
        run.yaml, with everything that was changed here; what was changed has another fingerprint.
    known
        The data as it was laid out; None: it is not yet.
    edited
        A person changed the data since.
    """

    places: TrainingFolder
    run: RunFile
    known: LaidOut | None
    edited: bool


def read_inputs(folder: Path, changes: dict[str, Any] | None = None) -> Inputs:
    """What a folder asks for.

    Raises
    ------
    InvalidRunFile, DocumentError
        If it has no run.yaml that can be used, or a change is none.
    """
    places = TrainingFolder(folder.resolve())
    run = read_sealed(places.run, RunFile)
    known = layout.read(places.laid_out, run)
    content = None if known is None else layout.content_digest(places.root)
    edited = known is not None and content != known.digest
    other: dict[str, Any] = {}
    if changes:
        run = _with_hyperparameters(run, changes)
        other["changes"] = {name: str(value) for name, value in sorted(changes.items())}
    if edited:
        other["data"] = content
    if (script := _edited_script(places)) is not None:
        other["script"] = script
    update: dict[str, Any] = {"output": places.uri(places.results), "progress": None}
    if other:
        update["fingerprint"] = digest({"fingerprint": run.fingerprint, **other})
    return Inputs(places, run.model_copy(update=update).sealed(), known, edited)


def _with_hyperparameters(run: RunFile, changes: dict[str, Any]) -> RunFile:
    hyper = run.template.hyperparameters
    unknown = sorted(changes.keys() - Hyperparameters.model_fields.keys())
    if unknown:
        raise InvalidRunFile(
            f"opened(..., {unknown[0]}=...): there is no such hyperparameter; there are "
            f"{', '.join(sorted(Hyperparameters.model_fields))}"
        )
    try:
        changed = Hyperparameters.model_validate(hyper.model_dump() | changes)
    except ValidationError as error:
        raise InvalidRunFile(f"opened(...): {first_problem(error)}") from None
    template = run.template.model_copy(update={"hyperparameters": changed})
    return run.model_copy(update={"template": template})


def _edited_script(places: TrainingFolder) -> str | None:
    """Digest of the train.py, if it is not what was generated."""
    if not places.script.is_file():
        return None
    text = places.script.read_bytes()
    if places.generated.is_file() and places.generated.read_bytes() == text:
        return None
    return hashlib.sha256(text).hexdigest()


@contextmanager
def working(inputs: Inputs, run: RunFile, stop: StopRequest) -> Iterator[Work]:
    """The steps of a run, in a quiet environment and with a log; faults are told.

    What lies in the working directory is kept for whoever looks into a failure, and for nobody
    else.

    Parameters
    ----------
    run
        That of the inputs, or one that goes on, or that writes elsewhere.
    stop
        Armed.
    """
    places = inputs.places
    folder = emptied(places.work)
    quieten(folder, cpu_count(cpus_of(run.template.resources.cpu)))
    chosen = device(run.template.resources.gpus)
    # The libraries read their environment when they are imported.
    from trainyard_trainer.folder.work import Work
    from trainyard_trainer.recipe import Places, Recipe

    with logged_to(folder / LOG):
        try:
            with Reporter(None, "run", run.uid, run.attempt) as reporter:
                store = open_store(run.store)
                engine = places.engine(run.template.engine)
                at = Places(folder, places.root, engine, places.base)
                recipe = Recipe(run, store, reporter, at, chosen, stop)
                yield Work(recipe, places, inputs.known, inputs.edited)
        except BaseException as error:
            raise told(error, stop, folder / LOG) from error
    shutil.rmtree(folder, ignore_errors=True)
