"""The table of arguments agrees with ultralytics' own configuration, of the version in use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import ultralytics
import yaml
from ultralytics.cfg import (
    CFG_BOOL_KEYS,
    CFG_FLOAT_KEYS,
    CFG_FRACTION_KEYS,
    CFG_INT_KEYS,
    CFG_STR_KEYS,
    get_cfg,
)
from ultralytics.utils import DEFAULT_CFG_DICT

from tests.unit.trainer.pods import Bench, Ended, sealed
from trainyard.api._base import ApiModel
from trainyard.api.capability import Output
from trainyard.api.engine_arguments import (
    ARCHITECTURES,
    ARGUMENTS,
    FIELDS,
    Argument,
    Choice,
    Flag,
    Integer,
    Number,
    Value,
    validated,
)
from trainyard.api.report import ExitCode
from trainyard.api.template import (
    Augmentation,
    Engine,
    Evaluation,
    Hyperparameters,
    TrainingTemplateSpec,
)
from trainyard_trainer.engines.augment import Variation, resolve
from trainyard_trainer.engines.base import TrainSettings
from trainyard_trainer.engines.training import arguments

LEFT_OUT = {
    "what a run decides for itself": "task mode save save_period plots val split save_json verbose "
    "profile resume show source vid_stride stream_buffer visualize augment agnostic_nms "
    "classes retina_masks embed max_det show_boxes save_frames save_txt save_conf save_crop "
    "show_labels show_conf line_width tracker dnn single_cls cls_remap fraction time "
    "channels_last",
    "where it writes": "project name exist_ok cache",
    "what it exports": "format optimize dynamic simplify opset workspace nms quantize",
    "what compiles or loads code and files": "compile cfg distill_model dis",
    "what other tasks have": "pose kobj rle angle dlog dgrad dlam",
    "what only the library's transforms of classifiers do": "auto_augment erasing",
}
ARCHITECTURE_FILES = Path(ultralytics.__file__).parent / "cfg" / "models"
SUFFIX = {Engine.YOLO_DET: "", Engine.YOLO_SEG: "-seg"}
"""Of the name of an architecture's file; all others are classifiers."""


EACH = [
    pytest.param(engine, name, argument, id=f"{engine}-{name}")
    for engine, table in ARGUMENTS.items()
    for name, argument in table.items()
]


def test_every_argument_of_the_library_was_looked_at() -> None:
    known = {name for table in ARGUMENTS.values() for name in table} | FIELDS.keys()
    left_out = {name for names in LEFT_OUT.values() for name in names.split()}
    assert not known & left_out
    assert DEFAULT_CFG_DICT.keys() - known - left_out == set()
    assert known - DEFAULT_CFG_DICT.keys() == set()


@pytest.mark.parametrize(("engine", "name", "argument"), EACH)
def test_an_argument_has_the_type_that_the_library_checks(
    engine: Engine, name: str, argument: Argument
) -> None:
    match argument:
        case Flag():
            assert name in CFG_BOOL_KEYS
        case Choice():
            assert name in CFG_STR_KEYS
        case Integer():
            # The library also takes lists of layers to freeze, so it checks none of them.
            assert name in CFG_INT_KEYS or name == "freeze"
        case Number():
            assert name in CFG_FLOAT_KEYS | CFG_FRACTION_KEYS
            if name in CFG_FRACTION_KEYS:
                assert 0 <= argument.low <= argument.high <= 1


@pytest.mark.parametrize(("engine", "name", "argument"), EACH)
def test_the_library_takes_all_that_the_table_allows(
    engine: Engine, name: str, argument: Argument
) -> None:
    match argument:
        case Flag():
            texts: tuple[str, ...] = ("true", "false")
        case Choice():
            texts = argument.options
        case Integer() | Number():
            texts = (str(argument.low), str(argument.high))
    for text in texts:
        value: Value = validated(engine, {name: text})[name]
        assert getattr(get_cfg(overrides={name: value}), name) == value


@pytest.mark.parametrize("engine", Engine)
def test_the_library_has_the_architectures_in_all_sizes(engine: Engine) -> None:
    suffix = SUFFIX.get(engine, "-cls")
    for family in ARCHITECTURES[engine]:
        [path] = ARCHITECTURE_FILES.glob(f"*/{family}{suffix}.yaml")
        scales = yaml.safe_load(path.read_text())["scales"]
        assert sorted(scales) == sorted("nsmlx"), path


