"""Training that goes on from an earlier model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit.labelled import BUCKET
from tests.unit.trainer.pods import Bench, Ended, Models, sealed
from trainyard.api.capability import Output
from trainyard.api.report import ExitCode
from trainyard.api.run import RunFile
from trainyard.stores import Store, join
from trainyard_trainer import model
from trainyard_trainer.engines.base import Base
from trainyard_trainer.engines.fine_tuning import class_rows, take_over
from trainyard_trainer.faults import InvalidRunFile
from trainyard_trainer.starting_point import starting_point


def outputs(*values: str, attribute: str = "class") -> tuple[Output, ...]:
    return tuple(
        Output(attribute=attribute, value=value, position=position)
        for position, value in enumerate(values)
    )


def builder(architecture: str) -> Callable[[int], torch.nn.Module]:
    from ultralytics.nn.tasks import ClassificationModel, DetectionModel, SegmentationModel

    kinds = {"cls": ClassificationModel, "seg": SegmentationModel}
    make = kinds.get(architecture.rpartition("-")[2], DetectionModel)
    return lambda classes: make(f"{architecture}.yaml", ch=3, nc=classes, verbose=False).eval()


def scores(network: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """What the network says of each class, [N, class, ...], before any softmax over them."""
    if hasattr(network, "end2end"):
        network.end2end = False
    with torch.inference_mode():
        answer, raw = network(images)
    if isinstance(raw, torch.Tensor):
        return raw
    return answer[0] if isinstance(answer, tuple) else answer


ARCHITECTURES = ("yolo11n", "yolo26n", "yolov8n", "yolo11n-seg", "yolo26n-seg", "yolo11n-cls")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_known_classes_say_the_same_before_the_first_step_wherever_they_stand_now(
    architecture: str,
) -> None:
    make = builder(architecture)
    torch.manual_seed(1)
    old, new = make(3), make(4)
    for tensor in old.parameters():
        tensor.data += 0.01 * torch.randn_like(tensor)
    before, now = outputs("disc", "square", "star"), outputs("cross", "star", "disc", "ring")
    base = Base("old.pth", "", {}, before, old.state_dict())
    random = {name: tensor.clone() for name, tensor in new.state_dict().items()}
    rows = class_rows(make)
    taken = take_over(new, base, now, rows)
    assert taken.tensors == taken.of == len(random)
    assert [output.value for output in taken.classes] == ["star", "disc"]
    images = torch.rand(2, 3, 64, 64)
    first, second = scores(old, images), scores(new, images)
    start = 0 if architecture.endswith("-cls") else 4
    torch.testing.assert_close(second[:, :start], first[:, :start])
    torch.testing.assert_close(second[:, start + 1], first[:, start + 2])
    torch.testing.assert_close(second[:, start + 2], first[:, start])
    state = new.state_dict()
    for name in rows:
        assert torch.equal(state[name][0], random[name][0]), f"cross is not random in {name}"
        assert torch.equal(state[name][3], random[name][3]), f"ring is not random in {name}"


def test_a_class_is_known_by_its_attribute_too() -> None:
    make = builder("yolo11n-cls")
    old, new = make(2), make(2)
    base = Base("old.pth", "", {}, outputs("oak", "ash", attribute="tree"), old.state_dict())
    random = {name: tensor.clone() for name, tensor in new.state_dict().items()}
    rows = class_rows(make)
    taken = take_over(new, base, outputs("oak", "ash"), rows)
    assert taken.classes == ()
    assert taken.tensors == taken.of - len(rows)
    assert all(torch.equal(new.state_dict()[name], random[name]) for name in rows)


def test_the_same_classes_in_another_order_are_remapped_though_all_shapes_are_equal() -> None:
    make = builder("yolo11n-cls")
    old, new = make(2), make(2)
    base = Base("old.pth", "", {}, outputs("oak", "ash"), old.state_dict())
    take_over(new, base, outputs("ash", "oak"), class_rows(make))
    (name,) = (name for name in class_rows(make) if name.endswith("weight"))
    assert torch.equal(new.state_dict()[name], old.state_dict()[name].flip(0))


def test_where_layers_have_another_width_the_classes_do_not_count_as_known() -> None:
    """The small detectors have wider layers before the last one when there are many classes."""
    make = builder("yolo11n")
    old, new = make(80), make(2)
    names = [f"thing {number}" for number in range(80)]
    base = Base("old.pth", "", {}, outputs(*names), old.state_dict())
    taken = take_over(new, base, outputs(*names[:2]), class_rows(make))
    assert taken.classes == ()
    assert 0.9 * taken.of < taken.tensors < taken.of
    assert torch.equal(
        new.state_dict()["model.0.conv.weight"], old.state_dict()["model.0.conv.weight"]
    )


def epochs(bench: Bench, ended: Ended) -> list[dict[str, Any]]:
    assert ended.code == ExitCode.OK, ended.output
    assert ended.words.location is not None
    lines = bench.store.read_bytes(join(ended.words.location, "metrics.jsonl")).splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("kind", ["yolo-det", "yolo-seg", "yolo-cls", "embedder"])
def test_a_run_that_goes_on_from_a_model_begins_better_than_one_from_scratch(
    kind: str, models: Models, bench: Bench, run_here: Callable[[str], Ended]
) -> None:
    folder = models.of(kind)
    scratch = json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])
    document = models.document(kind, epochs=1, learningRate=0.0001)
    document["template"] |= {
        "baseModel": {"weights": models.as_base(kind)},
        "exports": [],
    }
    ended = run_here(sealed(document | {"base": models.as_base(kind)}))
    (first,) = epochs(bench, ended)
    assert first["devAccuracy"] >= scratch["devAccuracy"] + 0.2
    if kind != "embedder":  # whose loss is normalised over each batch, which is of two images
        assert first["trainLoss"] < 0.8 * scratch["trainLoss"]
    assert "and 2 of 2 classes are taken over" in ended.output


def test_a_run_whose_capability_has_another_order_goes_on_with_its_own(
    models: Models, bench: Bench, run_here: Callable[[str], Ended], tmp_path: Path
) -> None:
    document = models.document("yolo-det", epochs=1)
    document["template"] |= {"baseModel": {"weights": models.as_base("yolo-det")}, "exports": []}
    document["base"] = models.as_base("yolo-det")
    document["capability"]["outputs"] = [
        {"attribute": "class", "value": value, "position": position}
        for position, value in enumerate(("square", "disc"))
    ]
    ended = run_here(sealed(document))
    assert ended.code == ExitCode.OK, ended.output
    assert ended.words.location is not None
    assert "499 of 499 tensors and 2 of 2 classes are taken over" in ended.output
    bench.store.download(join(ended.words.location, "config.yaml"), tmp_path / "config.yaml")
    config = model.read_config(tmp_path / "config.yaml")
    assert [output.value for output in config.classes] == ["square", "disc"]
    assert config.architecture == "yolo11n"


def refused(store: Store, bench: Bench, path: Path, engine: str = "yolo-cls", **base: str) -> str:
    """What a run says that is to go on from a file."""
    uri = f"s3://{BUCKET}/bases/{path.name}"
    named = {"uri": uri, "sha256": store.upload(path, uri).sha256} | base
    run = RunFile.model_validate(bench.document(engine, base=named))
    with pytest.raises(InvalidRunFile) as caught:
        starting_point(store, run, path.parent / "fetched/base.pth")
    return str(caught.value)


def saved(models: Models, path: Path, **changes: Any) -> Path:
    """A copy of a real model.pth with something in it changed."""
    content = torch.load(models.of("yolo-cls") / "model.pth", weights_only=True)
    torch.save(content | changes, path)
    return path


def test_a_file_with_a_pickle_in_it_is_not_opened(
    store: Store, bench: Bench, tmp_path: Path, models: Models
) -> None:
    class Touch:
        def __reduce__(self) -> tuple[Any, ...]:
            return (exec, (f"open({str(tmp_path / 'opened')!r}, 'w')",))

    text = refused(store, bench, saved(models, tmp_path / "evil.pth", config=Touch()))
    assert text == (
        f"base: s3://{BUCKET}/bases/evil.pth: base.pth holds more than tensors and plain values, "
        "which could be code: it was not opened; give a model.pth of Trainyard, or convert the "
        "file first"
    )
    assert not (tmp_path / "opened").exists()


def test_a_truncated_file_is_refused(
    store: Store, bench: Bench, tmp_path: Path, models: Models
) -> None:
    path = tmp_path / "half.pth"
    data = (models.of("yolo-cls") / "model.pth").read_bytes()
    path.write_bytes(data[: len(data) // 2])
    text = refused(store, bench, path)
    assert text.startswith(
        f"base: s3://{BUCKET}/bases/half.pth: base.pth is no model.pth of Trainyard, or not whole ("
    )


def test_another_file_than_the_one_that_was_named_is_not_opened(
    store: Store, bench: Bench, tmp_path: Path, models: Models
) -> None:
    path = saved(models, tmp_path / "other.pth")
    text = refused(store, bench, path, sha256="0" * 64)
    assert "has the SHA-256" in text
    assert f"expected {'0' * 64}" in text


def test_a_file_that_is_gone_is_told(
    store: Store, bench: Bench, tmp_path: Path, models: Models
) -> None:
    path = saved(models, tmp_path / "gone.pth")
    uri = f"s3://{BUCKET}/nowhere.pth"
    assert refused(store, bench, path, uri=uri) == (
        f"base: there is no file {uri}: store the weights again"
    )


def test_a_model_of_another_engine_is_refused(
    store: Store, bench: Bench, tmp_path: Path, models: Models
) -> None:
    text = refused(store, bench, saved(models, tmp_path / "cls.pth"), "yolo-det")
    assert text == (
        f"base: s3://{BUCKET}/bases/cls.pth is a model of the engine yolo-cls, the template has "
        "yolo-det: go on from a model of the same engine"
    )


def test_a_file_that_does_not_say_what_it_is_is_refused(
    store: Store, bench: Bench, tmp_path: Path, models: Models
) -> None:
    text = refused(
        store, bench, saved(models, tmp_path / "bare.pth", config={"engine": "yolo-cls"})
    )
    assert text.startswith(f"base: s3://{BUCKET}/bases/bare.pth does not describe its model (")


def test_tensors_of_another_architecture_are_refused(
    store: Store, bench: Bench, tmp_path: Path, models: Models
) -> None:
    config = torch.load(models.of("yolo-cls") / "model.pth", weights_only=True)["config"]
    config["model"] |= {"scale": "s"}
    text = refused(store, bench, saved(models, tmp_path / "wider.pth", config=config))
    assert text.startswith(
        f"base: s3://{BUCKET}/bases/wider.pth: the weights do not fit the architecture 'yolo11n'"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"activation": "__import__('pathlib').Path('{path}').touch() or torch.nn.SiLU()"},
        {"head": [[-1, 1, "load_checkpoint", ["{path}"]]]},
        {"head": 3},
    ],
    ids=["code as an activation", "a function as a layer", "no layers"],
)
def test_layers_that_are_none_are_neither_built_nor_run(
    change: dict[str, Any], store: Store, bench: Bench, tmp_path: Path, models: Models
) -> None:
    config = torch.load(models.of("yolo-cls") / "model.pth", weights_only=True)["config"]
    touched = tmp_path / "touched"
    written = json.loads(json.dumps(change).replace("{path}", str(touched)))
    config["model"] |= written
    text = refused(store, bench, saved(models, tmp_path / "layers.pth", config=config))
    assert text.startswith(
        f"base: s3://{BUCKET}/bases/layers.pth: the layers that the configuration names for "
        "'yolo11n' are none that the engine yolo-cls builds ("
    )
    assert not touched.exists()


def test_a_run_that_cannot_start_from_its_weights_ends_with_the_code_for_a_bad_configuration(
    models: Models, run_here: Callable[[str], Ended]
) -> None:
    base = models.as_base("yolo-cls") | {"sha256": "0" * 64}
    ended = run_here(sealed(models.document("yolo-cls", epochs=1) | {"base": base}))
    assert ended.code == ExitCode.BAD_CONFIG
    assert ended.words.reason == "InvalidRunFile"
    assert "has the SHA-256" in (ended.words.message or "")
