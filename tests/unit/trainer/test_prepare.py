"""What an engine is given: the same files, wherever the shards come from."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from PIL import Image

from tests.unit.trainer.pods import Bench
from trainyard.api.capability import CapabilityType, Output
from trainyard.api.run import RunSplits
from trainyard.api.template import Engine
from trainyard.datasets.errors import BadData
from trainyard.datasets.node_cache import NodeCache
from trainyard.stores import Store
from trainyard_trainer.crops import cut
from trainyard_trainer.engines import engine_for
from trainyard_trainer.engines.base import Box
from trainyard_trainer.prepare import Prepared, prepare

OUTPUTS = tuple(
    Output(attribute="class", value=value, position=position)
    for position, value in enumerate(("disc", "square"))
)

ELEMENTS = {
    "yolo-cls": CapabilityType.IMAGE_CLASSIFIER,
    "yolo-det": CapabilityType.DETECTOR,
}


def laid_out(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and "data.yaml" not in path.name
    }


@pytest.mark.parametrize("engine", ["yolo-cls", "yolo-det"])
def test_a_run_with_a_cache_lays_out_the_same_files_as_one_without(
    engine: str, store: Store, bench: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    splits = RunSplits.model_validate(
        {split: [bench.snapshots[engine, split]] for split in ("train", "dev", "test")}
    )
    (tmp_path / "cache").mkdir()

    seen: list[tuple[int, int]] = []

    def prepared(name: str, cache: NodeCache | None) -> tuple[Prepared, dict[str, bytes]]:
        seen.clear()
        made = prepare(
            store,
            splits,
            OUTPUTS,
            engine_for(Engine(engine), ELEMENTS[engine]),
            tmp_path / name,
            lambda done, total: seen.append((done, total)),
            cache,
        )
        return made, laid_out(tmp_path / name)

    without, plain = prepared("without", None)
    total = sum(without.layout.counts.values())
    assert seen == [(done, total) for done in range(1, total + 1)]
    caplog.set_level(logging.INFO, "trainyard")
    _, cold = prepared("cold", NodeCache(tmp_path / "cache", 1 << 30))
    warm, again = prepared("warm", NodeCache(tmp_path / "cache", 1 << 30))
    assert "6 files, 6 of them from the node's cache" in caplog.text
    assert plain == cold == again
    assert len([name for name in plain if name.endswith(".png")]) == total
    assert warm.layout.counts == without.layout.counts
    assert [(held.name, held.labels) for held in warm.held_out] == [
        (held.name, held.labels) for held in without.held_out
    ]
    assert not list(tmp_path.rglob("*.tar"))


def test_an_outline_is_given_as_a_polygon_and_serves_as_a_box_too(
    store: Store, bench: Bench, tmp_path: Path
) -> None:
    splits = RunSplits.model_validate(
        {split: [bench.snapshots["yolo-seg", split]] for split in ("train", "dev", "test")}
    )
    for engine, numbers in ((Engine.YOLO_SEG, {8, 64}), (Engine.YOLO_DET, {4})):
        root = tmp_path / engine
        made = engine_for(engine, CapabilityType.DETECTOR)
        prepare(store, splits, OUTPUTS, made, root, lambda done, total: None)
        files = sorted(root.rglob("labels/*.txt"))
        assert len(files) == 30
        lines = [line.split() for path in files for line in path.read_text().splitlines()]
        assert {len(line) - 1 for line in lines} == numbers
        assert all(0 <= float(number) <= 1 for line in lines for number in line[1:])


def test_an_image_with_boxes_only_teaches_no_outlines_and_is_left_out(
    store: Store, bench: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "trainyard")
    engine = engine_for(Engine.YOLO_SEG, CapabilityType.DETECTOR)
    names = ("yolo-seg", "yolo-det")
    mixed = {
        split: [bench.snapshots[name, split] for name in names] for split in ("train", "dev")
    } | {"test": [bench.snapshots["yolo-cls", "test"]]}
    # The same images in both: what is a box in one and an outline in the other is not learnt of.
    with pytest.raises(
        BadData, match="train has no image to use, for the capability names"
    ) as said:
        prepare(
            store,
            RunSplits.model_validate(mixed),
            OUTPUTS,
            engine,
            tmp_path,
            lambda done, total: None,
        )
    assert "a box says nothing of an outline (all 16)" in str(said.value)
    assert "train: 0 images; 16 left out, for the capability names" in caplog.text


def test_a_box_element_is_given_a_square_around_each_labelled_box(
    store: Store, bench: Bench, tmp_path: Path
) -> None:
    splits = RunSplits.model_validate(
        {split: [bench.snapshots["yolo-det", split]] for split in ("train", "dev", "test")}
    )
    engine = engine_for(Engine.YOLO_CLS, CapabilityType.BOX_CLASSIFIER)
    made = prepare(store, splits, OUTPUTS, engine, tmp_path / "crops", lambda done, total: None)
    images = engine_for(Engine.YOLO_DET, CapabilityType.DETECTOR)
    whole = prepare(store, splits, OUTPUTS, images, tmp_path / "images", lambda done, total: None)
    assert made.layout.counts["test"] == sum(len(held.labels) for held in whole.held_out)
    for held in made.held_out:
        (label,) = held.labels
        assert label.geometry == "image"
        number = next(x.position for x in OUTPUTS if x.value == label.value)
        assert held.path.parent.name == f"{number:05d}"
        with Image.open(held.path) as crop:
            assert crop.width == crop.height


@pytest.mark.parametrize(
    ("box", "side", "at_corner"),
    [((0.4, 0.4, 0.6, 0.5), 24, 200), ((0.0, 0.0, 0.2, 0.2), 24, 114)],
    ids=["inside of the image", "at its corner, where grey is added"],
)
def test_a_crop_is_a_square_of_the_longer_side_and_a_tenth_on_each_side(
    box: Box, side: int, at_corner: int
) -> None:
    found = cut(Image.new("RGB", (100, 100), (200, 200, 200)), box)
    assert found.size == (side, side)
    assert found.getpixel((0, 0)) == (at_corner,) * 3
    assert found.getpixel((side - 1, side - 1)) == (200,) * 3