@pytest.mark.parametrize("engine", [Engine.YOLO_DET, Engine.YOLO_SEG, Engine.YOLO_CLS])
def test_the_head_of_every_architecture_learns_whatever_is_frozen(engine: Engine) -> None:
    frozen = ARGUMENTS[engine]["freeze"]
    assert isinstance(frozen, Integer)
    for family in ARCHITECTURES[engine]:
        [path] = ARCHITECTURE_FILES.glob(f"*/{family}{SUFFIX.get(engine, '-cls')}.yaml")
        layers = yaml.safe_load(path.read_text())
        assert frozen.high < len(layers["backbone"] + layers["head"]), family


@pytest.mark.parametrize("kind", ["yolo-det", "yolo-seg", "yolo-cls"])
def test_a_training_takes_all_arguments_at_once_at_their_bounds(
    bench: Bench, run_here: Callable[[str], Ended], kind: str
) -> None:
    """All images are mixed, cut, sheared, and all but the head is frozen: it ends all the same."""
    extra = {name: _most(argument) for name, argument in ARGUMENTS[Engine(kind)].items()}
    if "multi_scale" in extra:
        extra["multi_scale"] = "0.5"
    document = bench.document(kind)
    document["template"] = bench.template(kind, epochs=1, imageSize=128, extra=extra)
    ended = run_here(sealed(document))
    assert ended.code == ExitCode.OK, ended.output


def _most(argument: Argument) -> str:
    match argument:
        case Flag():
            return "true"
        case Choice():
            return argument.options[-1]
        case Integer() | Number():
            return str(argument.high)


def limits(part: type[ApiModel]) -> Iterator[tuple[str, dict[str, float]]]:
    """Each number of a part of the template at its lowest and at its highest."""
    for name, field in part.model_json_schema()["properties"].items():
        bounds = field.get("anyOf", [field])[0]
        if bounds.get("type") in ("integer", "number"):
            nearly = 1 if bounds["type"] == "integer" else 1e-6
            low = bounds.get("minimum", bounds.get("exclusiveMinimum", 0) + nearly)
            high = bounds.get("maximum", bounds.get("exclusiveMaximum", 0) - nearly)
            yield f"{name}-lowest", {name: low}
            yield f"{name}-highest", {name: high}


PARTS = {"hyperparameters": Hyperparameters, "augmentation": Augmentation, "evaluation": Evaluation}


@pytest.mark.parametrize(
    ("part", "values"),
    [
        pytest.param(part, values, id=name)
        for part, kind in PARTS.items()
        for name, values in limits(kind)
    ],
)
def test_the_library_takes_all_that_the_fields_of_the_template_allow(
    part: str, values: dict[str, float], tmp_path: Path
) -> None:
    spec = TrainingTemplateSpec.model_validate(
        {
            "displayName": "x",
            "engine": "yolo-seg",
            "baseModel": {"architecture": "yolo11n"},
            part: values,
        }
    )
    given = replace(
        SETTINGS,
        hyperparameters=spec.hyperparameters,
        variation=resolve(spec.augmentation, spec.engine),
        confidence=spec.evaluation.confidence_threshold,
        iou=spec.evaluation.iou_threshold,
    )
    get_cfg(overrides=arguments(given, "-seg", tmp_path, tmp_path))


SETTINGS = TrainSettings(
    architecture="yolo11n",
    classes=(Output(attribute="class", value="cat", position=0),),
    hyperparameters=Hyperparameters(batch_size=4),
    variation=Variation(),
    device="cpu",
    threads=1,
    workers=0,
    primary_metric="mAP50",
    confidence=0.001,
    iou=0.7,
)


def test_what_is_given_wins_over_what_a_training_would_be_told_otherwise(tmp_path: Path) -> None:
    plain = arguments(SETTINGS, "", tmp_path, tmp_path)
    extra = validated(Engine.YOLO_DET, {"hsv_s": "0.3", "nbs": "64", "cos_lr": "true"})
    asked = arguments(replace(SETTINGS, extra=extra), "", tmp_path, tmp_path)
    assert asked == plain | {"hsv_s": 0.3, "nbs": 64, "cos_lr": True}
    assert (plain["hsv_s"], plain["nbs"]) == (0.0, 4)
