"""The catalogue of bad labels and images: each on files that really are so, as a snapshot of them.

What fails names file and line, and what is harmless is read and counted.
"""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from PIL import Image

from tests.unit.datasets.test_images import bomb, saved, turned
from tests.unit.labelled import image_bytes
from tests.unit.sources import snapshot_of_files
from trainyard.datasets.errors import BadData
from trainyard.datasets.reading import read_snapshot
from trainyard.stores import Store

Files = Mapping[str, bytes | str]

PNG = image_bytes()  # 40 x 30 pixels
GOOD = "0 0.5 0.5 0.2 0.2\n"
NAMES = "names: [cat, dog]\n"


def yolo(line: str = "") -> dict[str, bytes | str]:
    return {"images/a.png": PNG, "labels/a.txt": GOOD + line, "data.yaml": NAMES}


def coco(file_name: str = "a.png", **changes: object) -> dict[str, bytes | str]:
    annotation = {"id": 17, "image_id": 1, "category_id": 3, "bbox": [0, 0, 20, 15]}
    document = {
        "images": [{"id": 1, "file_name": file_name, "width": 40, "height": 30}],
        "categories": [{"id": 3, "name": "cat"}],
        "annotations": [annotation | changes],
    }
    return {"a.png": PNG, "x.json": json.dumps(document)}


def voc(
    box: tuple[int, int, int, int] = (1, 1, 20, 15), before: str = ""
) -> dict[str, bytes | str]:
    sides = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    inside = "".join(f"<{side}>{edge}</{side}>" for side, edge in sides)
    return {
        "JPEGImages/a.png": PNG,
        "Annotations/a.xml": f"{before}<annotation>\n<size><width>40</width><height>30</height>"
        f"</size>\n<object><name>cat</name><bndbox>{inside}</bndbox></object></annotation>",
    }


