"""Dataset manifests as people apply them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic import ValidationError

from trainyard.api.dataset import Dataset, DatasetSpec, Selection
from trainyard.api.documents import dump_yaml, first_problem
from trainyard.api.meta import ObjectMeta
from trainyard.cli.errors import CommandError

_NAME_LENGTH = 63


def object_name(text: str) -> str:
    """As like `text` as a name of an object can be: `My Pets/train` is `my-pets-train`."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return plain[:_NAME_LENGTH].strip("-") or "dataset"


def dataset_manifest(
    name: str, selection: Selection, group_by: str | None, description: str | None = None
) -> Dataset:
    """A Dataset of one selection.

    Raises
    ------
    CommandError
        If the API would not take it.
    """
    try:
        return Dataset(
            metadata=ObjectMeta(name=name),
            spec=DatasetSpec(description=description, selections=(selection,), group_by=group_by),
        )
    except ValidationError as error:
        raise CommandError(f"Dataset {name}: {first_problem(error)}") from None


def manifest_text(datasets: Sequence[Dataset]) -> str:
    """YAML for `kubectl apply -f -`: what is said, without what is so anyway."""
    documents = []
    for dataset in datasets:
        plain = dataset.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        documents.append(
            dump_yaml(
                {
                    "apiVersion": dataset.api_version,
                    "kind": dataset.kind,
                    "metadata": {"name": dataset.metadata.name},
                    "spec": plain["spec"],
                }
            )
        )
    return "---\n".join(documents)
