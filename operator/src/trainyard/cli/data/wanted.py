"""Which Datasets a search is about."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from trainyard.api.dataset import Dataset, Selection
from trainyard.api.documents import DocumentError, first_problem, load_documents
from trainyard.cli.data.guess import Guess
from trainyard.cli.errors import CommandError
from trainyard.datasets.source import source_uri


@dataclass(frozen=True)
class Wanted:
    """Selections under a name.

    Attributes
    ----------
    title
        For people.
    name
        The same as part of a file's name.
    selections
        Each with the place of its files.
    group_by
        See `DatasetSpec`.
    guess
        If nobody has named the format.
    """

    title: str
    name: str
    selections: tuple[tuple[str, Selection], ...]
    group_by: str | None
    guess: Guess | None = None


def wanted_of(dataset: Dataset) -> Wanted:
    """The selections of a Dataset.

    Raises
    ------
    CommandError
        If it has none, or one of them lies on a volume.
    """
    name = f"Dataset {dataset.metadata.name}"
    if not dataset.spec.selections:
        raise CommandError(f"{name} is an empty draft: give it a selection")
    found = []
    for index, selection in enumerate(dataset.spec.selections):
        if selection.source.s3 is None:
            raise CommandError(
                f"selection {index} of {name} lies on a volume, which is seen in the cluster only: "
                "`trainyard datasets check` looks at a folder of this machine"
            )
        found.append((source_uri(selection), selection))
    return Wanted(name, dataset.metadata.name, tuple(found), dataset.spec.group_by)


def datasets_of(text: str, file: str) -> list[Dataset]:
    """The Datasets of a file of manifests, Lists too; other kinds are passed over.

    Raises
    ------
    CommandError
        If it cannot be used, or has none; the sentence names the field.
    """
    found = []
    try:
        documents = [document for _, document in load_documents(text, file)]
    except DocumentError as error:
        raise CommandError(str(error)) from None
    for document in documents:
        found += [_dataset(item, file) for item in _objects(document) if _is_dataset(item)]
    if not found:
        raise CommandError(f"{file} has no Dataset")
    return found


def _objects(document: object) -> list[object]:
    """The objects of a document: itself, or the items of a List, as `kubectl get` prints them."""
    if isinstance(document, dict) and document.get("kind") in ("List", "DatasetList"):
        items = document.get("items")
        return items if isinstance(items, list) else []
    return [document]


def _is_dataset(item: object) -> bool:
    return isinstance(item, dict) and item.get("kind") == "Dataset"


def _dataset(item: object, file: str) -> Dataset:
    try:
        return Dataset.model_validate(item)
    except ValidationError as error:
        raise CommandError(f"{file}: {first_problem(error, given=True)}") from None
