"""model.onnx and model.torchscript say what model.pth says, or there is no model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image

from tests.unit.trainer.pods import Models
from trainyard.api.capability import Output
from trainyard.api.template import ExportFormat
from trainyard_trainer import export, model
from trainyard_trainer.config import ModelConfig, Thresholds
from trainyard_trainer.engines import engine_for
from trainyard_trainer.engines.base import Prediction
from trainyard_trainer.engines.classify import Classifier
from trainyard_trainer.same import same_answers

ENGINES = ("yolo-det", "yolo-seg", "yolo-cls", "embedder")
DISC, SQUARE = (
    Output(attribute="class", value=value, position=i) for i, value in enumerate(("disc", "square"))
)
AT = Thresholds(confidence=0.25, iou=0.7)


def loaded(folder: Path) -> tuple[Any, torch.nn.Module, ModelConfig]:
    """The engine, the network and the description of a finished run."""
    config = model.read_config(folder / "config.yaml")
    engine = engine_for(config.engine, config.capability.type)
    state = torch.load(folder / "model.pth", weights_only=True)["state_dict"]
    return engine, engine.build(config.model, len(config.classes), state), config


@pytest.mark.parametrize("kind", ENGINES)
def test_exported_models_give_the_tensors_that_the_description_states(
    kind: str, models: Models
) -> None:
    folder = models.of(kind)
    engine, network, config = loaded(folder)
    pictures = [Image.open(path) for path in models.held_out()[:3]]
    images = torch.cat([engine.inputs(picture, config) for picture in pictures])
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    assert [entry.name for entry in session.get_inputs()] == [
        config.exports[ExportFormat.ONNX].input
    ]
    names = [entry.name for entry in session.get_outputs()]
    assert names == [output.name for output in config.outputs]
    script = torch.jit.load(folder / "model.torchscript")
    with torch.inference_mode():
        right, scripted = engine.asked(network)(images), script(images)
    given = session.run(None, {"images": images.numpy()})
    for output, expected, found, other in zip(config.outputs, right, given, scripted, strict=True):
        assert found.dtype == np.float32
        assert ("batch", *found.shape[1:]) == output.shape
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(other, expected, rtol=1e-4, atol=1e-3)
    assert float(expected.abs().max()) > 0.1


def test_exports_are_files_of_the_run_and_described_with_what_they_were_compared_on(
    models: Models,
) -> None:
    folder = models.of("yolo-det")
    config = model.read_config(folder / "config.yaml")
    forms = {form.value: entry for form, entry in config.exports.items()}
    assert {name: entry.file for name, entry in forms.items()} == {
        "onnx": "model.onnx",
        "torchscript": "model.torchscript",
    }
    assert all(entry.images == 4 and entry.largest_difference < 1e-2 for entry in forms.values())
    graph = onnx.load(folder / "model.onnx")
    onnx.checker.check_model(graph)
    assert [entry.version for entry in graph.opset_import if not entry.domain] == [
        forms["onnx"].opset
    ]
    assert torch.load(folder / "model.pth", weights_only=True)["config"] == config.to_wire()


class Branching(Classifier):
    """Takes a way that depends on the numbers: a trace keeps only the way of its example."""

    def asked(self, network: torch.nn.Module) -> torch.nn.Module:
        plain = super().asked(network)

        class Asked(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.plain = plain

            def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
                (answer,) = self.plain(images)
                return (answer.flip(1) if images.max() > 0 else answer,)

        return Asked()


@pytest.mark.parametrize("form", list(ExportFormat))
def test_a_file_that_says_something_else_fails_with_a_sentence(
    form: ExportFormat, models: Models, tmp_path: Path
) -> None:
    _, network, config = loaded(models.of("yolo-cls"))
    with pytest.raises(
        export.ExportFailed,
        match=r"^model\.\w+: the output 'probabilities' differs by up to 0\.\d+ from that of "
        r"model\.pth, on 4 held-out images: leave the format out of exports, and report this$",
    ):
        export.export([form], Branching(), network, config, models.held_out(), tmp_path)


def box(x: float, confidence: float, output: Output = DISC) -> Prediction:
    return Prediction(output, confidence, (x, 0.2, x + 0.4, 0.6), "box")


@pytest.mark.parametrize(
    ("some", "others", "same"),
    [
        ([], [], True),
        ([box(0.1, 0.9), box(0.5, 0.8)], [box(0.5, 0.8), box(0.1, 0.9)], True),
        ([box(0.1, 0.9)], [box(0.101, 0.901)], True),
        ([box(0.1, 0.9)], [box(0.3, 0.9)], False),
        ([box(0.1, 0.9)], [box(0.1, 0.8)], False),
        ([box(0.1, 0.9)], [box(0.1, 0.9, SQUARE)], False),
        ([box(0.1, 0.9)], [], False),
        ([], [box(0.1, 0.9)], False),
        ([box(0.1, 0.2501)], [], True),
        ([box(0.1, 0.9)], [box(0.13, 0.9)], True),
        ([Prediction(DISC, 0.1)], [Prediction(SQUARE, 0.1)], False),
        ([Prediction(DISC, 0.1)], [Prediction(DISC, 0.1)], True),
    ],
    ids=[
        "nothing said",
        "another order",
        "nearly the same place",
        "another place",
        "another confidence",
        "another class",
        "one is missing",
        "one too many",
        "one at the threshold is missing",
        "the other of two boxes of one thing stays",
        "another class of the whole image",
        "the same class of the whole image",
    ],
)
def test_answers_are_the_same_whichever_form_of_a_model_gave_them(
    some: list[Prediction], others: list[Prediction], same: bool
) -> None:
    assert same_answers(some, others, AT) is same
