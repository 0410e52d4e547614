"""Drawing what a finished model says about images, beside their labels."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from trainyard.api.report import LastWords
from trainyard.api.run import StoreLocation
from trainyard.datasets.errors import BadData
from trainyard.datasets.formats.yolo import names_of, parse_yolo
from trainyard.datasets.images import EXTENSIONS, plain_image
from trainyard.datasets.labels import Label
from trainyard.datasets.reading import download_samples
from trainyard.datasets.samples import read_samples
from trainyard.stores import join, open_store, parent
from trainyard_trainer import model, picture

_log = logging.getLogger("trainyard")


def predict(weights: Path, config: Path, data: str, out: Path, folder: Path) -> LastWords:
    """Load a model from its config.yaml, ask it about images, and draw the answers.

    Parameters
    ----------
    weights, config
        model.pth and config.yaml.
    data
        A folder of images (class folders, or YOLO labels with a data.yaml), or the URI of a
        snapshot.
    out
        The picture to write.
    folder
        For images in between.

    Raises
    ------
    BadData
        If there are no images.
    """
    predictor = model.load(weights, config)
    _log.info(
        "%s: %s, %d classes",
        weights.name,
        predictor.config.architecture,
        len(predictor.config.classes),
    )
    labelled = _from_snapshot(data, folder) if "://" in data else _from_folder(Path(data))
    shown = []
    for path, labels in labelled:
        answers = tuple(predictor.predict_file(path))
        shown.append(picture.Shown(path, labels, answers))
        said = ", ".join(f"{a.output.value} {a.confidence:.2f}" for a in answers[:5]) or "nothing"
        truth = ", ".join(label.value for label in labels[:5]) or "no label"
        _log.info("%s: predicted %s; labelled %s", path.name, said, truth)
    if not shown:
        raise BadData(f"no images found in {data}")
    out.parent.mkdir(parents=True, exist_ok=True)
    picture.draw(shown, f"{weights.name}: predictions beside labels", out)
    return LastWords(reason="Succeeded", message=f"{len(shown)} images drawn into {out}")


def _from_snapshot(uri: str, folder: Path) -> Iterator[tuple[Path, tuple[Label, ...]]]:
    store = open_store(StoreLocation(endpoint_url=os.environ.get("AWS_ENDPOINT_URL")))
    snapshot = download_samples(store, uri, folder / "manifest.parquet")
    samples = list(read_samples(folder / "manifest.parquet"))
    step = max(1, len(samples) // picture.MAX_IMAGES)
    for sample in islice(samples, 0, step * picture.MAX_IMAGES, step):
        stored = snapshot.shards[sample.shard]
        shard = folder / stored.sha256
        if not shard.exists():
            store.download(join(parent(uri), stored.name), shard, stored.sha256)
        with shard.open("rb") as file:
            file.seek(sample.offset)
            data, extension = plain_image(file.read(sample.size))
        path = folder / f"{sample.digest.hex()[:12]}.{extension}"
        path.write_bytes(data)
        yield path, sample.labels


def _from_folder(root: Path) -> Iterator[tuple[Path, tuple[Label, ...]]]:
    paths = sorted(
        path for path in root.rglob("*") if path.suffix.lower().lstrip(".") in EXTENSIONS
    )
    step = max(1, len(paths) // picture.MAX_IMAGES)
    names: tuple[str, ...] | None = None
    for name in ("data.yaml", "data.yml"):
        if (root / name).is_file():
            names = names_of((root / name).read_bytes(), name)
    for path in islice(paths, 0, step * picture.MAX_IMAGES, step):
        yield path, _labels_of(path, root, names)


def _labels_of(path: Path, root: Path, names: tuple[str, ...] | None) -> tuple[Label, ...]:
    relative = path.relative_to(root)
    if names is None:
        return (Label("class", relative.parts[0], "image"),) if len(relative.parts) > 1 else ()
    beside = path.with_suffix(".txt")
    parts = list(beside.parts)
    if "images" in parts:
        last = len(parts) - 1 - parts[::-1].index("images")
        parts[last] = "labels"
    for candidate in (Path(*parts), beside):
        if candidate.is_file():
            return parse_yolo(candidate.read_bytes(), candidate.name, names, "class")
    return ()
