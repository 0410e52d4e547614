"""model.onnx and model.torchscript: the finished model in forms that run without Trainyard.

What is exported is what `TrainingEngine.asked` makes of a model: from `images`, float32
[batch, 3, size, size] with any batch and the size that config.yaml states, to the tensors that
`TrainingEngine.outputs` names. Each file is loaded back and asked about real images, before anyone
can take it for the model.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image, ImageOps

from trainyard.api.template import ExportFormat
from trainyard_trainer.config import Exported, ModelConfig, OutputTensor
from trainyard_trainer.faults import Fault
from trainyard_trainer.publish import ONNX, TORCHSCRIPT
from trainyard_trainer.same import same_answers
from trainyard_trainer.saving import save_script

if TYPE_CHECKING:
    from trainyard_trainer.engines.engine import TrainingEngine

INPUT = "images"
"""Name of the one input."""
OPSET = 17
"""Of ONNX's operators: known to every onnxruntime since 1.12."""
IMAGES = 4
"""So many held-out images a file is compared on."""
ABSOLUTE, RELATIVE = 1e-3, 1e-4
"""Each number may differ by the first, and by the second times its size."""

_BATCH = "batch"

_log = logging.getLogger("trainyard")

Asked = Callable[[torch.Tensor], Sequence[torch.Tensor]]


class ExportFailed(Fault):
    """An exported file does not say what the model says."""


def output_tensors(
    engine: TrainingEngine, network: torch.nn.Module, size: int
) -> tuple[OutputTensor, ...]:
    """What the model gives for images of `size` x `size` pixels, as it really comes."""
    with torch.inference_mode():
        given = engine.asked(network)(torch.zeros(1, 3, size, size))
    return tuple(
        OutputTensor(name=name, shape=(_BATCH, *tensor.shape[1:]), meaning=meaning)
        for (name, meaning), tensor in zip(engine.outputs.items(), given, strict=True)
    )


def export(
    forms: Sequence[ExportFormat],
    engine: TrainingEngine,
    network: torch.nn.Module,
    config: ModelConfig,
    images: Sequence[Path],
    folder: Path,
) -> dict[ExportFormat, Exported]:
    """Write forms of a model into a folder, and compare each with the model.

    Parameters
    ----------
    forms
        Which.
    engine, network, config
        The model, on the CPU, and its description.
    images
        Held-out images to compare on: `IMAGES` of them, from all over the list.
    folder
        Where the files go.

    Raises
    ------
    ExportFailed
        If a file gives other tensors, or answers, than the model.
    """
    some = images[:: max(1, len(images) // IMAGES)][:IMAGES]
    return {form: _export(form, engine, network, config, some, folder) for form in forms}


def _export(
    form: ExportFormat,
    engine: TrainingEngine,
    network: torch.nn.Module,
    config: ModelConfig,
    images: Sequence[Path],
    folder: Path,
) -> Exported:
    # The exporter sets the mode for all below it, and afterwards back to what it found.
    asked = engine.asked(network).eval()
    example = torch.zeros(1, 3, config.input.size, config.input.size)
    names = list(engine.outputs)
    path = folder / (ONNX if form is ExportFormat.ONNX else TORCHSCRIPT)
    with _quiet():
        if form is ExportFormat.ONNX:
            torch.onnx.export(
                asked,
                (example,),
                str(path),
                dynamo=False,  # the newer exporter needs more packages, for the same graph
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=names,
                dynamic_axes={name: {0: _BATCH} for name in (INPUT, *names)},
            )
            loaded = _onnx(path)
        else:
            save_script(torch.jit.trace(asked, example, check_trace=False), path)
            loaded = torch.jit.load(str(path), map_location="cpu")
        difference = _compare(path.name, engine, asked, loaded, config, images)
    _log.info(
        "export: %s of %.1f MB: differs by %.1e at most on %d images",
        path.name,
        path.stat().st_size / 1e6,
        difference,
        len(images),
    )
    return Exported(
        file=path.name,
        input=INPUT,
        opset=OPSET if form is ExportFormat.ONNX else None,
        largest_difference=float(f"{difference:.2g}"),
        images=len(images),
    )


def _onnx(path: Path) -> Asked:
    """The file as its users run it."""
    import onnxruntime  # costs time, which a training that exports nothing need not spend

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda images: [
        torch.from_numpy(array) for array in session.run(None, {INPUT: images.numpy()})
    ]


def _compare(
    name: str,
    engine: TrainingEngine,
    asked: Asked,
    loaded: Asked,
    config: ModelConfig,
    images: Sequence[Path],
) -> float:
    """The largest difference between two forms of a model, asked about all images at once."""
    pictures = [_upright(path) for path in images]
    inputs = torch.cat([engine.inputs(picture, config) for picture in pictures])
    with torch.inference_mode():
        expected, given = asked(inputs), loaded(inputs)
    largest = 0.0
    for output, right, found in zip(engine.outputs, expected, given, strict=True):
        if found.shape != right.shape:
            raise ExportFailed(
                f"{name}: the output {output!r} has the shape {list(found.shape)}, that of "
                f"model.pth {list(right.shape)}: leave the format out of exports, and report this"
            )
        if not torch.allclose(found, right, rtol=RELATIVE, atol=ABSOLUTE):
            raise ExportFailed(
                f"{name}: the output {output!r} differs by up to {(found - right).abs().max():.2g} "
                f"from that of model.pth, on {len(images)} held-out images: leave the format out "
                "of exports, and report this"
            )
        largest = max(largest, float((found - right).abs().max()))
    for index, (path, picture) in enumerate(zip(images, pictures, strict=True)):
        said, right_said = (
            engine.answers([one[index : index + 1].clone() for one in tensors], picture, config)
            for tensors in (given, expected)
        )
        if not same_answers(said, right_said, config.thresholds):
            raise ExportFailed(
                f"{name}: its answers for {path.name} are others than those of model.pth, though "
                "its outputs are nearly the same: leave the format out of exports, and report this"
            )
    return largest


def _upright(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the libraries' advice to use newer ways, which would be other packages."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
