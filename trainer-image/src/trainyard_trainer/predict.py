"""Drawing what a finished model says about images, beside their labels."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

from trainyard.api.dataset import DataFormat, DataSource, S3Source, Selection
from trainyard.api.report import LastWords
from trainyard.api.run import StoreLocation
from trainyard.datasets.errors import BadData
from trainyard.datasets.files import SourceFiles
from trainyard.datasets.formats import Format, open_format
from trainyard.datasets.formats.yolo import DATA_YAML
from trainyard.datasets.images import plain_image
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
    store = open_store(StoreLocation())
    with (
        closing(SourceFiles(store, f"file://{root.resolve()}")) as files,
        closing(_understood(files)) as images,
    ):
        step = max(1, len(images) // picture.MAX_IMAGES)
        for entry in islice(images.images(), 0, step * picture.MAX_IMAGES, step):
            yield root / entry.name, images.annotations(entry).labels


def _understood(files: SourceFiles) -> Format:
    """YOLO labels where there is a data.yaml, else class folders, else images without labels."""
    source = DataSource(s3=S3Source(bucket="this-machine"))
    if any(name in files.listing for name in DATA_YAML):
        return open_format(Selection(source=source, format=DataFormat.YOLO), files)
    folders = open_format(Selection(source=source, format=DataFormat.FOLDERS), files)
    if len(folders):
        return folders
    unnamed = Selection(source=source, format=DataFormat.YOLO, class_names=("unnamed",))
    return open_format(unnamed, files)
