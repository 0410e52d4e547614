"""Every finding of validation: when, with which sentence, final or not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.builders import (
    LOCATION,
    NOW,
    SETTINGS,
    STORE_ROOT,
    capability,
    compared,
    content,
    dataset,
    facts,
    process,
    ready_datasets,
    snapshot_status,
    template,
    trained_model,
)
from trainyard.api.comparison import (
    AlikeImages,
    NotLookedFor,
    SharedGroups,
    SharedImages,
    SplitContent,
    SplitPair,
)
from trainyard.api.dataset import Dataset
from trainyard.api.reasons import Reason
from trainyard.decide.facts import Unavailable
from trainyard.decide.finding import Finding
from trainyard.decide.recipe import METRICS
from trainyard.decide.validation import FITS, POLICIES, validate

WAITS, FINAL = False, True
AA, CC, DD = (("a", "a"), ("c", "c"), ("d", "d"))


def changed(**changes: Any) -> Finding | None:
    return validate(facts(**changes))


def test_what_fits_together_has_no_finding() -> None:
    assert changed() is None


def told(phase: str, message: str) -> Dataset:
    """A Dataset without a snapshot, and what it says of itself."""
    ready = {
        "type": "Ready",
        "status": "False",
        "reason": "BadData",
        "message": message,
        "lastTransitionTime": NOW,
    }
    return dataset("dev", status={"phase": phase, "conditions": [ready]})


WEIGHTS_SHA256 = "5" * 64
WEIGHTS = {"weights": {"uri": "s3://models/base.pth", "sha256": WEIGHTS_SHA256}}
IMAGE = f"registry.example/trainer@sha256:{'7' * 64}"
ALLOWING = replace(
    SETTINGS, allowed_weights=frozenset({WEIGHTS_SHA256}), allowed_images=frozenset({IMAGE})
)
CASES: dict[str, tuple[dict[str, Any], Reason, str, bool]] = {
    "a missing capability is waited for": (
        {"capability": None},
        Reason.CAPABILITY_NOT_FOUND,
        "waiting for Capability pets, which does not exist in namespace demo: apply it",
        WAITS,
    ),
    "a missing template is waited for": (
        {"template": None},
        Reason.TEMPLATE_NOT_FOUND,
        "waiting for TrainingTemplate recipe, which does not exist in namespace demo: apply it",
        WAITS,
    ),
    "a missing Secret is waited for": (
        {"secret_present": False},
        Reason.STORE_SECRET_MISSING,
        "waiting for Secret trainyard-store in namespace demo: create it with the keys "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        WAITS,
    ),
    "a missing dataset is waited for": (
        {"datasets": {"train": ready_datasets()["train"]}},
        Reason.DATASET_NOT_FOUND,
        "waiting for Dataset dev, which does not exist in namespace demo: apply it",
        WAITS,
    ),
    "a dataset that nobody has looked at is waited for": (
        {"datasets": {**ready_datasets(), "dev": dataset("dev")}},
        Reason.DATASET_NOT_READY,
        "waiting for Dataset dev: the operator has not looked at it yet",
        WAITS,
    ),
    "a dataset without its snapshot is waited for in its own words": (
        {"datasets": {**ready_datasets(), "dev": told("Snapshotting", "the snapshot is made")}},
        Reason.DATASET_NOT_READY,
        "waiting for Dataset dev: the snapshot is made",
        WAITS,
    ),
    "a dataset that has failed is waited for with its cause and what to do": (
        {"datasets": {**ready_datasets(), "dev": told("Failed", "a.txt:3: NaN: mend the line")}},
        Reason.DATASET_FAILED,
        "Dataset dev has failed: a.txt:3: NaN: mend the line; once that is mended, delete it and "
        "apply it again, for which this process waits, or create a process that names another",
        WAITS,
    ),
    "a missing test dataset is waited for": (
        {"process": process(datasets={"train": ["train"], "dev": ["dev"], "test": ["held-out"]})},
        Reason.DATASET_NOT_FOUND,
        "waiting for Dataset held-out, which does not exist in namespace demo: apply it",
        WAITS,
    ),
    "a store that does not answer is waited for": (
        {"data": Unavailable("waiting for the store to compare the splits: 503")},
        Reason.STORE_UNAVAILABLE,
        "waiting for the store to compare the splits: 503",
        WAITS,
    ),
    "an engine that trains something else is final": (
        {"template": template("yolo-det")},
        Reason.ENGINE_MISMATCH,
        "TrainingTemplate recipe has engine yolo-det, which does not train the type "
        "ImageClassifierElement (Capability pets): use a template with engine yolo-cls",
        FINAL,
    ),
    "a classifier's engine for a detector is final": (
        {"capability": capability("cat", type_="DetectorElement", geometry="box")},
        Reason.ENGINE_MISMATCH,
        "TrainingTemplate recipe has engine yolo-cls, which does not train the type "
        "DetectorElement with geometry box (Capability pets): use a template with engine yolo-det",
        FINAL,
    ),
    "a metric of another engine is final": (
        {"template": template(evaluation={"primaryMetric": "mAP50"})},
        Reason.INVALID_OVERRIDE,
        "evaluation.primaryMetric: 'mAP50' is not a metric of engine yolo-cls: use one of top-1, "
        "top-5",
        FINAL,
    ),
    "an architecture that the engine lacks is final": (
        {"template": template(baseModel={"architecture": "yolov5n"})},
        Reason.INVALID_OVERRIDE,
        "baseModel.architecture: 'yolov5n' is not known to the engine yolo-cls: use one of yolo11, "
        "yolo12, yolo26, yolov8 followed by its size (n, s, m, l or x), such as yolo11n",
        FINAL,
    ),
    "an argument that the engine lacks is final": (
        {"template": template(hyperparameters={"extra": {"mixup": "0.1"}})},
        Reason.INVALID_OVERRIDE,
        "hyperparameters.extra.mixup: not an argument that the engine yolo-cls takes; it takes "
        "cos_lr, deterministic, dropout, freeze, nbs, warmup_bias_lr, warmup_momentum",
        FINAL,
    ),
    "an argument out of bounds is final": (
        {"process": process(overrides={"hyperparameters": {"extra": {"dropout": "1.5"}}})},
        Reason.INVALID_OVERRIDE,
        "hyperparameters.extra.dropout: '1.5' is not what the engine yolo-cls takes: give a number "
        "from 0 to 0.95",
        FINAL,
    ),
    "an argument that is no number is final": (
        {"process": process(overrides={"hyperparameters": {"extra": {"dropout": "nan"}}})},
        Reason.INVALID_OVERRIDE,
        "hyperparameters.extra.dropout: 'nan' is not what the engine yolo-cls takes: give a number "
        "from 0 to 0.95",
        FINAL,
    ),
    "weights that the settings do not allow are waited for": (
        {"template": template(baseModel=WEIGHTS)},
        Reason.WEIGHTS_NOT_ALLOWED,
        "the weights s3://models/base.pth that TrainingTemplate recipe starts from have the "
        f"SHA-256 {WEIGHTS_SHA256}, which the operator's settings do not allow: have an "
        "administrator add it to trainer.allowedWeights, or start from an architecture or from a "
        "model that was trained in namespace demo",
        WAITS,
    ),
    "weights below the namespace's runs need to be allowed too": (
        {
            "template": template(
                baseModel={"weights": {"uri": f"{LOCATION}/model.pth", "sha256": WEIGHTS_SHA256}}
            )
        },
        Reason.WEIGHTS_NOT_ALLOWED,
        f"the weights {LOCATION}/model.pth that TrainingTemplate recipe starts from have the "
        f"SHA-256 {WEIGHTS_SHA256}, which the operator's settings do not allow: have an "
        "administrator add it to trainer.allowedWeights, or start from an architecture or from a "
        "model that was trained in namespace demo",
        WAITS,
    ),
    "a model to start from is waited for": (
        {"template": template(baseModel={"trainedModel": "older"})},
        Reason.BASE_MODEL_NOT_FOUND,
        "waiting for TrainedModel older, from which TrainingTemplate recipe starts and which does "
        "not exist in namespace demo: train or apply it",
        WAITS,
    ),
    "a model of another engine is final": (
        {
            "template": template(baseModel={"trainedModel": "older"}),
            "base_model": trained_model("older", engine="yolo-det"),
        },
        Reason.ENGINE_MISMATCH,
        "TrainedModel older is of engine yolo-det, and TrainingTemplate recipe, which starts from "
        "it, has engine yolo-cls: start from a model of the same engine",
        FINAL,
    ),
    "a model without weights is final": (
        {
            "template": template(baseModel={"trainedModel": "older"}),
            "base_model": trained_model("older", artefacts={"location": LOCATION}),
        },
        Reason.BASE_MODEL_UNUSABLE,
        "TrainedModel older, from which TrainingTemplate recipe starts, names no "
        "artefacts.weights: start from another model",
        FINAL,
    ),
    "a model that was not made by a run of the namespace needs its digest allowed": (
        {
            "template": template(baseModel={"trainedModel": "older"}),
            "base_model": trained_model("older", location=f"{STORE_ROOT}/runs/team/uid/1"),
        },
        Reason.WEIGHTS_NOT_ALLOWED,
        f"the weights {STORE_ROOT}/runs/team/uid/1/model.pth that TrainingTemplate recipe starts "
        f"from have the SHA-256 {WEIGHTS_SHA256}, which the operator's settings do not allow: "
        "have an administrator add it to trainer.allowedWeights, or start from an architecture or "
        "from a model that was trained in namespace demo",
        WAITS,
    ),
    "an image that the settings do not allow is waited for": (
        {"template": template(image=IMAGE)},
        Reason.IMAGE_NOT_ALLOWED,
        f"TrainingTemplate recipe: the operator's settings do not allow the image {IMAGE}: have "
        "an administrator add it to trainer.allowedImages, or leave image out",
        WAITS,
    ),
    "a box of a class whose outlines are wanted is final": (
        {
            "capability": capability(type_="DetectorElement", geometry="polygon"),
            "template": template("yolo-seg"),
            "data": compared(train=content(geometry="box"), dev=content(geometry="polygon")),
        },
        Reason.CLASSES_MISSING,
        "Capability pets has class=cat, class=dog, of which the train data (train) has no example "
        "of geometry polygon: add such labels, or use a capability that learns from those that "
        "are there",
        FINAL,
    ),
    "a label of the whole image for a box classifier is final": (
        {"capability": capability(type_="BoxClassifierElement")},
        Reason.CLASSES_MISSING,
        "Capability pets has class=cat, class=dog, of which the train data (train) has no example "
        "of geometry box or polygon: add such labels, or use a capability that learns from those "
        "that are there",
        FINAL,
    ),
    "a class without an example is final": (
        {"capability": capability("cat", "dog", "owl")},
        Reason.CLASSES_MISSING,
        "Capability pets has class=owl, of which the train data (train) has no example: add data, "
        "or use a capability without it",
        FINAL,
    ),
    "a class that is counted with no example is final": (
        {
            "datasets": {
                **ready_datasets(),
                "train": dataset("train", snapshot=snapshot_status(cat=5, dog=0)),
            }
        },
        Reason.CLASSES_MISSING,
        "Capability pets has class=dog, of which the train data (train) has no example: add data, "
        "or use a capability without it",
        FINAL,
    ),
    "many classes without an example are counted": (
        {"capability": capability(*(f"v{number}" for number in range(8)))},
        Reason.CLASSES_MISSING,
        "Capability pets has class=v0, class=v1, class=v2, class=v3, class=v4 and 3 more, of "
        "which the train data (train) has no example: add data, or use a capability without it",
        FINAL,
    ),
    "one shared image is final and named": (
        {
            "data": compared(
                SplitPair("train", "dev", SharedImages(1, (("cat/1.png", "cat/1.png"),)))
            )
        },
        Reason.SPLITS_OVERLAP,
        "1 image is in train and in dev (cat/1.png): remove them from one of the two, then create "
        "a new process",
        FINAL,
    ),
    "shared images of both splits are counted with examples": (
        {
            "data": compared(
                SplitPair("train", "dev", SharedImages(4, (AA, ("b", "copy-of-b"), CC, DD))),
                SplitPair("train", "test", SharedImages(2, (("e", "e"), ("f", "f")))),
                test=content(),
            )
        },
        Reason.SPLITS_OVERLAP,
        "4 images are in train and in dev (a, b = copy-of-b, c); 2 images are in train and in "
        "test (e, f): remove them from one of the two, then create a new process",
        FINAL,
    ),
    "splits whose turn to be compared has not come are waited for": (
        {"data": Unavailable("waiting for the splits of another", Reason.COMPARING_SPLITS)},
        Reason.COMPARING_SPLITS,
        "waiting for the splits of another",
        WAITS,
    ),
    "splits that were not compared are waited for": (
        {"data": None},
        Reason.COMPARING_SPLITS,
        "waiting for the splits to be compared",
        WAITS,
    ),
    "one group on both sides is final, with its samples": (
        {"data": compared(SplitPair("train", "dev", groups=SharedGroups(1, (120, 30), ("p7",))))},
        Reason.GROUPS_OVERLAP,
        "1 group has samples in train (120) and in dev (30), for example p7: keep each group "
        "whole on one side, then create a new process",
        FINAL,
    ),
    "groups on both sides of dev and test are counted with examples": (
        {
            "data": compared(
                SplitPair("train", "dev", groups=SharedGroups(4, (9, 8), ("a", "b", "c", "d"))),
                SplitPair("train", "test", groups=SharedGroups(2, (7, 6), ("e", "f"))),
                test=content(),
            )
        },
        Reason.GROUPS_OVERLAP,
        "4 groups have samples in train (9) and in dev (8), for example a, b, c; 2 groups have "
        "samples in train (7) and in test (6), for example e, f: keep each group whole on one "
        "side, then create a new process",
        FINAL,
    ),
    "a class whose labels have another geometry is final": (
        {
            "capability": capability(type_="DetectorElement", geometry="box"),
            "template": template("yolo-det"),
        },
        Reason.CLASSES_MISSING,
        "Capability pets has class=cat, class=dog, of which the train data (train) has no example "
        "of geometry box or polygon: add such labels, or use a capability that learns from those "
        "that are there",
        FINAL,
    ),
    "a dev split that a classifier cannot be judged by is final": (
        {"data": compared(dev=content(owl=3))},
        Reason.CLASSES_MISSING,
        "dev has no example of any class of Capability pets: check the attributes and values of "
        "its outputs against the datasets' classes",
        FINAL,
    ),
}


NO_FINDING: dict[str, dict[str, Any]] = {
    "weights that the settings allow": {
        "template": template(baseModel=WEIGHTS),
        "settings": ALLOWING,
    },
    "a model of a run of the namespace": {
        "template": template(baseModel={"trainedModel": "older"}),
        "base_model": trained_model("older"),
    },
    "a model from elsewhere whose digest the settings allow": {
        "template": template(baseModel={"trainedModel": "older"}),
        "base_model": trained_model("older", location="s3://elsewhere"),
        "settings": ALLOWING,
    },
    "an image that the settings allow": {"template": template(image=IMAGE), "settings": ALLOWING},
    "an argument of the engine": {
        "template": template(hyperparameters={"extra": {"dropout": "0.2"}})
    },
    "exports": {"template": template(exports=["onnx", "torchscript"])},
    "outlines": {
        "capability": capability(type_="DetectorElement", geometry="polygon"),
        "template": template("yolo-seg"),
        "data": compared(train=content(geometry="polygon"), dev=SplitContent(5)),
    },
    "boxes of classes": {
        "capability": capability(type_="BoxClassifierElement"),
        "data": compared(train=content(geometry="box"), dev=content(geometry="polygon")),
    },
    "boxes of identities": {
        "capability": capability(type_="BoxEmbedderElement"),
        "template": template("embedder"),
        "data": compared(train=content(geometry="box"), dev=content(geometry="box")),
    },
    "dev and test that share images and groups": {
        "data": compared(
            SplitPair("dev", "test", SharedImages(1, (AA,)), SharedGroups(1, (1, 1), ("p",))),
            test=content(),
        )
    },
    "images that look alike": {
        "data": compared(SplitPair("train", "dev", alike=AlikeImages(3, (AA,))))
    },
    "looks that were not compared": {
        "data": compared(SplitPair("train", "dev", alike=NotLookedFor("too many")))
    },
    "a class that only dev lacks": {"data": compared(dev=content(cat=1))},
    "a polygon where a box is wanted": {
        "capability": capability(type_="DetectorElement", geometry="box"),
        "template": template("yolo-det"),
        "data": compared(train=content(geometry="polygon"), dev=content(geometry="box")),
    },
    "a dev split of backgrounds for a detector": {
        "capability": capability(type_="DetectorElement", geometry="box"),
        "template": template("yolo-det"),
        "data": compared(train=content(geometry="box"), dev=SplitContent(5)),
    },
}


@pytest.mark.parametrize("changes", NO_FINDING.values(), ids=NO_FINDING)
def test_nothing_against(changes: dict[str, Any]) -> None:
    assert changed(**changes) is None


def test_the_end_of_a_long_path_is_shown() -> None:
    name = "a/" * 100 + "frame-7.png"
    found = changed(data=compared(SplitPair("train", "dev", SharedImages(1, ((name, name),)))))
    assert found is not None
    assert found.message.startswith("1 image is in train and in dev (...")
    assert "/frame-7.png): remove them from one of the two" in found.message


@pytest.mark.parametrize(("changes", "reason", "message", "final"), CASES.values(), ids=CASES)
def test_finding(changes: dict[str, Any], reason: Reason, message: str, final: bool) -> None:
    assert changed(**changes) == Finding(reason, message, final)


def test_override_that_breaks_a_bound_is_final_and_names_the_field() -> None:
    made = process(overrides={"augmentation": {"flip": 0.5}})
    overrides = made.spec.overrides
    assert overrides is not None and overrides.augmentation is not None
    # Admission refuses this value; an object stored under other rules may still have it.
    bad = overrides.augmentation.model_copy(update={"flip": 7})
    spec = made.spec.model_copy(
        update={"overrides": overrides.model_copy(update={"augmentation": bad})}
    )
    finding = changed(process=made.model_copy(update={"spec": spec}))
    assert finding is not None
    assert (finding.reason, finding.final) == (Reason.INVALID_OVERRIDE, True)
    assert finding.message == (
        "overrides.augmentation.flip: Input should be less than or equal to 1 (given: '7.0')"
    )


def test_classes_of_all_train_datasets_count_together() -> None:
    datasets = {
        "cats": dataset("cats", snapshot=snapshot_status("c" * 64, cat=1)),
        "dogs": dataset("dogs", snapshot=snapshot_status("d" * 64, dog=1)),
        "dev": ready_datasets()["dev"],
    }
    spec = process(datasets={"train": ["cats", "dogs"], "dev": ["dev"]})
    assert changed(process=spec, datasets=datasets) is None


def test_same_value_under_another_attribute_does_not_count() -> None:
    snapshot = snapshot_status()
    snapshot["classes"] = [
        {"attribute": "class", "value": "cat", "count": 1},
        {"attribute": "species", "value": "dog", "count": 1},
    ]
    found = changed(datasets={**ready_datasets(), "train": dataset("train", snapshot=snapshot)})
    assert found is not None
    assert "class=dog" in found.message


def test_class_in_the_data_that_the_capability_lacks_is_no_finding() -> None:
    assert changed(capability=capability("cat")) is None


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.__name__)
def test_no_policy_fails_when_everything_is_missing(policy: Any) -> None:
    policy(facts(capability=None, template=None, datasets={}, secret_present=False, node=None))


def test_every_engine_has_a_fit_and_a_default_metric() -> None:
    assert FITS.keys() == METRICS.keys()
    assert all(METRICS.values())
