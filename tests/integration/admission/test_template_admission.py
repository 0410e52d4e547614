"""Which TrainingTemplates the API server takes, and what it says of the others."""

from __future__ import annotations

import pytest
from admission_server import REMOVE, TEMPLATE, Refused, Server, changed
from cases import Accepted, Edit, Refusal, check_accepted, check_edit, check_refused, table

from trainyard.api.template import TrainingTemplate

DISPLAY_NAME = "displayName has letters, digits, '-', '_' and '.' only"
EXACTLY_ONE = "give exactly one of architecture, weights and trainedModel"
QUANTITY = "a quantity above zero, such as 2, 500m or 8Gi"
WEIGHTS = {"uri": "s3://weights/yolo11n.pt", "sha256": "0" * 64}


@table(
    [
        Accepted("only what is required", TEMPLATE),
        Accepted("one epoch", changed(TEMPLATE, hyperparameters__epochs=1)),
        Accepted("the most epochs", changed(TEMPLATE, hyperparameters__epochs=100_000)),
        Accepted("a small learning rate", changed(TEMPLATE, hyperparameters__learningRate=1e-9)),
        Accepted("a learning rate of one", changed(TEMPLATE, hyperparameters__learningRate=1)),
        Accepted("weights by digest", changed(TEMPLATE, baseModel={"weights": WEIGHTS})),
        Accepted("a model of ours", changed(TEMPLATE, baseModel={"trainedModel": "digit"})),
        Accepted("CPUs as a number", changed(TEMPLATE, resources__cpu=2)),
        Accepted("CPUs as text", changed(TEMPLATE, resources__cpu="500m")),
        Accepted("a batch that the trainer chooses",
                 changed(TEMPLATE, hyperparameters__automaticBatchSize=True)),
        Accepted("both exports", changed(TEMPLATE, exports=["onnx", "torchscript"])),
        Accepted("no GPU", changed(TEMPLATE, resources__gpus=0)),
        Accepted("engine arguments", changed(TEMPLATE, hyperparameters__extra={"lr0": "nan"})),
        Accepted("characters of shells and templates, which stay literal", changed(
            TEMPLATE, description="$(rm -rf /) {{ x }} `id` ; |")),
        Accepted("an image by digest", changed(
            TEMPLATE, image="registry.example:5000/team/trainer@sha256:" + "0" * 64)),
    ]
)  # fmt: skip
def test_template_is_accepted(server: Server, row: Accepted) -> None:
    stored = check_accepted(server, row)
    read, meant = (TrainingTemplate.model_validate(item) for item in (stored, row.manifest))
    assert read.spec == meant.spec


def test_minimal_template_gets_every_default(server: Server) -> None:
    stored = server.create(TEMPLATE, dry_run=True)["spec"]
    assert stored["augmentation"] == {"preset": "rotations-exposure-noise"}
    assert stored["resources"] == {
        "gpus": 1,
        "cpu": "2",
        "memory": "8Gi",
        "sharedMemory": "1Gi",
    }
    assert stored["evaluation"] == {"confidenceThreshold": 0.001, "iouThreshold": 0.7}
    assert stored["hyperparameters"] == {
        "epochs": 100,
        "batchSize": 16,
        "automaticBatchSize": False,
        "imageSize": 640,
        "optimizer": "auto",
        "learningRate": 0.01,
        "finalLearningRateFraction": 0.01,
        "momentum": 0.937,
        "weightDecay": 0.0005,
        "warmupEpochs": 3,
        "patience": 100,
        "seed": 0,
        "amp": True,
    }


