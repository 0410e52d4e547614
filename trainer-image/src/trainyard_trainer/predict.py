"""Asking a finished model about images: its answers as JSON, and drawn beside the labels."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainyard.api.dataset import DataFormat, DataSource, S3Source, Selection
from trainyard.api.report import LastWords
from trainyard.api.run import StoreLocation
from trainyard.datasets.errors import BadData
from trainyard.datasets.files import SourceFiles
from trainyard.datasets.formats import Format, open_format
from trainyard.datasets.formats.yolo import DATA_YAML
from trainyard.datasets.images import FORMATS, MAX_BYTES, RefusedImage
from trainyard.datasets.labels import Label
from trainyard.datasets.reading import download_samples
from trainyard.datasets.samples import read_samples
from trainyard.stores import join, open_store, parent
from trainyard_trainer import model, picture
from trainyard_trainer.answers import writing
from trainyard_trainer.engines.base import Prediction
from trainyard_trainer.entities import Entities, labelled, read_entities

_TOLD = 5
"""Answers of an image that the log tells."""

_IN_WORDS = {
    "Empty": "the file is empty",
    "TooLarge": f"the file is larger than {MAX_BYTES >> 20} MiB",
    "NotAnImage": f"no image of a kind that is read ({', '.join(FORMATS)})",
    "WidePixels": "its pixels have 32 bits each, of which nothing says what is white",
    "Corrupt": "the image is damaged or cut off",
}

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
    named
        The person named this very file.
    """

    name: str
    path: Path
    labels: tuple[Label, ...]
    drawn: bool
    named: bool = False


def predict(
    weights: Path, config: Path, data: Sequence[str], wanted: Wanted, folder: Path
) -> LastWords:
    """Load a model from its config.yaml and ask it about images.

    Parameters
    ----------
    weights, config
        model.pth and config.yaml.
    data
        Image files, folders of images (class folders, or YOLO labels with a data.yaml), or URIs of
        snapshots.
    wanted
        What is to be made of the answers. Where it is only a picture, only the images in it are
        asked about.
    folder
        For images in between.

    Raises
    ------
    BadData
        If there are no images, or the entities do not fit the model; once all others were asked
        about, if an image file of `data` cannot be used. What is unusable in a folder is left out.
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
    useless: list[str] = []
    with writing(wanted.answers) as document:
        for image in _images(data, folder, everything=wanted.answers is not None):
            answers, refused = _ask(predictor, image, entities)
            if document is not None and (image.named or not refused):
                document.image(image.name, answers, refused)
            if refused:
                _log.warning("left out: %s", refused)
                useless += [refused] if image.named else []
                continue
            asked, about, name = asked + 1, about + len(answers), image.name
            if image.drawn:
                shown.append(picture.Shown(image.path, image.labels, answers))
                _tell(image, answers)
        if not asked and not useless:
            raise BadData(f"no images found in {', '.join(data)}")
        if entities is not None and asked and not about:
            raise BadData(
                f"{wanted.entities}: has no entities of the images in {', '.join(data)}, such as "
                f"{name!r}"
            )
    made = [f"{asked} images asked about"]
    if wanted.answers is not None:
        made.append(f"answers written to {wanted.answers}")
    if wanted.picture is not None and shown:
        wanted.picture.parent.mkdir(parents=True, exist_ok=True)
        beside = " beside labels" if any(image.labels for image in shown) else ""
        title = f"{weights.name}: predictions{beside}"
        picture.draw([picture.Section(title, tuple(shown))], wanted.picture)
        made.append(f"{len(shown)} images drawn into {wanted.picture}")
    if useless:
        more = f" (and {len(useless) - 1} more)" if len(useless) > 1 else ""
        raise BadData(f"{useless[0]}{more}")
    return LastWords(reason="Succeeded", message=", ".join(made))


def _ask(
    predictor: model.Predictor, image: _Image, entities: Entities | None
) -> tuple[tuple[Prediction, ...], str]:
    """The answers for one image, and why it cannot be used."""
    if predictor.config.input.crop is None:
        boxes: Sequence[Any] = ()
    elif entities is None:
        boxes = labelled(image.labels)
    elif not (boxes := entities.of(image.name)):
        return (), ""
    try:
        return tuple(predictor.predict_file(image.path, boxes)), ""
    except RefusedImage as error:
        return (), f"{image.name}: {_IN_WORDS.get(str(error), str(error))}"
    except BadData as error:
        return (), str(error)
    except OSError as error:
        return (), f"{image.name}: {error.strerror or type(error).__name__}"


def _tell(image: _Image, answers: Sequence[Prediction]) -> None:
    said = ", ".join(f"{a.output.value} {a.confidence:.2f}" for a in answers[:_TOLD]) or "nothing"
    truth = ", ".join(label.value for label in image.labels[:_TOLD]) or "no label"
    _log.info("%s: predicted %s; labelled %s", Path(image.name).name, said, truth)


def _images(data: Sequence[str], folder: Path, *, everything: bool) -> Iterator[_Image]:
    """The images of the data: all, or those that are drawn."""
    files = [path for path in map(Path, data) if path.is_file()]
    names = Counter(path.name for path in files)
    number = 0
    for place in data:
        path = Path(place)
        if "://" in place:
            yield from _from_snapshot(place, folder, everything)
        elif path.is_dir():
            yield from _from_folder(path, everything)
        elif path.is_file():
            name = path.name if names[path.name] == 1 else place
            yield _Image(name, path, (), number in _drawn(len(files)), named=True)
            number += 1
        else:
            yield _Image(place, path, (), drawn=False, named=True)


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
