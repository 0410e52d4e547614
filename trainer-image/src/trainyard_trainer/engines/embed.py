"""embedder: turns an entity into a vector in which similar entities are near."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from trainyard.api.template import Engine
from trainyard.api.training_folder import WEIGHTS
from trainyard.datasets.errors import BadData
from trainyard_trainer.config import ModelConfig
from trainyard_trainer.engines import embed_training as training
from trainyard_trainer.engines.base import (
    BEST,
    LAST,
    Box,
    ClassResult,
    Prediction,
    Resume,
    Seen,
    SplitResult,
    Trained,
    TrainSettings,
    Watcher,
)
from trainyard_trainer.engines.class_folders import ClassFolders, plain_transforms
from trainyard_trainer.engines.classify import train_transforms
from trainyard_trainer.engines.embedding import Compared, EmbeddingNetwork, backbone
from trainyard_trainer.engines.engine import TrainingEngine
from trainyard_trainer.engines.fine_tuning import class_rows, take_over
from trainyard_trainer.engines.retrieval import Retrieval, retrieve
from trainyard_trainer.engines.yolo import quieten_library

_SUFFIX = "-cls"
_DIMENSIONS = "embedding"
"""Where the description of a network keeps the length of its vectors."""


class Embedder(ClassFolders, TrainingEngine):
    """Learns to tell training identities apart, so that it can compare what it has never seen.

    A model is judged by retrieval within a split: each crop asks for the others of its identity.
    The same network before training is judged beside it: metrics named `baseline-...`.
    """

    kind = Engine.EMBEDDER
    task = "embed"
    metrics = {name: name for name in ("recall-at-1", "recall-at-5", "mAP")}
    default_metric = "recall-at-1"
    checkpoint_files = (LAST, BEST)
    outputs = {
        "embeddings": "[image, dimension]: vectors of length 1; the cosine of two says how alike",
        "similarities": "[image, identity]: cosines to the directions of the training identities",
    }

    def __init__(self) -> None:
        super().__init__(crops=True)

    def finish_layout(self, root: Path, classes: int) -> Path:
        """As of classifiers; and something has to be retrievable.

        Raises
        ------
        BadData
            If nothing is, in dev or test.
        """
        for split in ("dev", "test"):
            folders = list((root / split).glob("*"))
            if folders and all(len(list(folder.iterdir())) < 2 for folder in folders):
                raise BadData(
                    f"{split} has no identity with two crops, and a model is judged by whether it "
                    "finds one by the other: put the others of an identity there too"
                )
        return super().finish_layout(root, classes)

    def train(
        self,
        settings: TrainSettings,
        data: Path,
        folder: Path,
        watcher: Watcher,
        resume: Resume | None = None,
    ) -> Trained:
        """Going on is exact: see `trainyard_trainer.engines.embed_training`."""
        quieten_library()
        folder = folder / WEIGHTS
        folder.mkdir(parents=True, exist_ok=True)
        size = settings.hyperparameters.image_size
        network = _untrained(settings)
        seen: tuple[Seen, ...] = ()
        if resume is not None and resume.finished:
            folder = resume.folder
            epochs = training.epoch_of(folder / LAST)
        else:
            transforms = train_transforms(size, settings.variation)
            if settings.base is not None and resume is None:
                rows = class_rows(lambda count: _network(settings, count))
                take_over(network, settings.base, settings.classes, rows)
            run = training.Training(network, settings, data / "train", transforms, folder)
            if resume is not None:
                run.go_on(resume)
            epochs = run.run(
                watcher, lambda found: _judge(found, data / "val", size, settings).metrics()
            )
            seen = run.seen
        return replace(self.read(folder / BEST, settings), epochs=epochs, seen=seen)

    def read(self, path: Path, settings: TrainSettings) -> Trained:
        """Tensors and numbers; the architecture is that of the settings."""
        epoch, state = training.best_of(path)
        return Trained(
            # As the other engines keep it.
            state={
                name: tensor.half() if tensor.is_floating_point() else tensor
                for name, tensor in state.items()
            },
            architecture=_layers(settings) | {_DIMENSIONS: settings.dimensions},
            image_size=settings.hyperparameters.image_size,
            best_epoch=epoch,
            epochs=epoch,
        )

    def epoch_of(self, path: Path) -> int:
        """Of a file that holds nothing but tensors and numbers."""
        return training.epoch_of(path)

    def build(
        self, architecture: dict[str, Any], classes: int, state: Mapping[str, Any]
    ) -> torch.nn.Module:
        """The network with these weights."""
        quieten_library()
        plain = {name: value for name, value in architecture.items() if name != _DIMENSIONS}
        network = EmbeddingNetwork(plain, int(architecture[_DIMENSIONS]), classes)
        network.load_state_dict(state, strict=True)
        return network.float().eval()

    def evaluate(
        self,
        model: torch.nn.Module,
        data: Path,
        split: str,
        settings: TrainSettings,
        folder: Path,  # noqa: ARG002 -- writes nothing
        threshold: float | None = None,  # noqa: ARG002 -- vectors have none
    ) -> SplitResult:
        """Recall at 1 and 5 and mean average precision, beside the untrained network's."""
        size = settings.hyperparameters.image_size
        found = _judge(model, data / split, size, settings)
        untrained = _untrained(settings)
        _settle(untrained, data / split, size, settings)
        before = _judge(untrained, data / split, size, settings)
        counts = {
            output.position: sum(1 for _ in (data / split / f"{output.position:05d}").glob("*"))
            for output in settings.classes
        }
        return SplitResult(
            samples=sum(counts.values()),
            metrics=found.metrics()
            | {f"baseline-{name}": value for name, value in before.metrics().items()},
            classes=tuple(
                ClassResult(output, counts[output.position], found.metrics(output.position))
                for output in settings.classes
            ),
        )

    def asked(self, model: torch.nn.Module) -> torch.nn.Module:
        """The network, and what its vectors have in common with the training identities."""
        return Compared(model)

    def answers(
        self,
        given: Sequence[torch.Tensor],
        image: Image.Image,  # noqa: ARG002 -- nothing in the answers depends on its size
        config: ModelConfig,
        entities: Sequence[Box] = (),
    ) -> list[Prediction]:
        """The vector of each entity, and the training identity that it is nearest to.

        The confidence is the cosine to that identity's direction, 0 where it is negative.
        """
        boxes: Sequence[tuple[float, ...]] = entities or [()]
        return [
            Prediction(
                config.classes[int(cosines.argmax())],
                max(0.0, min(1.0, float(cosines.max()))),
                tuple(box),
                "box" if box else "image",
                tuple(vector.tolist()),
            )
            for vector, cosines, box in zip(*given, boxes, strict=True)
        ]


