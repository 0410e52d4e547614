"""The same real data in all five formats gives the same samples."""

from __future__ import annotations

import io
import json
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pycocotools import mask as masks

from tests.unit import real
from tests.unit.datasets.arranged import selection_of
from tests.unit.labelled import BUCKET, put, write_folder
from tests.unit.sources import selection, snapshot_of
from trainyard.api.run import StoreLocation
from trainyard.datasets.formats.outlines import joined
from trainyard.datasets.found import LoadedImage
from trainyard.datasets.labels import Label
from trainyard.datasets.source import Source
from trainyard.stores import Store, open_store
from trainyard_demo.data import digits, nuclei, sources

SIDE = nuclei.TILE
Bits = npt.NDArray[np.bool_]
Files = dict[str, bytes]
Samples = dict[bytes, tuple[Label, ...]]


@dataclass(frozen=True)
class Tile:
    """An image with the masks of the nuclei in it."""

    name: str
    png: bytes
    objects: tuple[Bits, ...]


@cache
def tiles() -> tuple[Tile, ...]:
    """Those of the demo's dev and test parts: two places of one microscope image."""
    image, mask = real.nuclei()
    found = []
    for part in ("dev", "test"):
        for left, top in nuclei.SPLITS[part].tiles():
            here = (slice(top, top + SIDE), slice(left, left + SIDE))
            buffer = io.BytesIO()
            Image.fromarray(image[here]).save(buffer, "PNG")
            numbers, areas = np.unique(mask[here], return_counts=True)
            objects = tuple(
                mask[here] == number
                for number, area in zip(numbers, areas, strict=True)
                if number and area > 20
            )
            found.append(Tile(f"x{left}-y{top}", buffer.getvalue(), objects))
    return tuple(found)


def corners(mask: Bits) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(mask)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def outlines(mask: Bits) -> list[npt.NDArray[np.float64]]:
    """As most tools draw them: through the centres of the outermost pixels."""
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [contour[:, 0, :] + 0.5 for contour in found if len(contour) > 2]


def runs(mask: Bits) -> list[int]:
    pixels = mask.T.ravel().tolist()
    found = [len(list(same)) for _, same in groupby(pixels)]
    return [0, *found] if pixels[0] else found


# The five formats. What is written is spelled by hand, with nothing of the readers.