def many(kind: str, bad: bytes) -> Files:
    """Twenty good images and two bad ones: more than the twentieth part that is allowed."""
    files: dict[str, bytes | str] = {f"cat/{n}.png": image_bytes(n) for n in range(20)}
    return files | {f"cat/{kind}-{n}.png": bad for n in range(2)}


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("images/a.png", PNG)
        archive.writestr("../../etc/cron.d/owned", "* * * * * root id")
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        link = tarfile.TarInfo("images/a.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return buffer.getvalue()


DEEP = '{"images": ' + "[" * 10_000
ALIASES = "a: &a [x, x]\nb: &b [*a, *a]\nnames: [*b, *b]\n"
ENTITY = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'

FAILS: dict[str, tuple[str, Files, str]] = {
    "a YOLO class that has no name": ("yolo", yolo("7 0.5 0.5 0.2 0.2"), "labels/a.txt:2: class 7"),
    "a YOLO box outside of the image": (
        "yolo",
        yolo("0 0.95 0.5 0.2 0.2"),
        "labels/a.txt:2: the box reaches outside of the image",
    ),
    "a YOLO polygon outside of the image": (
        "yolo",
        yolo("0 0.5 0.5 1.5 0.5 0.5 1"),
        "labels/a.txt:2: the polygon reaches outside of the image",
    ),
    "NaN": ("yolo", yolo("0 nan 0.5 0.2 0.2"), "labels/a.txt:2: 'nan' is not a finite number"),
    "four columns": ("yolo", yolo("0 0.5 0.5 0.2"), "labels/a.txt:2: 4 columns"),
    "labels without images, over the threshold": (
        "yolo",
        yolo() | {"labels/b.txt": GOOD},
        "LabelWithoutImage 1 (labels/b.txt)",
    ),
    "aliases in a data.yaml": ("yolo", yolo() | {"data.yaml": ALIASES}, "data.yaml: line 2: YAML"),
    "a deep JSON": ("coco", coco() | {"x.json": DEEP}, "x.json: nested more than 32 deep"),
    "a huge JSON": (
        "coco",
        coco() | {"x.json": '{"info": "' + "x" * (9 << 20)},
        "x.json: a text is longer than 8 MiB",
    ),
    "a COCO annotation of no image": (
        "coco",
        coco(image_id=2),
        "x.json: annotation 17 is of the image 2, which the file does not list",
    ),
    "a COCO annotation of no category": (
        "coco",
        coco(category_id=2),
        "x.json: annotation 17 is of the category 2, which the file does not list",
    ),
    "a bad bbox": ("coco", coco(bbox=[0, 0, -1, 9]), "x.json: annotation 17: bbox [0, 0, -1, 9]"),
    "a bad RLE": (
        "coco",
        coco(segmentation={"size": [30, 40], "counts": [3, 4]}),
        "x.json: annotation 17: its mask cannot be read: its runs cover 7 pixels",
    ),
    "a file_name that leads out": (
        "coco",
        coco("../a.png"),
        "x.json: image 1: the image's name '../a.png' leads out of the source",
    ),
    "an external entity": (
        "voc",
        voc(before=ENTITY),
        "Annotations/a.xml: it declares a document type or entities",
    ),
    "swapped corners": ("voc", voc((20, 1, 10, 9)), "Annotations/a.xml:3: xmin 20 is not below"),
    "empty images, over the threshold": (
        "folders",
        many("empty", b""),
        "Empty 2 (cat/empty-0.png, cat/empty-1.png)",
    ),
    "corrupt images, over the threshold": (
        "folders",
        many("cut", PNG[:-100]),
        "Corrupt 2 (cat/cut-0.png, cat/cut-1.png)",
    ),
    "a decompression bomb": ("folders", {"cat/a.png": bomb()}, "a.png claims 50000 x 50000 pixels"),
    "labels of an image that was turned since": (
        "coco",
        coco() | {"a.png": turned("PNG")},
        "a.png is 30 x 40 pixels, upright as its EXIF orientation says, but its labels are for 40",
    ),
    "labels of an image that was resized since": (
        "voc",
        voc() | {"JPEGImages/a.png": image_bytes(size=(80, 60))},
        "a.png is 80 x 60 pixels but its labels are for 40 x 30: label the image as it is now",
    ),
    "a zip and nothing else": (
        "yolo",
        {"data.yaml": NAMES, "images.zip": zipped()},
        "but the archive images.zip: archives are not unpacked",
    ),
    "a tar and nothing else": ("folders", {"a.tar.gz": tarred()}, "but the archive a.tar.gz: arch"),
}


@pytest.mark.parametrize(("kind", "files", "said"), FAILS.values(), ids=FAILS)
def test_what_fails_says_where(
    store: Store, prefix: str, kind: str, files: Files, said: str
) -> None:
    with pytest.raises(BadData) as caught:
        snapshot_of_files(store, prefix, kind, files)
    assert said in str(caught.value)
    assert prefix in str(caught.value) or "cannot be used, more than 5%" in str(caught.value)


def modes() -> Files:
    sixteen = saved(Image.fromarray(np.full((30, 40), 40_000, np.uint16)), "TIFF")
    return {
        "cat/cmyk.jpg": image_bytes(kind="JPEG", mode="CMYK"),
        "cat/sixteen.tif": sixteen,
        "cat/turned.jpg": turned(),
        "cat/png-really.jpg": image_bytes(7),
        "cat/UPPER.JPEG": image_bytes(8, kind="JPEG"),
    }


def two_in_a_hundred() -> Files:
    files: dict[str, bytes | str] = {f"cat/{n}.png": image_bytes(n, (9, 9)) for n in range(98)}
    return files | {"cat/empty.png": b"", "cat/cut.png": PNG[:-100]}


HARMLESS: dict[str, tuple[str, Callable[[], Files], int, dict[str, int]]] = {
    "byte order mark and Windows line ends": (
        "yolo",
        lambda: yolo() | {"labels/a.txt": b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode()},
        1,
        {},
    ),
    "category ids with gaps": ("coco", coco, 1, {}),
    "EXIF, CMYK, 16 bits, wrong extensions": ("folders", modes, 5, {}),
    "a few bad images": ("folders", two_in_a_hundred, 98, {"Corrupt": 1, "Empty": 1}),
    "an archive beside the images": (
        "voc",
        lambda: voc() | {"all.zip": zipped()},
        1,
        {"OtherFile": 1},
    ),
}


@pytest.mark.parametrize(("kind", "files", "samples", "refused"), HARMLESS.values(), ids=HARMLESS)
def test_what_is_harmless_is_read_and_counted(
    store: Store,
    prefix: str,
    kind: str,
    files: Callable[[], Files],
    samples: int,
    refused: dict[str, int],
) -> None:
    made = read_snapshot(store, snapshot_of_files(store, prefix, kind, files()))
    assert made.samples == samples
    assert {entry.reason: entry.count for entry in made.refused} == refused


def test_labels_of_a_turned_image_are_about_the_upright_one(store: Store, prefix: str) -> None:
    document = json.loads(str(coco()["x.json"]))
    document["images"][0] |= {"width": 30, "height": 40}
    files = {"a.png": turned("PNG"), "x.json": json.dumps(document)}
    made = read_snapshot(store, snapshot_of_files(store, prefix, "coco", files))
    assert made.annotations == 1
