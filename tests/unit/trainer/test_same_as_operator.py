"""What the operator proves and counts before a run is what the trainer does with the data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.unit.labelled import BUCKET, image_bytes, put
from tests.unit.sources import selection, snapshot_run
from trainyard.api.capability import (
    CapabilitySpec,
    CapabilityType,
    Geometry,
    Output,
    usable_geometries,
)
from trainyard.api.comparison import SharedGroups, SplitName, SplitPair
from trainyard.api.run import RunSplits
from trainyard.api.template import Engine
from trainyard.datasets.errors import BadData
from trainyard.datasets.labels import GeometryName, Label
from trainyard.datasets.reading import read_snapshot
from trainyard.datasets.samples import Sample
from trainyard.datasets.splits import compare_splits
from trainyard.decide.recipe import METRICS
from trainyard.decide.validation import FITS
from trainyard.stores import Store
from trainyard_trainer.engines import engine_for
from trainyard_trainer.prepare import prepare
from trainyard_trainer.progress import Reporter
from trainyard_trainer.snapshot import run_snapshot

POINTS: dict[GeometryName, tuple[float, ...]] = {
    "image": (),
    "box": (0.1, 0.1, 0.5, 0.5),
    "polygon": (0.1, 0.1, 0.5, 0.1, 0.5, 0.5),
}
ENGINES = {
    (CapabilityType.DETECTOR, Geometry.BOX): Engine.YOLO_DET,
    (CapabilityType.DETECTOR, Geometry.POLYGON): Engine.YOLO_SEG,
    (CapabilityType.IMAGE_CLASSIFIER, None): Engine.YOLO_CLS,
    (CapabilityType.BOX_CLASSIFIER, None): Engine.YOLO_CLS,
    (CapabilityType.BOX_EMBEDDER, None): Engine.EMBEDDER,
}


def test_every_engine_that_the_operator_lets_train_a_type_is_asked_about_it() -> None:
    assert set(ENGINES) == {
        (kind, shape)
        for kinds, shapes in FITS.values()
        for kind in kinds
        for shape in (shapes or {None})
    }
    for (kind, shape), engine in ENGINES.items():
        kinds, shapes = FITS[engine]
        assert kind in kinds and (shape is None or shape in shapes)


@pytest.mark.parametrize("kind", ENGINES, ids=lambda kind: "-".join(filter(None, kind)))
def test_an_engine_has_the_metrics_that_the_operator_lets_it_choose_by(
    kind: tuple[CapabilityType, Geometry | None],
) -> None:
    engine = engine_for(ENGINES[kind], kind[0])
    allowed = METRICS[engine.kind]
    assert set(engine.metrics) == set(allowed)
    assert engine.default_metric == allowed[0]


@pytest.mark.parametrize("geometry", POINTS)
@pytest.mark.parametrize("kind", ENGINES, ids=lambda kind: "-".join(filter(None, kind)))
def test_an_engine_uses_the_geometries_that_the_operator_counts_as_used(
    kind: tuple[CapabilityType, Geometry | None], geometry: GeometryName
) -> None:
    output = Output(attribute="class", value="cat", position=0)
    spec = CapabilitySpec(type=kind[0], geometry=kind[1], outputs=(output,))
    label = Label("class", "cat", geometry, POINTS[geometry])
    sample = Sample(b"d" * 32, "a.png", 10, 10, 0, 0, 1, (label,))
    found = engine_for(ENGINES[kind], kind[0]).examples_of(sample, {("class", "cat"): 0})
    assert bool(found and found[0].lines) == (geometry in usable_geometries(spec))


CLASSES = ("cat", "dog")


def snapshot(store: Store, prefix: str, split: str, first: int, videos: Sequence[int]) -> str:
    """Folder of a snapshot of two frames of each video, grouped by it; no two images are alike."""
    files: dict[str, bytes | str] = {
        f"{value}/video{video}_{number}.png": image_bytes(first + 2 * place + number)
        for place, video in enumerate(videos)
        for number, value in enumerate(CLASSES)
    }
    put(store, f"{prefix}/{split}", files)
    run = snapshot_run(
        f"s3://{BUCKET}/{prefix}/snapshots",
        selection(f"{prefix}/{split}"),
        name=split,
        namespace="team",
        groupBy=r"/(video\d+)_",
    )
    location = run_snapshot(store, run, Reporter(None, "snapshot", "u")).location
    assert location is not None
    return location


@pytest.mark.parametrize("shared", [False, True])
def test_both_refuse_groups_on_both_sides_and_nothing_else(
    shared: bool, store: Store, prefix: str, tmp_path: Path
) -> None:
    folders: dict[SplitName, str] = {
        "train": snapshot(store, prefix, "train", 0, (1, 2, 3)),
        "dev": snapshot(store, prefix, "dev", 100, (4,)),
        "test": snapshot(store, prefix, "test", 200, (4, 3, 1) if shared else (4,)),
    }
    found = compare_splits(store, {name: [folder] for name, folder in folders.items()})
    with_train = [pair for pair in found.pairs if pair.first == "train"]
    outputs = tuple(
        Output(attribute="class", value=value, position=position)
        for position, value in enumerate(CLASSES)
    )
    splits = RunSplits.model_validate(
        {
            name: [{"name": name, "uri": folder, "digest": read_snapshot(store, folder).digest}]
            for name, folder in folders.items()
        }
    )

    def prepared() -> None:
        engine = engine_for(Engine.YOLO_CLS, CapabilityType.IMAGE_CLASSIFIER)
        prepare(store, splits, outputs, engine, tmp_path, lambda done, total: None)

    if not shared:
        assert with_train == []
        prepared()
        return
    groups = SharedGroups(2, (4, 4), ("video1", "video3"))
    assert with_train == [SplitPair("train", "test", groups=groups)]
    expected = "2 groups have samples in train and in test, for example video1, video3"
    with pytest.raises(BadData, match=expected):
        prepared()
