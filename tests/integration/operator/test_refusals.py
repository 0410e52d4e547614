"""What can never run ends Failed with a sentence, and no Job is made for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from support.world import CLASSES, World

from trainyard.cluster.resources import DATASET, JOB, PROCESS, TEMPLATE

Json = dict[str, Any]


def _refused(world: World, name: str, reason: str, whole: str = "ValidationFailed") -> str:
    message = world.fails(name, whole)
    validated = world.condition(name, "Validated")
    assert (validated["status"], validated["reason"]) == ("False", reason)
    assert validated["message"] == message
    assert world.row(PROCESS, name)["REASON"] == reason
    assert world.jobs(name) == []
    assert world.lease() is None
    return message


def test_an_engine_that_does_not_fit_the_capability_is_named_with_those_that_do(
    world: World,
) -> None:
    world.capability()
    world.template(engine="yolo-det")
    world.process("cats")
    assert _refused(world, "cats", "EngineMismatch") == (
        "TrainingTemplate small has engine yolo-det, which does not train the type "
        "ImageClassifierElement (Capability animals): use a template with engine yolo-cls"
    )


def test_a_class_without_an_example_in_the_train_data_is_named(world: World) -> None:
    world.capability(classes=("cat", "dog", "axolotl"))
    world.template()
    for name in ("train", "dev"):
        world.dataset(name)
    world.process("cats")
    message = _refused(world, "cats", "ClassesMissing")
    assert message.startswith(
        "Capability animals has class=axolotl, of which the train data (train) has no example"
    )


def test_overlapping_splits_are_counted_with_examples_of_both_names(world: World) -> None:
    world.capability()
    world.template()
    shared = {"cat/same.png": b"the same cat", "dog/same.png": b"the same dog"}
    world.dataset("train", {**shared, "cat/own.png": b"own cat"})
    world.dataset(
        "dev", {"cat/renamed.png": b"the same cat", "dog/same.png": b"the same dog", "dog/x": b"x"}
    )
    world.process("cats")
    message = _refused(world, "cats", "SplitsOverlap")
    assert message.startswith("2 images are in train and in dev (")
    assert "cat/same.png = cat/renamed.png" in message
    assert "dog/same.png" in message
    assert message.endswith("remove them from one of the two, then create a new process")


def test_groups_on_both_sides_are_counted_with_examples(world: World) -> None:
    world.capability()
    world.template()
    frames = {
        split: {
            f"{value}/video{video}_{split}.png": f"{split} {value} {video}".encode()
            for value in CLASSES
            for video in videos
        }
        for split, videos in {"train": (1, 2, 3), "dev": (3, 4), "test": (5, 1)}.items()
    }
    for split, images in frames.items():
        world.dataset(split, images, groupBy=r"/(video\d+)_")
    world.process("cats", datasets={split: [split] for split in frames})
    assert _refused(world, "cats", "GroupsOverlap") == (
        "1 group has samples in train (2) and in dev (2), for example video3; 1 group has samples "
        "in train (2) and in test (2), for example video1: keep each group whole on one side, "
        "then create a new process"
    )


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        pytest.param(
            {"lr0": "0.1"},
            "lr0: this has a field of its own: set hyperparameters.learningRate instead",
            id="field",
        ),
        pytest.param(
            {"dropot": "0.1"},
            "dropot: not an argument that the engine yolo-cls takes; did you mean dropout?",
            id="misspelt",
        ),
        pytest.param(
            {"dropout": "nan"},
            "dropout: 'nan' is not what the engine yolo-cls takes: give a number from 0 to 0.95",
            id="nan",
        ),
    ],
)
def test_an_argument_that_the_engine_does_not_take_is_refused_by_name(
    world: World, extra: dict[str, str], says: str
) -> None:
    world.inputs()
    world.process("cats", overrides={"hyperparameters": {"extra": extra}})
    message = _refused(world, "cats", "InvalidOverride")
    assert message == f"hyperparameters.extra.{says}"


def test_a_template_that_no_process_could_use_says_so_itself(world: World) -> None:
    world.template("wrong", baseModel={"architecture": "yolo99n"})
    ready = world.wait_reason("wrong", "Ready", "InvalidTemplate", type_=TEMPLATE)
    assert ready["status"] == "False"
    assert ready["message"].startswith("baseModel.architecture: 'yolo99n' is not known to the")


def test_an_override_beyond_the_bounds_never_gets_that_far(world: World) -> None:
    manifest = _manifest(world, {"hyperparameters": {"epochs": 0}})
    refused = world.kubectl("create", f"--filename={manifest}", check=False)
    assert "spec.overrides.hyperparameters.epochs" in refused
    assert "should be greater than or equal to 1" in refused


def _manifest(world: World, overrides: Json) -> Path:
    spec = {
        "capability": "animals",
        "template": "small",
        "datasets": {"train": ["train"], "dev": ["dev"]},
        "targetNode": world.node,
        "overrides": overrides,
    }
    body = {
        "apiVersion": "trainyard.dev/v1alpha1",
        "kind": "TrainingProcess",
        "metadata": {"name": "cats"},
        "spec": spec,
    }
    path = world.operator.folder / f"{world.namespace}.yaml"
    path.write_text(yaml.safe_dump(body))
    return path


def test_a_metric_that_is_not_the_engines_is_refused_with_those_that_are(world: World) -> None:
    world.inputs()
    world.process("cats", overrides={"evaluation": {"primaryMetric": "mAP50"}})
    message = _refused(world, "cats", "InvalidOverride")
    assert "'mAP50' is not a metric of engine yolo-cls: use one of top-1, top-5" in message


def test_a_dataset_whose_groups_cannot_be_told_fails_before_a_job_is_made(world: World) -> None:
    source = {"s3": {"bucket": "trainyard", "prefix": "x"}}
    selections = [{"format": "folders", "source": source}]
    world.apply("Dataset", "frames", {"selections": selections, "groupBy": r"^cam\d+_"})
    world.wait_phase(DATASET, "frames", "Failed")
    condition = world.condition("frames", "Ready", DATASET)
    assert condition["reason"] == "InvalidGroupBy"
    assert condition["message"].startswith(
        r"Dataset frames: groupBy '^cam\d+_' has 0 groups in parentheses and needs exactly one"
    )
    assert not world.api.list(JOB, world.namespace).items


def test_a_failed_process_stays_failed_when_what_was_wrong_is_mended(world: World) -> None:
    world.capability()
    world.template(engine="yolo-det")
    world.process("cats")
    before = _refused(world, "cats", "EngineMismatch")
    world.delete(TEMPLATE, "small")
    world.template()
    world.dataset("train")
    world.dataset("dev")
    world.process("again")
    world.succeeds("again")
    assert world.fails("cats", "ValidationFailed") == before
