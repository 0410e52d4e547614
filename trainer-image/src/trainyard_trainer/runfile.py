"""Reading run.yaml and snapshot.yaml, and checking their seal."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from trainyard.api.documents import first_problem, load_yaml
from trainyard.api.run import Sealed
from trainyard_trainer.faults import InvalidRunFile

S = TypeVar("S", bound=Sealed)

_LIMIT_BYTES = 4 << 20


def read_sealed(path: Path, kind: type[S]) -> S:
    """The document at `path`.

    Raises
    ------
    InvalidRunFile
        If it cannot be read or is not of this kind.
    DocumentError
        If it is not YAML, or was changed after it was sealed.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidRunFile(f"{path}: {error.strerror}") from None
    if len(data) > _LIMIT_BYTES:
        raise InvalidRunFile(f"{path} is larger than {_LIMIT_BYTES} bytes")
    try:
        document = kind.model_validate(load_yaml(data, path.name))
    except ValidationError as error:
        raise InvalidRunFile(f"{path.name}: {first_problem(error)}") from None
    document.verify(path.name)
    return document
