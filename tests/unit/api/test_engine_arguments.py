"""Arguments of the engines: what may be given, and what is said about the others."""

from __future__ import annotations

import pytest

from trainyard.api.engine_arguments import (
    ARCHITECTURES,
    ARGUMENTS,
    FIELDS,
    check_architecture,
    validated,
)
from trainyard.api.template import Engine

DET, CLS, SEG = Engine.YOLO_DET, Engine.YOLO_CLS, Engine.YOLO_SEG


def test_each_argument_gets_the_type_that_the_library_wants() -> None:
    given = {
        "mixup": "0.25",
        "box": "7",
        "shear": "1e1",
        "mask_ratio": "2",
        "cos_lr": "true",
        "overlap_mask": "False",
        "copy_paste_mode": "mixup",
        "nbs": " 64 ",
    }
    made = validated(SEG, given)
    assert made == {
        "mixup": 0.25,
        "box": 7.0,
        "shear": 10.0,
        "mask_ratio": 2,
        "cos_lr": True,
        "overlap_mask": False,
        "copy_paste_mode": "mixup",
        "nbs": 64,
    }
    assert {name: type(value) for name, value in made.items()} == {
        "mixup": float,
        "box": float,
        "shear": float,
        "mask_ratio": int,
        "cos_lr": bool,
        "overlap_mask": bool,
        "copy_paste_mode": str,
        "nbs": int,
    }


@pytest.mark.parametrize("extra", [None, {}])
def test_nothing_given_is_nothing_asked(extra: dict[str, str] | None) -> None:
    assert validated(DET, extra) == {}


TAKES = "is not what the engine yolo-seg takes: give"
REFUSED: dict[str, tuple[str, str, str]] = {
    "no number": ("mixup", "much", f"'much' {TAKES} a number from 0 to 1"),
    "nan": ("mixup", "nan", f"'nan' {TAKES} a number from 0 to 1"),
    "infinity": ("box", "inf", f"'inf' {TAKES} a number from 0 to 100"),
    "minus infinity": ("box", "-Infinity", f"'-Infinity' {TAKES} a number from 0 to 100"),
    "a number that becomes infinite": ("box", "1e999", f"'1e999' {TAKES} a number from 0 to 100"),
    "above the bound": ("mixup", "1.01", f"'1.01' {TAKES} a number from 0 to 1"),
    "below the bound": ("translate", "-0.1", f"'-0.1' {TAKES} a number from 0 to 1"),
    "nothing": ("mixup", "", f"'' {TAKES} a number from 0 to 1"),
    "digits of another script": ("nbs", "६४", f"'६४' {TAKES} a whole number from 1 to 65536"),
    "an underscore": ("nbs", "1_000", f"'1_000' {TAKES} a whole number from 1 to 65536"),
    "a fraction of a whole number": ("nbs", "1.5", f"'1.5' {TAKES} a whole number from 1 to 65536"),
    "a whole number of many digits": (
        "nbs",
        "9" * 200,
        f"'{'9' * 80}' {TAKES} a whole number from 1 to 65536",
    ),
    "no flag": ("cos_lr", "1", f'\'1\' {TAKES} "true" or "false"'),
    "no choice": ("copy_paste_mode", "both", f"'both' {TAKES} one of flip, mixup"),
    "an expression": (
        "mixup",
        "__import__('os')",
        f"\"__import__('os')\" {TAKES} a number from 0 to 1",
    ),
    "a field of its own": (
        "lr0",
        "0.1",
        "this has a field of its own: set hyperparameters.learningRate instead",
    ),
    "a misspelling": (
        "mix_up",
        "0.1",
        "not an argument that the engine yolo-seg takes; did you mean mixup?",
    ),
    "a name of another library": (
        "num_train_timesteps",
        "1",
        "not an argument that the engine yolo-seg takes; it takes bgr, box, close_mosaic, cls, "
        "cls_pw, copy_paste, copy_paste_mode, cos_lr, cutmix, deterministic, dfl, freeze, "
        "hsv_h, hsv_s, hsv_v, mask_ratio, mixup, multi_scale, nbs, overlap_mask, perspective, "
        "rect, shear, translate, warmup_bias_lr, warmup_momentum",
    ),
}


@pytest.mark.parametrize(("name", "value", "says"), REFUSED.values(), ids=REFUSED)
def test_argument_is_refused_by_name(name: str, value: str, says: str) -> None:
    with pytest.raises(ValueError, match="hyperparameters") as caught:
        validated(SEG, {name: value})
    assert str(caught.value) == f"hyperparameters.extra.{name}: {says}"


@pytest.mark.parametrize(
    "name",
    ["project", "name", "cfg", "distill_model", "cache", "save", "resume", "time", "tracker"],
)
@pytest.mark.parametrize("engine", Engine)
def test_what_writes_elsewhere_or_reaches_out_is_no_argument(engine: Engine, name: str) -> None:
    with pytest.raises(ValueError, match=rf"^hyperparameters\.extra\.{name}: "):
        validated(engine, {name: "x"})


def test_an_engine_without_arguments_says_so() -> None:
    engine = next(engine for engine in Engine if not ARGUMENTS[engine])
    with pytest.raises(ValueError, match=f"the engine {engine} takes no extra arguments"):
        validated(engine, {"mixup": "0.1"})


def test_an_argument_of_detectors_is_none_of_classifiers() -> None:
    assert validated(DET, {"mixup": "0.1"}) == {"mixup": 0.1}
    with pytest.raises(ValueError, match=r"extra\.mixup: not an argument .* yolo-cls takes"):
        validated(CLS, {"mixup": "0.1"})


def test_no_field_is_also_an_argument() -> None:
    assert not FIELDS.keys() & {name for table in ARGUMENTS.values() for name in table}


def test_every_engine_has_its_tables() -> None:
    assert ARGUMENTS.keys() == ARCHITECTURES.keys() == set(Engine)


@pytest.mark.parametrize(
    ("engine", "name"), [(DET, "yolo11n"), (DET, "yolov5x"), (SEG, "yolo26s"), (CLS, "yolov8m")]
)
def test_an_architecture_that_the_engine_has_is_taken(engine: Engine, name: str) -> None:
    check_architecture(engine, name)


@pytest.mark.parametrize(
    ("engine", "name"),
    [(DET, "yolo99n"), (DET, "yolo11"), (DET, "yolo11nn"), (CLS, "yolov5n"), (SEG, "n"), (DET, "")],
)
def test_another_architecture_is_refused_by_name(engine: Engine, name: str) -> None:
    with pytest.raises(ValueError, match=f"architecture: {name!r} is not known to .*{engine}"):
        check_architecture(engine, name)
