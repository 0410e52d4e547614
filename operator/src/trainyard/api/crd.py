"""The CustomResourceDefinitions, generated from the kinds.

``python -m trainyard.api.crd`` writes ``crds/*.yaml``, the chart's copy of them and
``docs/api.md``; with ``--check`` it writes nothing and exits 1 when a file differs from the kinds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from trainyard.api._base import rule
from trainyard.api.capability import Capability
from trainyard.api.catalogue import reasons_page
from trainyard.api.dataset import Dataset
from trainyard.api.meta import GROUP, VERSION, Json, Resource
from trainyard.api.model import TrainedModel
from trainyard.api.process import TrainingProcess
from trainyard.api.reference import reference
from trainyard.api.schema import folded, structural_schema
from trainyard.api.template import TrainingTemplate

CATEGORY = "trainyard"
# The chart carries its own copy: Helm packs nothing from outside of the chart's folder.
FOLDERS = ("crds", "helm/trainyard/files/crds")
REFERENCE = "docs/api.md"
CATALOGUE = "docs/reasons.md"
HEADER = "# Generated from trainyard.api by `python -m trainyard.api.crd`: do not edit.\n"


@dataclass(frozen=True)
class Column:
    """One column of `kubectl get`.

    Attributes
    ----------
    name, path, type
        Heading, JSON path, and type as apiextensions names it.
    wide
        Whether only `-o wide` shows it.
    description
        What `kubectl get` shows in the column, in one sentence.
    """

    name: str
    path: str
    description: str
    type: str = "string"
    wide: bool = False

    def to_wire(self) -> Json:
        """The column as the CRD spells it."""
        return {
            "name": self.name,
            "type": self.type,
            "jsonPath": self.path,
            "description": self.description,
            "priority": 1 if self.wide else 0,
        }


AGE = Column("AGE", ".metadata.creationTimestamp", "Time since the object was made.", "date")


@dataclass(frozen=True)
class Kind:
    """What a CRD says besides the schema.

    Attributes
    ----------
    model
        The kind.
    plural, short
        Names that kubectl takes.
    columns
        Columns of `kubectl get`, in order.
    selectable
        JSON paths that `--field-selector` takes.
    """

    model: type[Resource]
    plural: str
    short: str
    columns: tuple[Column, ...]
    selectable: tuple[str, ...] = field(default=())

    @property
    def name(self) -> str:
        """Name of the kind, as in `kind:`."""
        return self.model.__name__


KINDS: tuple[Kind, ...] = (
    Kind(
        Capability,
        "capabilities",
        "cap",
        (
            Column("TYPE", ".spec.type", "The kind of element."),
            Column("CLASSES", ".status.classes", "Number of outputs.", "integer"),
            AGE,
        ),
    ),
    Kind(
        Dataset,
        "datasets",
        "tds",
        (
            Column("PHASE", ".status.phase", "Where the dataset stands."),
            Column("SAMPLES", ".status.snapshot.samples", "Number of distinct images.", "integer"),
            Column("CLASSES", ".status.display.classes", "Number of classes."),
            Column("SIZE", ".status.display.size", "Size of the packed images."),
            AGE,
        ),
    ),
    Kind(
        TrainingTemplate,
        "trainingtemplates",
        "tt",
        (
            Column("ENGINE", ".spec.engine", "The training engine."),
            Column("MODEL", ".status.base", "What training starts from."),
            Column("EPOCHS", ".spec.hyperparameters.epochs", "Passes over the data.", "integer"),
            AGE,
        ),
    ),
    Kind(
        TrainingProcess,
        "trainingprocesses",
        "tp",
        (
            Column("PHASE", ".status.phase", "Where the run stands."),
            Column("PROGRESS", ".status.display.progress", "Percent and epoch."),
            Column("ETA", ".status.display.eta", "Time left, or the estimated start."),
            Column("NODE", ".spec.targetNode", "The node that the training runs on."),
            Column("QUEUE", ".status.display.queue", "Position, and whom it waits for."),
            Column("METRIC", ".status.display.metric", "The primary metric."),
            AGE,
            Column("CAPABILITY", ".spec.capability", "What the model must output.", wide=True),
            Column("TEMPLATE", ".spec.template", "The recipe.", wide=True),
            Column(
                "ATTEMPT", ".status.attempts[-1:].number", "The newest try.", "integer", wide=True
            ),
            Column("REASON", ".status.display.reason", "Why it stands there.", wide=True),
        ),
        (".spec.template", ".spec.capability", ".spec.targetNode"),
    ),
    Kind(
        TrainedModel,
        "trainedmodels",
        "tm",
        (
            Column("CAPABILITY", ".spec.capability", "The Capability it was trained for."),
            Column("TYPE", ".spec.type", "The kind of element."),
            Column("METRIC", ".spec.metric", "The primary metric."),
            Column("SIZE", ".status.display.size", "Size of the weights."),
            Column("PROCESS", ".spec.lineage.process", "The TrainingProcess that made it."),
            AGE,
        ),
    ),
)


def crd(kind: Kind) -> Json:
    """CustomResourceDefinition of one kind, as plain JSON values."""
    fields = kind.model.model_fields
    spec = structural_schema(fields["spec"].annotation, defaults=True)  # type: ignore[arg-type]
    status = structural_schema(fields["status"].annotation, defaults=False)  # type: ignore[arg-type]
    schema = {
        "type": "object",
        "description": folded(kind.model.__doc__ or ""),
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"Always {GROUP}/{VERSION}."},
            "kind": {"type": "string", "description": f"Always {kind.name}."},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
        "x-kubernetes-validations": [
            rule(
                "size(self.metadata.name) <= 63",
                "metadata.name has more than 63 characters: names become labels, "
                "choose a shorter one",
            ),
            rule(
                "!self.metadata.name.contains('.')",
                "metadata.name contains a dot: use lower-case letters, digits and '-' only",
            ),
        ],
    }
    version: Json = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [column.to_wire() for column in kind.columns],
    }
    if kind.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in kind.selectable]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                "shortNames": [kind.short],
                "categories": [CATEGORY],
            },
            "versions": [version],
        },
    }


def generated_files() -> dict[str, str]:
    """All generated files: path below the repository's root to text."""
    definitions = {kind.plural: crd(kind) for kind in KINDS}
    texts = {
        f"{plural}.yaml": HEADER
        + yaml.safe_dump(definition, sort_keys=True, width=100, allow_unicode=True)
        for plural, definition in definitions.items()
    }
    return {
        **{f"{folder}/{name}": text for folder in FOLDERS for name, text in texts.items()},
        REFERENCE: reference(tuple(definitions.values())),
        CATALOGUE: reasons_page(),
    }


