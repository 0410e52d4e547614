"""Pretrained checkpoints of ultralytics become weights that a run can start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit.labelled import BUCKET
from tests.unit.trainer.pods import Bench
from trainyard.api.run import RunFile
from trainyard.api.template import Engine
from trainyard.stores import Store
from trainyard_trainer import model
from trainyard_trainer.config import ModelConfig
from trainyard_trainer.convert import convert
from trainyard_trainer.engines import engine_for
from trainyard_trainer.main import main
from trainyard_trainer.starting_point import starting_point


def checkpoint(path: Path, architecture: str, names: dict[int, str] | None = None) -> Path:
    """A .pt as ultralytics itself writes it, of a model with these classes."""
    from ultralytics import YOLO

    made = YOLO(f"{architecture}.yaml", verbose=False)
    if names is not None:
        made.model = type(made.model)(f"{architecture}.yaml", nc=len(names), verbose=False)
        made.model.names, made.model.task = names, made.task
    made.save(path)
    return path


@pytest.mark.parametrize(
    ("architecture", "engine", "name"),
    [
        ("yolo11n", Engine.YOLO_DET, "yolo11n"),
        ("yolo26s-seg", Engine.YOLO_SEG, "yolo26s"),
        ("yolov8n-cls", Engine.YOLO_CLS, "yolov8n"),
    ],
)
def test_a_checkpoint_becomes_a_model_that_says_the_same(
    architecture: str, engine: Engine, name: str, tmp_path: Path
) -> None:
    from ultralytics import YOLO

    source, target = checkpoint(tmp_path / "given.pt", architecture), tmp_path / "out" / "made.pth"
    words = convert(source, target, trust=True)
    state, document = model.read_weights(target)
    config = ModelConfig.model_validate(document)
    assert (config.engine, config.architecture) == (engine, name)
    given = YOLO(source).model.half().float().eval()
    assert [output.value for output in config.classes] == list(given.names.values())
    assert {output.attribute for output in config.classes} == {"class"}
    assert str(len(config.classes)) in (words.message or "")
    assert config.converted_from is not None
    assert config.converted_from.file == "given.pt"
    maker = engine_for(config.engine, config.capability.type)
    asked = maker.asked(maker.build(config.model, len(config.classes), state))
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        expected = given(images)[0]
        found, *_ = asked(images)
    expected = expected[0] if isinstance(expected, tuple) else expected
    if engine is not Engine.YOLO_SEG:  # its second head says each entity once
        torch.testing.assert_close(found, expected)


def test_a_run_starts_from_it(tmp_path: Path, store: Store, bench: Bench) -> None:
    names = {0: "square", 1: "disc", 2: "star"}
    convert(checkpoint(tmp_path / "a.pt", "yolo11n", names), tmp_path / "a.pth", trust=True)
    uri = f"s3://{BUCKET}/pretrained/a.pth"
    base = {"uri": uri, "sha256": store.upload(tmp_path / "a.pth", uri).sha256}
    run = RunFile.model_validate(bench.document("yolo-det", base=base))
    found = starting_point(store, run, tmp_path / "fetched/base.pth")
    assert found is not None
    assert [output.value for output in found.classes] == ["square", "disc", "star"]
    assert found.architecture == "yolo11n"


def test_nothing_is_opened_without_trust(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "given.pt", "yolo11n-cls")
    with pytest.raises(
        model.UnusableModel,
        match=r"given\.pt is a pickle, which can run code when it is opened: give --trust if you "
        "know where it comes from$",
    ):
        convert(source, tmp_path / "made.pth", trust=False)
    assert not (tmp_path / "made.pth").exists()


def test_code_in_a_trusted_file_does_not_run_either(tmp_path: Path) -> None:
    class Touch:
        def __reduce__(self) -> tuple[Any, ...]:
            return (exec, (f"open({str(tmp_path / 'opened')!r}, 'w')",))

    torch.save({"model": Touch()}, tmp_path / "evil.pt")
    with pytest.raises(model.UnusableModel, match="other things than layers that it knows"):
        convert(tmp_path / "evil.pt", tmp_path / "made.pth", trust=True)
    assert not (tmp_path / "opened").exists()


def test_files_that_are_none_are_refused_in_a_sentence(tmp_path: Path) -> None:
    whole = checkpoint(tmp_path / "given.pt", "yolo11n-cls").read_bytes()
    (tmp_path / "half.pt").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.pt").touch()
    (tmp_path / "model.pth").write_bytes(whole)
    for name, words in (
        ("half.pt", "no whole checkpoint"),
        ("empty.pt", "no whole checkpoint"),
        ("model.pth", "no file that ends in .pt"),
        ("missing.pt", "no file that ends in .pt"),
    ):
        with pytest.raises(model.UnusableModel, match=words):
            convert(tmp_path / name, tmp_path / "made.pth", trust=True)


def test_models_of_another_task_or_architecture_are_refused(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "pose.pt", "yolo11n-pose")
    with pytest.raises(
        model.UnusableModel, match="a model for the task pose, for which there is no"
    ):
        convert(source, tmp_path / "made.pth", trust=True)
    source = checkpoint(tmp_path / "ghost.pt", "yolov8n-ghost")
    with pytest.raises(model.UnusableModel, match="'yolov8n-ghostn' is not known to the engine"):
        convert(source, tmp_path / "made.pth", trust=True)


def test_a_class_whose_name_is_no_line_of_text_is_refused(tmp_path: Path) -> None:
    names = {0: "disc", 1: "two\nlines"}
    source = checkpoint(tmp_path / "given.pt", "yolo11n-cls", names)
    with pytest.raises(model.UnusableModel, match=r"given\.pt: value: "):
        convert(source, tmp_path / "made.pth", trust=True)


def test_the_command_needs_trust(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRAINYARD_WORKDIR", str(tmp_path / "work"))
    monkeypatch.setenv("TRAINYARD_TERMINATION_LOG", str(tmp_path / "last-words"))
    source, target = checkpoint(tmp_path / "given.pt", "yolo11n-cls"), tmp_path / "made.pth"
    assert main(["convert", str(source), str(target)]) != 0
    assert main(["convert", str(source), str(target), "--trust"]) == 0
    assert "yolo11n for yolo-cls" in capsys.readouterr().out
    assert target.exists()
