"""Asking a finished model about images: its answers as JSON, and drawn beside the labels."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from trainyard.api.dataset import DataFormat, DataSource, S3Source, Selection
from trainyard.api.report import LastWords
from trainyard.api.run import StoreLocation
from trainyard.datasets.errors import BadData
from trainyard.datasets.files import SourceFiles
from trainyard.datasets.formats import Format, open_format
from trainyard.datasets.formats.yolo import DATA_YAML
from trainyard.datasets.images import RefusedImage
from trainyard.datasets.labels import Label
from trainyard.datasets.reading import download_samples
from trainyard.datasets.samples import read_samples
from trainyard.stores import join, open_store, parent
from trainyard_trainer import model, picture
from trainyard_trainer.engines.base import Prediction
from trainyard_trainer.entities import PREDICTIONS, Entities, labelled, read_entities

_TOLD = 5
"""Answers of an image that the log tells."""

_log = logging.getLogger("trainyard")


@dataclass(frozen=True)
class Wanted:
    """What is to be made of the answers.

    Attributes
    ----------
    picture
        A PNG file: up to `picture.MAX_IMAGES` images, spread over the data.
    answers
        A JSON file: the answers for all images.
    entities
        A file of what a Box element is asked about, see `read_entities`. Without it these are the
        labelled boxes; an image without any is itself the entity.
    """

    picture: Path | None = None
    answers: Path | None = None
    entities: Path | None = None


@dataclass(frozen=True)
class _Image:
    """An image to ask about.

    Attributes
    ----------
    name
        Its path in the folder or the source of the snapshot.
    path
        Where its bytes lie now.
    drawn
        It is one of those in the picture.
    """

    name: str
    path: Path
    labels: tuple[Label, ...]
    drawn: bool


def predict(weights: Path, config: Path, data: str, wanted: Wanted, folder: Path) -> LastWords:
    """Load a model from its config.yaml and ask it about images.

    Parameters
    ----------
    weights, config
        model.pth and config.yaml.
    data
        A folder of images (class folders, or YOLO labels with a data.yaml), an image file, or the
        URI of a snapshot.
    wanted
        What is to be made of the answers. Where it is only a picture, only the images in it are
        asked about.
    folder
        For images in between.

    Raises
    ------
    BadData
        If there are no images, or the entities do not fit the model.
    """
    entities = None if wanted.entities is None else read_entities(wanted.entities)
    predictor = model.load(weights, config)
    _log.info(
        "%s: %s, %d classes",
        weights.name,
        predictor.config.architecture,
        len(predictor.config.classes),
    )
    if entities is not None and predictor.config.input.crop is None:
        raise BadData(
            f"{wanted.entities}: a model of type {predictor.config.capability.type.value} is asked "
            "about images, not about entities: leave them out"
        )
    shown: list[picture.Shown] = []
    asked, about, name = 0, 0, ""
    with _writing(wanted.answers) as write:
        for image in _images(data, folder, everything=wanted.answers is not None):
            answers = _ask(predictor, image, entities)
            if answers is None:
                continue
            asked, about, name = asked + 1, about + len(answers), image.name
            if write is not None:
                write.image(image.name, answers)
            if image.drawn:
                shown.append(picture.Shown(image.path, image.labels, answers))
                _tell(image, answers)
        if not asked:
            raise BadData(f"no images found in {data}")
        if entities is not None and not about:
            raise BadData(
                f"{wanted.entities}: has no entities of the images in {data}, such as {name!r}"
            )
    made = [f"{asked} images asked about"]
    if wanted.answers is not None:
        made.append(f"answers written to {wanted.answers}")
    if wanted.picture is not None and shown:
        wanted.picture.parent.mkdir(parents=True, exist_ok=True)
        title = f"{weights.name}: predictions beside labels"
        picture.draw([picture.Section(title, tuple(shown))], wanted.picture)
        made.append(f"{len(shown)} images drawn into {wanted.picture}")
    return LastWords(reason="Succeeded", message=", ".join(made))


def _ask(
    predictor: model.Predictor, image: _Image, entities: Entities | None
) -> tuple[Prediction, ...] | None:
    """The answers for one image; None: it cannot be used."""
    if predictor.config.input.crop is None:
        boxes: Sequence[Any] = ()
    elif entities is None:
        boxes = labelled(image.labels)
    elif not (boxes := entities.of(image.name)):
        return ()
    try:
        return tuple(predictor.predict_file(image.path, boxes))
    except RefusedImage as error:
        _log.warning("%s: left out: %s", image.name, error)
        return None


def _tell(image: _Image, answers: Sequence[Prediction]) -> None:
    said = ", ".join(f"{a.output.value} {a.confidence:.2f}" for a in answers[:_TOLD]) or "nothing"
    truth = ", ".join(label.value for label in image.labels[:_TOLD]) or "no label"
    _log.info("%s: predicted %s; labelled %s", Path(image.name).name, said, truth)


class _Document:
    """Writes the answers an image at a time, as one JSON document with an image a line."""

    def __init__(self, file: TextIO) -> None:
        self._file, self._next = file, ""
        head = {"apiVersion": "trainyard.dev/v1alpha1", "kind": PREDICTIONS}
        file.write(json.dumps(head)[:-1] + ', "images": [')

    def image(self, name: str, answers: Sequence[Prediction]) -> None:
        entry = {"image": name, "answers": [_wire(answer) for answer in answers]}
        self._file.write(f"{self._next}\n{json.dumps(entry, ensure_ascii=False)}")
        self._next = ","

    def end(self) -> None:
        self._file.write("\n]}\n")


def _wire(answer: Prediction) -> dict[str, Any]:
    wire: dict[str, Any] = {
        "attribute": answer.output.attribute,
        "value": answer.output.value,
        "confidence": round(answer.confidence, 6),
        "geometry": answer.geometry,
        "points": [round(number, 6) for number in answer.points],
    }
    if answer.embedding:
        wire["embedding"] = list(answer.embedding)
    return wire


@contextmanager
def _writing(path: Path | None) -> Iterator[_Document | None]:
    """A document that has its name once it is whole."""
    if path is None:
        yield None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            document = _Document(file)
            yield document
            document.end()
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _images(data: str, folder: Path, *, everything: bool) -> Iterator[_Image]:
    """The images of the data: all, or those that are drawn."""
    if "://" in data:
        return _from_snapshot(data, folder, everything)
    path = Path(data)
    if path.is_file():
        return iter((_Image(path.name, path, (), drawn=True),))
    return _from_folder(path, everything)


def _drawn(count: int) -> range:
    """Which of so many images are drawn: spread, so that one source does not fill the picture."""
    step = max(1, count // picture.MAX_IMAGES)
    return range(0, min(count, step * picture.MAX_IMAGES), step)


def _from_snapshot(uri: str, folder: Path, everything: bool) -> Iterator[_Image]:
    store = open_store(StoreLocation(endpoint_url=os.environ.get("AWS_ENDPOINT_URL")))
    snapshot = download_samples(store, uri, folder / "manifest.parquet")
    drawn = _drawn(snapshot.samples)
    for number, sample in enumerate(read_samples(folder / "manifest.parquet")):
        if number not in drawn and not everything:
            continue
        stored = snapshot.shards[sample.shard]
        shard = folder / stored.sha256
        if not shard.exists():
            store.download(join(parent(uri), stored.name), shard, stored.sha256)
        with shard.open("rb") as file:
            file.seek(sample.offset)
            path = folder / sample.digest.hex()
            path.write_bytes(file.read(sample.size))
        yield _Image(sample.name, path, sample.labels, number in drawn)
        if number not in drawn:
            path.unlink()


def _from_folder(root: Path, everything: bool) -> Iterator[_Image]:
    store = open_store(StoreLocation())
    with (
        closing(SourceFiles(store, f"file://{root.resolve()}")) as files,
        closing(_understood(files)) as images,
    ):
        drawn = _drawn(len(images))
        for number, entry in enumerate(images.images()):
            if everything or number in drawn:
                labels = images.annotations(entry).labels
                yield _Image(entry.name, root / entry.name, labels, number in drawn)


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
