"""Findings about labelled images, for people and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import click

from trainyard.api.dataset import RefusedCount
from trainyard.api.meta import Json
from trainyard.cli.data.statistics import Quantiles, Statistics
from trainyard.cli.output import print_table
from trainyard.datasets.problems import Problems
from trainyard.datasets.refusals import HARMLESS

_BAR = 40
_MANY_CLASSES = 50
_GEOMETRIES = {
    "box": ("box", "boxes"),
    "polygon": ("polygon", "polygons"),
    "image": ("label of a whole image", "labels of whole images"),
}


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 image`, `2 images`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def print_facts(facts: Sequence[tuple[str, str]]) -> None:
    """One line each, what they are about in a column of its own."""
    width = max(len(name) for name, _ in facts) + 3
    for name, said in facts:
        click.echo(f"{name:{width}}{said}")


def sample_facts(statistics: Statistics) -> list[tuple[str, str]]:
    """Lines about labels and groups."""
    kinds = [
        counted(statistics.geometries[name], *words)
        for name, words in _GEOMETRIES.items()
        if statistics.geometries[name]
    ]
    facts = [("labels", ", ".join(kinds) or "none")]
    if statistics.without_labels:
        facts.append(("without labels", counted(statistics.without_labels, "image")))
    groups = statistics.groups()
    if groups.largest is not None:
        name, samples = groups.largest
        without = f", {counted(groups.without, 'image')} in none" if groups.without else ""
        facts.append(
            ("groups", f"{groups.count:,}, the largest is {name} with {samples:,}{without}")
        )
    return facts


def print_classes(statistics: Statistics) -> None:
    """A histogram of the labels by class, most frequent first."""
    if not statistics.labels:
        return
    ranked = sorted(statistics.labels.items(), key=lambda item: (-item[1], item[0]))
    most = ranked[0][1]
    several = len({attribute for (attribute, _), _ in ranked}) > 1
    rows = [
        (
            f"{attribute}={value}" if several else value,
            f"{count:,}",
            f"{statistics.images[attribute, value]:,}",
            # Never nothing: a class that is there has a bar.
            "#" * max(1, round(_BAR * count / most)),
        )
        for (attribute, value), count in ranked[:_MANY_CLASSES]
    ]
    click.echo()
    print_table(("CLASS", "LABELS", "IMAGES", ""), rows)
    if len(ranked) > _MANY_CLASSES:
        rest = sum(count for _, count in ranked[_MANY_CLASSES:])
        click.echo(f"and {len(ranked) - _MANY_CLASSES} classes more with {counted(rest, 'label')}")


def classes(statistics: Statistics) -> list[tuple[str, int]]:
    """(value, number of labels), most frequent first, whatever the attribute."""
    counts: Counter[str] = Counter()
    for (_, value), count in statistics.labels.items():
        counts[value] += count
    return sorted(counts.items(), key=lambda x: (-x[1], x[0]))


def print_sizes(statistics: Statistics) -> None:
    """Quantiles of the sizes of images and boxes."""
    rows = []
    for name, quantiles, factor in _sizes(statistics):
        told = quantiles.told()
        if told:
            rows.append((name, *(_short(factor * value) for value in told)))
    if not rows:
        return
    click.echo()
    print_table(("SIZE", *("MIN", "5%", "MEDIAN", "95%", "MAX")), rows)


def print_refused(refused: Sequence[RefusedCount]) -> None:
    """What is left out: against the source first, then what was never meant."""
    for title, listed in (
        ("REFUSED", [entry for entry in refused if entry.reason not in HARMLESS]),
        ("LEFT ALONE", [entry for entry in refused if entry.reason in HARMLESS]),
    ):
        if listed:
            click.echo()
            rows = [(x.reason, f"{x.count:,}", _names(x)) for x in listed]
            print_table((title, "FILES", "FIRST NAMES"), rows)


def print_problems(problems: Problems) -> None:
    """What makes a snapshot fail."""
    if not problems.count:
        return
    click.echo()
    click.echo(f"CANNOT BE USED ({counted(problems.count, 'place')})")
    for sentence in problems.first:
        click.echo(sentence)
    if problems.count > len(problems.first):
        click.echo(f"and {problems.count - len(problems.first):,} more")


def problems_document(problems: Problems) -> Json:
    """The same for programs."""
    return {"count": problems.count, "first": problems.first}


def as_document(statistics: Statistics, refused: Sequence[RefusedCount]) -> Json:
    """The same for programs: sizes in pixels, areas as fractions of the image's."""
    groups = statistics.groups()
    return {
        "samples": statistics.samples,
        "annotations": statistics.annotations,
        "withoutLabels": statistics.without_labels,
        "geometries": dict(statistics.geometries),
        "classes": [
            {
                "attribute": attribute,
                "value": value,
                "count": count,
                "images": statistics.images[attribute, value],
            }
            for (attribute, value), count in sorted(statistics.labels.items())
        ],
        "groups": {"count": groups.count, "samplesWithout": groups.without},
        "sizes": {
            key: dict(zip(("min", "p5", "median", "p95", "max"), quantiles.told(), strict=True))
            for key, quantiles in (
                ("imageWidth", statistics.image_width),
                ("imageHeight", statistics.image_height),
                ("boxWidth", statistics.box_width),
                ("boxHeight", statistics.box_height),
                ("boxArea", statistics.box_area),
            )
            if quantiles.told()
        },
        "refused": [entry.to_wire() for entry in refused],
    }


def _sizes(statistics: Statistics) -> list[tuple[str, Quantiles, float]]:
    return [
        ("image width, px", statistics.image_width, 1),
        ("image height, px", statistics.image_height, 1),
        ("box width, px", statistics.box_width, 1),
        ("box height, px", statistics.box_height, 1),
        ("box area, % of image", statistics.box_area, 100),
    ]


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def _names(entry: RefusedCount) -> str:
    shown = ", ".join(entry.examples)
    return f"{shown}, ..." if entry.count > len(entry.examples) else shown