def differing(root: Path) -> list[str]:
    """Paths below `root` that are missing, stale or left over, sorted."""
    wanted = generated_files()
    paths = {root / path for path in wanted}
    paths |= {path for folder in FOLDERS for path in (root / folder).glob("*.yaml")}
    present = {
        path.relative_to(root).as_posix(): path.read_text(encoding="utf-8")
        for path in paths
        if path.is_file()
    }
    return sorted(
        path for path in wanted.keys() | present.keys() if wanted.get(path) != present.get(path)
    )


def write(root: Path) -> list[str]:
    """Make the generated files below `root` what they should be; paths of those that changed."""
    files = generated_files()
    changed = differing(root)
    for path in changed:
        if path in files:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(files[path], encoding="utf-8")
        else:
            (root / path).unlink()
    return changed


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the generated files, or say whether they are those of the kinds.

    Parameters
    ----------
    arguments
        Command-line arguments; None takes those of the process.

    Returns
    -------
    int
        Exit status: 1 when ``--check`` found a difference, else 0.
    """
    parser = argparse.ArgumentParser(
        prog="python -m trainyard.api.crd",
        description="Generate the CRDs and their reference from the kinds.",
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if different")
    parser.add_argument("--root", type=Path, default=Path(), help="the repository; default: here")
    options = parser.parse_args(arguments)
    if options.check:
        stale = differing(options.root)
        if stale:
            sys.stderr.write(
                f"{', '.join(stale)}: not what the kinds in trainyard.api say: run "
                "`python -m trainyard.api.crd` and commit the result\n"
            )
        return 1 if stale else 0
    changed = write(options.root)
    sys.stdout.write(f"generated files: {', '.join(changed) or 'nothing'} changed\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