def as_yolo(shape: str) -> Files:
    files: Files = {"data.yaml": b"names: [nucleus]"}
    for tile in tiles():
        lines = []
        for mask in tile.objects:
            if shape == "box":
                x0, y0, x1, y1 = corners(mask)
                numbers = [(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0]
            else:
                numbers = joined(outlines(mask)).ravel().tolist()
            lines.append(" ".join(["0", *(repr(number / SIDE) for number in numbers)]))
        files[f"images/{tile.name}.png"] = tile.png
        files[f"labels/{tile.name}.txt"] = "\n".join(lines).encode()
    return files


def as_coco(shape: str) -> Files:
    images, annotations = [], []
    for number, tile in enumerate(tiles()):
        image = {"id": 7 * number, "file_name": f"{tile.name}.png", "width": SIDE, "height": SIDE}
        images.append(image)
        for mask in tile.objects:
            x0, y0, x1, y1 = corners(mask)
            entry: dict[str, object] = {"bbox": [x0, y0, x1 - x0, y1 - y0]}
            if shape == "polygon":
                entry["segmentation"] = [ring.ravel().tolist() for ring in outlines(mask)]
            elif shape == "runs":
                entry["segmentation"] = {"size": [SIDE, SIDE], "counts": runs(mask)}
            elif shape == "packed runs":
                packed = masks.encode(np.asfortranarray(mask.astype(np.uint8)))
                entry["segmentation"] = {**packed, "counts": packed["counts"].decode()}
            ids = {"id": len(annotations), "image_id": 7 * number, "category_id": 90}
            annotations.append({**ids, **entry, "iscrowd": 0})
    document = {
        "images": images,
        "categories": [{"id": 90, "name": "nucleus"}],
        "annotations": annotations,
    }
    pngs = {f"val2017/{tile.name}.png": tile.png for tile in tiles()}
    return {"annotations/instances_val2017.json": json.dumps(document).encode(), **pngs}


def as_voc() -> Files:
    files: Files = {}
    for tile in tiles():
        objects = ""
        for mask in tile.objects:
            x0, y0, x1, y1 = corners(mask)
            objects += (
                f"<object><name>nucleus</name><bndbox><xmin>{x0 + 1}</xmin><ymin>{y0 + 1}</ymin>"
                f"<xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
            )
        size = f"<size><width>{SIDE}</width><height>{SIDE}</height><depth>1</depth></size>"
        files[f"JPEGImages/{tile.name}.png"] = tile.png
        document = f"<annotation>{size}{objects}</annotation>"
        files[f"Annotations/{tile.name}.xml"] = document.encode()
    return files


def as_records(shape: str, kind: str) -> Files:
    rows: list[dict[str, object]] = []
    for tile in tiles():
        image = f"{tile.name}.png"
        rows += [{"image": image}] if not tile.objects else []
        for number, mask in enumerate(tile.objects):
            row: dict[str, object] = {"image": image, "entity": number, "value": "nucleus"}
            row |= {"attribute": "class", "submission": "s1", "submittedAt": "2026-05-01"}
            if shape == "box":
                row["box"] = [edge / SIDE for edge in corners(mask)]
            else:
                row["polygon"] = (joined(outlines(mask)) / SIDE).ravel().tolist()
            rows.append(row)
    return {**table(rows, kind), **{f"{tile.name}.png": tile.png for tile in tiles()}}


def table(rows: list[dict[str, object]], kind: str) -> Files:
    if kind == "jsonl":
        return {"rows.jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode()}
    buffer = io.BytesIO()
    columns = dict.fromkeys(column for row in rows for column in row)
    pq.write_table(pa.table({name: [row.get(name) for row in rows] for name in columns}), buffer)
    return {"rows.parquet": buffer.getvalue()}


def crowded(tile: Tile) -> str:
    return "many" if len(tile.objects) > 6 else "few"


def as_folders() -> Files:
    return {f"{crowded(tile)}/{tile.name}.png": tile.png for tile in tiles()}


def as_records_of_whole_images() -> Files:
    rows = [{"image": f"i/{tile.name}.png", "value": crowded(tile)} for tile in tiles()]
    pngs = {f"i/{tile.name}.png": tile.png for tile in tiles()}
    return {**table(list(rows), "parquet"), **pngs}


@pytest.fixture(scope="module")
def boxes() -> dict[str, tuple[str, Files]]:
    """The tiles with boxes: the format, and the files."""
    return {
        "yolo": ("yolo", as_yolo("box")),
        "coco": ("coco", as_coco("box")),
        "voc": ("voc", as_voc()),
        "records in Parquet": ("records", as_records("box", "parquet")),
        "records in JSON lines": ("records", as_records("box", "jsonl")),
    }


def read(root: Path, kind: str, files: Files) -> Samples:
    """Labels by the digest of the image."""
    write_folder(root, files)
    found = {}
    with closing(
        Source(open_store(StoreLocation()), selection_of(kind), uri=f"file://{root}")
    ) as source:
        assert not {x.reason for x in source.refused.counts()} - {"OtherFile"}
        for image in source.images():
            assert isinstance(image, LoadedImage)
            found[image.digest] = image.annotations.labels
    return found


def test_boxes_are_the_same_in_four_formats(
    tmp_path: Path, boxes: dict[str, tuple[str, Files]]
) -> None:
    found = {name: read(tmp_path / name, *files) for name, files in boxes.items()}
    first = found["yolo"]
    assert len(first) == 30
    assert sum(map(len, first.values())) > 150
    assert {label.geometry for labels in first.values() for label in labels} == {"box"}
    assert all(samples == first for samples in found.values())


def test_snapshots_are_one_whatever_the_format(
    store: Store, prefix: str, boxes: dict[str, tuple[str, Files]]
) -> None:
    places = set()
    for name, (kind, files) in boxes.items():
        if name == "records in JSON lines":
            continue
        put(store, f"{prefix}/{kind}", files)
        chosen = selection(f"{prefix}/{kind}", kind)
        # The place is named by the digest.
        places.add(snapshot_of(store, f"s3://{BUCKET}/{prefix}/made", chosen).location)
    assert len(places) == 1


def test_polygons_are_the_same_in_three_formats(tmp_path: Path) -> None:
    kinds = {
        "yolo": as_yolo("polygon"),
        "coco": as_coco("polygon"),
        "records": as_records("polygon", "parquet"),
    }
    found = {kind: read(tmp_path / kind, kind, files) for kind, files in kinds.items()}
    first = found["yolo"]
    assert {label.geometry for labels in first.values() for label in labels} == {"polygon"}
    assert all(samples == first for samples in found.values())


def test_masks_of_both_kinds_are_the_polygons_within_a_pixel(tmp_path: Path) -> None:
    polygons, packed, plain = (
        read(tmp_path / shape, "coco", as_coco(shape))
        for shape in ("polygon", "packed runs", "runs")
    )
    assert packed == plain
    assert packed.keys() == polygons.keys()
    for digest, labels in polygons.items():
        assert len(packed[digest]) == len(labels)
        for label in labels:
            assert min(apart(label, other) for other in packed[digest]) <= 1.0


def apart(one: Label, other: Label) -> float:
    """The furthest that a point of one of the outlines is from the other, in pixels."""
    rings = [
        np.array(label.points, np.float32).reshape(-1, 1, 2) * np.float32(SIDE)
        for label in (one, other)
    ]
    return max(
        abs(cv2.pointPolygonTest(ring, (float(x), float(y)), True))
        for ring, points in (rings, rings[::-1])
        for ((x, y),) in points
    )


def test_whole_images_are_the_same_as_folders_and_as_records(tmp_path: Path) -> None:
    folders = read(tmp_path / "folders", "folders", as_folders())
    records = read(tmp_path / "records", "records", as_records_of_whole_images())
    assert folders == records
    assert {label.value for labels in folders.values() for label in labels} == {"few", "many"}


def test_the_images_are_the_same_in_all_five(
    tmp_path: Path, boxes: dict[str, tuple[str, Files]]
) -> None:
    found = [read(tmp_path / name, *files) for name, files in boxes.items()]
    found.append(read(tmp_path / "folders", "folders", as_folders()))
    assert len({frozenset(samples) for samples in found}) == 1


def test_real_classes_are_the_same_as_folders_and_as_records(tmp_path: Path) -> None:
    """A hundred handwritten digits."""
    files: Files = {}
    rows: list[dict[str, object]] = []
    for digit in digits.read(real.fetched() / sources.DIGITS.name)[:100]:
        buffer = io.BytesIO()
        digits.enlarge(digit.pixels).save(buffer, "PNG")
        files[f"{digit.label}/{digit.number}.png"] = buffer.getvalue()
        rows.append({"image": f"{digit.label}/{digit.number}.png", "value": digit.label})
    folders = read(tmp_path / "folders", "folders", files)
    records = read(tmp_path / "records", "records", {**files, **table(rows, "jsonl")})
    assert folders == records
    assert len(folders) == 100
    assert len({label.value for labels in folders.values() for label in labels}) == 10