def _untrained(settings: TrainSettings) -> EmbeddingNetwork:
    """The same random weights for the same seed."""
    torch.manual_seed(settings.hyperparameters.seed)
    return _network(settings, len(settings.classes))


def _network(settings: TrainSettings, identities: int) -> EmbeddingNetwork:
    return EmbeddingNetwork(_layers(settings), settings.dimensions, identities)


def _layers(settings: TrainSettings) -> dict[str, Any]:
    """The backbone as the library reads it."""
    return backbone(f"{settings.architecture}{_SUFFIX}.yaml", settings.dimensions)


def _settle(network: EmbeddingNetwork, images: Path, size: int, settings: TrainSettings) -> None:
    """Give an untrained network's normalisation the statistics of images, without their labels.

    Without them its vectors are all but equal, and the baseline would be worse than it need be.
    """
    for layer in network.modules():
        if isinstance(layer, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            layer.reset_running_stats()
            # The mean over all batches.
            layer.momentum = None
    device = training.device_of(settings)
    network.to(device).train()
    with torch.no_grad():
        for batch, _ in _loader(images, size, settings):
            if len(batch) > 1:
                network(batch.to(device))


def _loader(images: Path, size: int, settings: TrainSettings) -> DataLoader[Any]:
    return DataLoader(
        # Folders of this split alone: an identity may have no image in it.
        ImageFolder(str(images), plain_transforms(size)),
        batch_size=settings.hyperparameters.batch_size,
        num_workers=0 if settings.device == "cpu" else settings.workers,
    )


def _judge(network: torch.nn.Module, images: Path, size: int, settings: TrainSettings) -> Retrieval:
    """Embed a folder's images and let each ask for the others of its identity."""
    loader = _loader(images, size, settings)
    names = torch.tensor([int(name) for name in loader.dataset.classes])
    device = training.device_of(settings)
    network.to(device).eval()
    with torch.inference_mode():
        parts = [(network(batch.to(device)).float().cpu(), truth) for batch, truth in loader]
    vectors = torch.cat([vector for vector, _ in parts])
    return retrieve(vectors, names[torch.cat([truth for _, truth in parts])])
