"""A model as people look at it: what it knows, how good it is, where it comes from, its files."""

from __future__ import annotations

from collections.abc import Iterator

import click

from trainyard.api.model import TrainedModel
from trainyard.cli.downloads import files_of
from trainyard.cli.output import print_metrics, print_table
from trainyard.cli.process_reading import columns_of
from trainyard.decide.display import size

MOST_CLASSES = 50
"""That are listed; the config.yaml of the model has all."""


def print_model(model: TrainedModel) -> None:
    """Print all that is known about a model."""
    facts = dict(_facts(model))
    width = max(map(len, facts))
    for name, value in facts.items():
        click.echo(f"{name:{width}}  {value}")
    click.echo()
    classes = model.spec.classes
    rows = [(str(item.position), item.attribute, item.value) for item in classes[:MOST_CLASSES]]
    print_table(("POSITION", "ATTRIBUTE", "VALUE"), rows)
    if len(classes) > MOST_CLASSES:
        click.echo(f"and {len(classes) - MOST_CLASSES} more")
    evaluations = model.status.evaluations
    if evaluations:
        click.echo()
        print_metrics(
            {
                f"{item.plan} {split}": values
                for item in evaluations
                for split, values in columns_of(item).items()
            }
        )
    click.echo()
    print_table(
        ("FILE", "SIZE", "SHA-256", "PLACE"),
        [(role, size(ref.size_bytes), ref.sha256, ref.uri) for role, ref in files_of(model)],
    )


def _facts(model: TrainedModel) -> Iterator[tuple[str, str]]:
    spec, lineage = model.spec, model.spec.lineage
    yield "model", model.key
    if spec.display_name:
        yield "name", spec.display_name
    yield "capability", f"{spec.capability}, {spec.type}"
    yield "engine", spec.engine
    if spec.metric:
        yield "metric", f"{spec.metric}, at the end of the training"
    for item in model.status.evaluations:
        yield (
            f"plan {item.plan}",
            f"{item.primary_metric} decides, measured {item.created_at:%F %R}",
        )
    if lineage is not None:
        parts = {
            "process": lineage.process,
            "template": lineage.template,
            "node": lineage.node,
            "finished": f"{lineage.finished_at:%F %R}" if lineage.finished_at else None,
        }
        yield "made by", ", ".join(f"{name} {value}" for name, value in parts.items() if value)
    if spec.fingerprint:
        yield "fingerprint", spec.fingerprint
    yield "location", spec.artefacts.location
