"""The weights that a run starts from: fetched, verified, and looked at before they are used."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from trainyard.api.documents import first_problem
from trainyard.api.run import RunFile
from trainyard.stores import DigestMismatch, ObjectNotFound, Store
from trainyard.stores.digests import sha256_of
from trainyard_trainer import model
from trainyard_trainer.config import ModelConfig
from trainyard_trainer.engines.base import Base
from trainyard_trainer.faults import InvalidRunFile


def starting_point(store: Store, run: RunFile, path: Path) -> Base | None:
    """The earlier model that a run goes on from; None: it starts from scratch.

    Nothing of the file is read before its digest was found to be the one that the run file states,
    and then only tensors and plain values.

    Parameters
    ----------
    store, run
        Where it lies, and what is trained.
    path
        For the file. If it lies there already, with the digest stated, it is not fetched.

    Raises
    ------
    InvalidRunFile
        If the file is not the one that was named, or its model cannot be gone on from.
    StoreError
        If the store does not answer.
    """
    base = run.base
    if base is None:
        return None
    try:
        if not path.is_file() or sha256_of(path) != base.sha256:
            store.download(base.uri, path, base.sha256)
    except ObjectNotFound:
        raise InvalidRunFile(
            f"base: there is no file {base.uri}: store the weights again"
        ) from None
    except DigestMismatch as error:
        raise InvalidRunFile(f"base: {error}: name the file that is meant") from None
    try:
        state, document = model.read_weights(path)
        described = ModelConfig.model_validate(document)
        if described.engine is not run.template.engine:
            raise InvalidRunFile(
                f"base: {base.uri} is a model of the engine {described.engine.value}, the template "
                f"has {run.template.engine.value}: go on from a model of the same engine"
            )
        # Whether the tensors are those of the architecture that the file names.
        model.restore(described, state)
    except ValidationError as error:
        raise InvalidRunFile(
            f"base: {base.uri} does not describe its model ({first_problem(error)}): go on from a "
            "model.pth of Trainyard"
        ) from None
    except model.UnusableModel as error:
        raise InvalidRunFile(f"base: {base.uri}: {error}") from None
    return Base(base.uri, described.architecture, described.model, described.classes, state)
