"""What every engine looks at in the files of a checkpoint before it goes on from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ultralytics.nn.tasks import ClassificationModel

from trainyard.api.capability import CapabilityType
from trainyard.api.template import Engine
from trainyard_trainer.engines import engine_for
from trainyard_trainer.engines.base import BEST, LAST
from trainyard_trainer.engines.engine import TrainingEngine
from trainyard_trainer.faults import InvalidRunFile

ENGINES = {
    "yolo-cls": engine_for(Engine.YOLO_CLS, CapabilityType.IMAGE_CLASSIFIER),
    "embedder": engine_for(Engine.EMBEDDER, CapabilityType.BOX_EMBEDDER),
}
Write = Callable[..., None]


@pytest.fixture(scope="module")
def network() -> Any:
    return ClassificationModel("yolo11n-cls.yaml", nc=2, verbose=False).half()


@pytest.fixture
def write(network: Any, tmp_path: Path) -> Write:
    """Writes a file of a checkpoint as the library, or as the embedder does it."""

    def of_epoch(name: str, epoch: int, engine: str, **changes: Any) -> None:
        content: dict[str, Any] = {"epoch": epoch, "network": {}}
        if engine == "yolo-cls":
            content = {"model": None, "ema": network, "train_args": {}, "epoch": epoch - 1}
            content["optimizer"] = {"state": {}}
        torch.save(content | changes, tmp_path / name)

    return of_epoch


def refused(engine: TrainingEngine, folder: Path, epoch: int) -> str:
    with pytest.raises(InvalidRunFile) as caught:
        engine.prove(folder, epoch)
    return str(caught.value)


@pytest.mark.parametrize("kind", ENGINES)
def test_every_engine_says_the_same_of_another_epoch_and_of_a_damaged_file(
    kind: str, write: Write, tmp_path: Path
) -> None:
    engine = ENGINES[kind]
    write(LAST, 3, kind)
    write(BEST, 2, kind)
    engine.prove(tmp_path, 3)

    said = "the checkpoint's last.pt is of epoch 3, not of 4: start without a checkpoint"
    assert refused(engine, tmp_path, 4) == said

    write(BEST, 4, kind)
    said = "the checkpoint's best.pt is of epoch 4, not of 3: start without a checkpoint"
    assert refused(engine, tmp_path, 3) == said

    (tmp_path / BEST).write_bytes(b"cut")
    told = refused(engine, tmp_path, 3)
    assert told.startswith("the checkpoint's best.pt cannot be loaded (")
    assert told.endswith("Error): start without a checkpoint")


@pytest.mark.parametrize("lost", [{"optimizer": None}, {"ema": None, "model": "the last epoch's"}])
def test_a_checkpoint_of_the_library_that_lacks_what_its_training_goes_on_with_is_refused(
    lost: dict[str, Any], network: Any, write: Write, tmp_path: Path
) -> None:
    write(LAST, 3, "yolo-cls", **{k: network if v else v for k, v in lost.items()})
    assert refused(ENGINES["yolo-cls"], tmp_path, 3) == (
        "the checkpoint's last.pt cannot be loaded (it lacks the optimizer's state or the averaged "
        "weights): start without a checkpoint"
    )