@table(
    [
        Refusal("no epochs", changed(TEMPLATE, hyperparameters__epochs=0),
                "spec.hyperparameters.epochs in body should be greater than or equal to 1"),
        Refusal("epochs below zero", changed(TEMPLATE, hyperparameters__epochs=-1),
                "spec.hyperparameters.epochs in body should be greater than or equal to 1"),
        Refusal("a thousand million epochs", changed(TEMPLATE, hyperparameters__epochs=10**9),
                "spec.hyperparameters.epochs in body should be less than or equal to 100000"),
        Refusal("half an epoch", changed(TEMPLATE, hyperparameters__epochs=0.5),
                'spec.hyperparameters.epochs in body must be of type int32: "float64"'),
        Refusal("epochs as text", changed(TEMPLATE, hyperparameters__epochs="10"),
                'spec.hyperparameters.epochs in body must be of type integer: "string"'),
        Refusal("a learning rate of zero", changed(TEMPLATE, hyperparameters__learningRate=0),
                "spec.hyperparameters.learningRate in body should be greater than 0"),
        Refusal("a negative learning rate", changed(TEMPLATE, hyperparameters__learningRate=-0.1),
                "spec.hyperparameters.learningRate in body should be greater than 0"),
        Refusal("a learning rate as text", changed(TEMPLATE, hyperparameters__learningRate="nan"),
                'spec.hyperparameters.learningRate in body must be of type number: "string"'),
        Refusal("a momentum of one", changed(TEMPLATE, hyperparameters__momentum=1),
                "spec.hyperparameters.momentum in body should be less than 1"),
        Refusal("a space in displayName", changed(TEMPLATE, displayName="a b"), DISPLAY_NAME),
        Refusal("a slash in displayName", changed(TEMPLATE, displayName="a/b"), DISPLAY_NAME),
        Refusal("no displayName", changed(TEMPLATE, displayName=REMOVE),
                "spec.displayName: Required value"),
        Refusal("an unknown engine", changed(TEMPLATE, engine="rcnn"),
                'spec.engine: Unsupported value: "rcnn": supported values: "yolo-det"'),
        Refusal("nothing to start from", changed(TEMPLATE, baseModel={}), EXACTLY_ONE),
        Refusal("two things to start from",
                changed(TEMPLATE, baseModel={"architecture": "yolo11n", "weights": WEIGHTS}),
                EXACTLY_ONE),
        Refusal("three things to start from", changed(TEMPLATE, baseModel={
                    "architecture": "yolo11n", "weights": WEIGHTS, "trainedModel": "digit"}),
                EXACTLY_ONE),
        Refusal("an architecture without its size",
                changed(TEMPLATE, baseModel={"architecture": "yolo11"}),
                "an architecture with its size (n, s, m, l or x) at the end, such as yolo11n"),
        Refusal("an architecture of another engine",
                changed(TEMPLATE, baseModel={"architecture": "resnets"}),
                "baseModel.architecture does not fit the engine"),
        Refusal("weights from anywhere",
                changed(TEMPLATE, baseModel={"weights": WEIGHTS | {"uri": "http://x/y"}}),
                "the place of a file in the store, s3://bucket/key, without spaces"),
        Refusal("weights without a digest",
                changed(TEMPLATE, baseModel={"weights": {"uri": WEIGHTS["uri"]}}),
                "spec.baseModel.weights.sha256: Required value"),
        Refusal("a batch size in words", changed(TEMPLATE, hyperparameters__batchSize="auto"),
                'spec.hyperparameters.batchSize in body must be of type integer: "string"'),
        Refusal("an unknown export", changed(TEMPLATE, exports=["coreml"]),
                'spec.exports[0]: Unsupported value: "coreml": supported values: "onnx"'),
        Refusal("an export twice", changed(TEMPLATE, exports=["onnx", "onnx"]),
                'spec.exports[1]: Duplicate value: "onnx"'),
        Refusal("a metric with a space", changed(TEMPLATE, evaluation__primaryMetric="mAP 50"),
                "the name of a metric has letters, digits and '-' only, such as mAP50-95"),
        Refusal("an image by tag", changed(TEMPLATE, image="trainer:latest"),
                "an image named by its digest, NAME@sha256:DIGEST"),
        Refusal("two GPUs", changed(TEMPLATE, resources__gpus=2),
                "spec.resources.gpus in body should be less than or equal to 1"),
        Refusal("less than no CPU", changed(TEMPLATE, resources__cpu=-1), QUANTITY),
        Refusal("no memory", changed(TEMPLATE, resources__memory="0Gi"), QUANTITY),
        Refusal("much memory", changed(TEMPLATE, resources__memory="much"), QUANTITY),
        Refusal("an unknown field", changed(TEMPLATE, hyperparameters__epoch=3),
                'unknown field "spec.hyperparameters.epoch"'),
        Refusal("a name of an engine argument with a space",
                changed(TEMPLATE, hyperparameters__extra={"a b": "1"}),
                "extra: the name of an engine argument has at most 64 letters, digits and '_'"),
        Refusal("65 engine arguments",
                changed(TEMPLATE, hyperparameters__extra={f"a{n}": "1" for n in range(65)}),
                "spec.hyperparameters.extra: Too many: 65: must have at most 64 items"),
    ]
)  # fmt: skip
def test_template_is_refused(server: Server, row: Refusal) -> None:
    check_refused(server, row)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_learning_rate_that_is_no_number_is_refused(server: Server, value: float) -> None:
    with pytest.raises(Refused, match="invalid character"):
        server.create(changed(TEMPLATE, hyperparameters__learningRate=value), dry_run=True)


@table(
    [
        Edit("more epochs", TEMPLATE, {"hyperparameters": {"epochs": 7}}),
        Edit("no epochs", TEMPLATE, {"hyperparameters": {"epochs": 0}},
             "should be greater than or equal to 1"),
    ]
)  # fmt: skip
def test_template_may_be_edited_within_its_bounds(server: Server, row: Edit) -> None:
    check_edit(server, row)
