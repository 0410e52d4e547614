"""Objects of a folder of manifests, each refused where the API server would refuse it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from trainyard.api.capability import Capability
from trainyard.api.dataset import Dataset
from trainyard.api.documents import DocumentError, first_problem, load_documents
from trainyard.api.meta import GROUP, Json, Resource
from trainyard.api.model import TrainedModel
from trainyard.api.process import TrainingProcess
from trainyard.api.template import TrainingTemplate
from trainyard.cli.errors import CommandError
from trainyard.cli.manifests.admission import admit

SUFFIXES = (".yaml", ".yml", ".json")
_LIMIT_BYTES = 8 << 20

R = TypeVar("R", bound=Resource)


@dataclass(frozen=True)
class Manifests:
    """Objects by kind and name.

    Attributes
    ----------
    place
        The folder or file, for people.
    left_alone
        `kind name (file)` of documents of other kinds.
    """

    place: str
    capabilities: dict[str, Capability] = field(default_factory=dict)
    templates: dict[str, TrainingTemplate] = field(default_factory=dict)
    datasets: dict[str, Dataset] = field(default_factory=dict)
    processes: dict[str, TrainingProcess] = field(default_factory=dict)
    models: dict[str, TrainedModel] = field(default_factory=dict)
    left_alone: tuple[str, ...] = ()

    def process(self, name: str | None) -> TrainingProcess:
        """The process of that name, or the only one.

        Raises
        ------
        CommandError
            If there is none, or several and no name.
        """
        known = ", ".join(sorted(self.processes)) or "none"
        if name is not None:
            if name not in self.processes:
                raise CommandError(f"{self.place} has no TrainingProcess {name}: it has {known}")
            return self.processes[name]
        if len(self.processes) != 1:
            raise CommandError(
                f"{self.place} has {len(self.processes)} TrainingProcesses ({known}): "
                + ("name one with --process" if self.processes else "it needs one")
            )
        return next(iter(self.processes.values()))


def read_manifests(place: Path) -> Manifests:
    """All objects of a file, or of the files of a folder that `kubectl apply -f` would take.

    Raises
    ------
    CommandError
        If one of them would not be taken by the API server, or a name is there twice; a sentence
        a problem, each with file, line, object and field.
    """
    found = Manifests(str(place))
    kinds: dict[str, tuple[type[Resource], dict[str, Any]]] = {
        "Capability": (Capability, found.capabilities),
        "TrainingTemplate": (TrainingTemplate, found.templates),
        "Dataset": (Dataset, found.datasets),
        "TrainingProcess": (TrainingProcess, found.processes),
        "TrainedModel": (TrainedModel, found.models),
    }
    places: dict[tuple[str, str], str] = {}
    left_alone, problems = [], []
    for where, document in _documents(place):
        kind = document.get("kind")
        name = (document.get("metadata") or {}).get("name", "without a name")
        ours = str(document.get("apiVersion", "")).startswith(f"{GROUP}/")
        if kind not in kinds or not ours:
            left_alone.append(f"{kind} {name} ({where})")
            continue
        model, objects = kinds[kind]
        made, wrong = admit(document)
        problems += [f"{where}: {kind} {name}: {sentence}" for sentence in wrong]
        if wrong:
            continue
        if (kind, name) in places:
            problems.append(f"{where}: {kind} {name} is there twice, first in {places[kind, name]}")
            continue
        places[kind, name] = where
        try:
            objects[name] = model.model_validate(made)
        except ValidationError as error:
            problems.append(f"{where}: {kind} {name}: {first_problem(error)}")
    if problems:
        raise CommandError("\n".join(problems))
    return Manifests(
        found.place,
        found.capabilities,
        found.templates,
        found.datasets,
        found.processes,
        found.models,
        tuple(left_alone),
    )


def _documents(place: Path) -> Iterator[tuple[str, Json]]:
    """Each document with its file and the line on which it begins."""
    for path in _files(place):
        try:
            if path.stat().st_size > _LIMIT_BYTES:
                raise CommandError(f"{path} is larger than {_LIMIT_BYTES} bytes: it is no manifest")
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise CommandError(f"{path} is not UTF-8 text: it is no manifest") from None
        try:
            documents = list(load_documents(text, str(path)))
        except DocumentError as error:
            raise CommandError(str(error)) from None
        for line, document in documents:
            where = f"{path}:{line}"
            if not isinstance(document, dict):
                raise CommandError(f"{where}: a manifest is a mapping with apiVersion and kind")
            items = document.get("items")
            if document.get("kind") == "List" and isinstance(items, list):
                yield from ((where, item) for item in items if isinstance(item, dict))
            else:
                yield where, document


def _files(place: Path) -> list[Path]:
    if not place.is_dir():
        return [place]
    files = sorted(path for path in place.iterdir() if path.suffix in SUFFIXES and path.is_file())
    if not files:
        raise CommandError(f"{place} has no manifest (*.yaml, *.yml, *.json)")
    return files
