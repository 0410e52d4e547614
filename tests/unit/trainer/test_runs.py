"""Whole runs as a pod makes them: real data, real training, nothing replaced."""

from __future__ import annotations

import json
import signal
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tests.unit.labelled import BUCKET
from tests.unit.trainer.pods import (
    CAPABILITIES,
    EPOCHS,
    SOURCES,
    SPLITS,
    Bench,
    Ended,
    Operator,
    sealed,
)
from trainyard.api.metrics import RunMetrics
from trainyard.api.report import ExitCode, ProgressReport, Stage
from trainyard.api.run import RunFile
from trainyard.stores import join, verify_manifest
from trainyard_trainer import model
from trainyard_trainer.config import ModelConfig
from trainyard_trainer.engines.base import SplitResult, Trained, TrainSettings
from trainyard_trainer.engines.classify import Classifier
from trainyard_trainer.predict import Wanted, predict
from trainyard_trainer.runfile import read_sealed

TOKEN = "canary-token-8d1f"


@dataclass(frozen=True)
class Finished:
    """A run of a kind that succeeded, with its files fetched."""

    kind: str
    document: dict[str, Any]
    ended: Ended
    files: Path
    reports: list[tuple[str, str, dict[str, Any]]]


answering = pytest.mark.parametrize(
    "finished", [kind for kind in CAPABILITIES if kind != "embedder"], indirect=True
)
"""Of a model whose answers are right or wrong; for vectors see test_embedder.py."""


@pytest.fixture(scope="module", params=CAPABILITIES)
def finished(
    request: pytest.FixtureRequest, bench: Bench, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Finished]:
    operator, folder = Operator(), tmp_path_factory.mktemp(request.param)
    (folder / "token").write_text(f"{TOKEN}\n")
    progress = {
        "url": f"http://{operator.address}",
        "token_path": str(folder / "token"),
        "interval_seconds": 0.2,
    }
    document = bench.document(request.param, progress=progress)
    ended = bench.run(document, operator.address)
    operator.close()
    assert ended.code == ExitCode.OK, ended.output
    assert ended.words.location is not None
    manifest = verify_manifest(bench.store, ended.words.location, ended.words.manifest_sha256)
    for file in manifest.files:
        bench.store.download(join(ended.words.location, file.name), folder / file.name)
    yield Finished(request.param, document, ended, folder, operator.received)


def test_a_run_ends_with_a_verified_manifest_and_says_where(
    finished: Finished, bench: Bench
) -> None:
    words = finished.ended.words
    assert words.reason == "Succeeded"
    assert words.location == finished.document["output"]
    assert words.location is not None
    manifest = verify_manifest(bench.store, words.location, words.manifest_sha256)
    assert manifest.uid == finished.document["uid"]
    # A vector is taken for nothing.
    of_answers = set() if finished.kind == "embedder" else {"confusion.png", "pr-curves.png"}
    assert {file.name for file in manifest.files} == of_answers | {
        "model.pth",
        "config.yaml",
        "model.zip",
        "metrics.json",
        "metrics.jsonl",
        "curves.png",
        "predictions.png",
        "batch.png",
        "run.yaml",
        "train.log",
    }
    assert set(manifest.roles.values()) < {file.name for file in manifest.files}
    assert manifest.epochs_trained == EPOCHS
    assert manifest.primary_metric in manifest.dev.metrics
    assert manifest.dev.samples == 8
    assert manifest.test is not None
    assert manifest.test.samples == 6


def test_a_run_connects_to_store_and_operator_only_and_starts_no_program(
    finished: Finished,
) -> None:
    assert finished.ended.forbidden_calls == ""


def test_neither_does_one_that_goes_on_from_a_model_and_exports_its_own(
    finished: Finished, bench: Bench
) -> None:
    uri = f"s3://{BUCKET}/bases/{finished.kind}.pth"
    sha256 = bench.store.upload(finished.files / "model.pth", uri).sha256
    base = {"uri": uri, "sha256": sha256}
    template = bench.template(finished.kind, epochs=1)
    template |= {"baseModel": {"weights": base}, "exports": ["onnx", "torchscript"]}
    ended = bench.run(bench.document(finished.kind, template=template, base=base))
    assert ended.code == ExitCode.OK, ended.output
    assert ended.forbidden_calls == ""


def test_a_run_writes_into_its_working_directory_only(finished: Finished) -> None:
    assert {path.name for path in finished.ended.folder.iterdir()} == {
        "run.yaml",
        "work",
        "last-words",
    }


def test_the_weights_load_without_running_code_and_rebuild_from_config_alone(
    finished: Finished,
) -> None:
    content = torch.load(finished.files / "model.pth", weights_only=True)
    assert set(content) == {"state_dict", "config"}
    assert all(isinstance(value, torch.Tensor) for value in content["state_dict"].values())
    config = model.read_config(finished.files / "config.yaml")
    assert content["config"] == config.to_wire()
    json.dumps(content["config"])
    predictor = model.load(finished.files / "model.pth", finished.files / "config.yaml")
    alone = model.restore(ModelConfig.model_validate(content["config"]), content["state_dict"])
    with Image.new("RGB", (90, 60), (50, 50, 50)) as image:
        assert alone.predict(image) == predictor.predict(image)
        for answer in predictor.predict(image):
            assert answer.output in config.classes
            assert 0 <= answer.confidence <= 1
            assert all(-0.01 <= value <= 1.01 for value in answer.points)


def test_config_yaml_says_what_the_outputs_mean_and_where_the_model_comes_from(
    finished: Finished, bench: Bench
) -> None:
    config = model.read_config(finished.files / "config.yaml")
    assert [(x.attribute, x.value, x.head, x.position) for x in config.classes] == [
        ("class", "disc", 0, 0),
        ("class", "square", 0, 1),
    ]
    assert config.input.size == 64
    assert config.lineage.process == finished.document["name"]
    assert config.lineage.train[0].digest == bench.snapshot(finished.kind, "train")["digest"]
    assert config.metrics is not None
    assert config.metrics.test is not None


def test_the_recipe_as_resolved_is_kept_with_the_run(finished: Finished) -> None:
    path = finished.files / "run.yaml"
    run = read_sealed(path, RunFile)
    assert run.uid == finished.document["uid"]
    assert run.template.hyperparameters.epochs == EPOCHS
    assert "AWS" not in path.read_text()


def test_the_archive_holds_weights_and_config(finished: Finished) -> None:
    with zipfile.ZipFile(finished.files / "model.zip") as archive:
        for name in ("model.pth", "config.yaml"):
            assert archive.read(name) == (finished.files / name).read_bytes()


@answering
def test_metrics_are_given_as_a_whole_by_class_and_by_epoch(finished: Finished) -> None:
    metrics = json.loads((finished.files / "metrics.json").read_text())
    boxes = {"mAP50", "mAP50-95"}
    names = {
        "yolo-cls": {"top-1", "top-5"},
        "yolo-cls-boxes": {"top-1", "top-5"},
        "yolo-det": boxes,
        "yolo-seg": boxes | {f"mask-{name}" for name in boxes},
    }[finished.kind]
    for split, count in (("dev", 4), ("test", 3)):
        assert names <= set(metrics[split]["metrics"])
        assert [x["annotations"] for x in metrics[split]["classes"]] == [count, count]
    RunMetrics.model_validate(metrics)
    lines = (finished.files / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, EPOCHS + 1))
    assert all(json.loads(line)["trainLoss"] > 0 for line in lines)


def test_metrics_say_how_often_each_class_was_labelled_in_train(finished: Finished) -> None:
    metrics = RunMetrics.model_validate_json((finished.files / "metrics.json").read_bytes())
    assert metrics.train is not None
    assert metrics.train.samples == 16
    assert [x.annotations for x in metrics.train.classes] == [8, 8]
    log = (finished.files / "train.log").read_text()
    assert "class class=disc: annotations in train 8, dev 4, test 3" in log


@answering
def test_the_threshold_is_chosen_on_dev_used_on_test_and_stands_in_the_configuration(
    finished: Finished,
) -> None:
    metrics = RunMetrics.model_validate_json((finished.files / "metrics.json").read_bytes())
    assert metrics.dev is not None
    assert metrics.test is not None
    config = model.read_config(finished.files / "config.yaml")
    assert config.thresholds.confidence == metrics.operating_threshold
    used = {
        split.confusion.confidence
        for split in (metrics.dev, metrics.test)
        if split.confusion is not None
    }
    # The first answer of a classifier counts whatever its confidence.
    classifies = finished.kind.startswith("yolo-cls")
    assert used == {None if classifies else metrics.operating_threshold}


@answering
def test_images_are_listed_by_the_names_that_people_know(finished: Finished) -> None:
    metrics = RunMetrics.model_validate_json((finished.files / "metrics.json").read_bytes())
    for split, seeds in ((metrics.dev, SPLITS["dev"]), (metrics.test, SPLITS["test"])):
        assert split is not None
        listed = {Path(image.name).name for image in (*split.best, *split.worst)}
        assert listed == {f"{seed}.png" for seed in seeds}


@answering
def test_the_pictures_show_held_out_images_and_say_which(finished: Finished) -> None:
    name, last = finished.document["name"], f"epochs 1 to {EPOCHS}"
    for file, said in (
        ("predictions.png", None),
        ("curves.png", f"{name}: learning curves of {last}; "),
        ("confusion.png", f"{name}: what is taken for what, on test"),
        ("pr-curves.png", f"{name}: precision and recall on test"),
    ):
        with Image.open(finished.files / file) as picture:
            assert picture.format == "PNG"
            assert min(picture.size) > 400
            if said is not None:
                assert picture.text["Description"].startswith(said)  # type: ignore[attr-defined]


def test_the_contact_sheet_shows_train_images_as_they_were_varied(finished: Finished) -> None:
    with Image.open(finished.files / "batch.png") as picture:
        # All 16 train images, four in a row.
        assert min(picture.size) > 4 * 240


def test_the_log_tells_the_five_steps_and_no_secret(finished: Finished, bench: Bench) -> None:
    log = (finished.files / "train.log").read_text()
    for step in ("prepare:", "train:", "evaluate: dev", "evaluate: test", "export:", "publish:"):
        assert step in log
    everything = log + finished.ended.output + finished.ended.words.model_dump_json()
    everything += (finished.files / "config.yaml").read_text()
    for secret in (bench.server.secret_key, bench.server.access_key, TOKEN):
        assert secret not in everything


def test_progress_reaches_the_operator(finished: Finished) -> None:
    assert finished.reports
    assert {(path, token) for path, token, _ in finished.reports} == {
        ("/v1/progress", f"Bearer {TOKEN}")
    }
    reports = [ProgressReport.model_validate(body) for _, _, body in finished.reports]
    percents = [report.percent for report in reports]
    assert percents == sorted(percents)
    last = reports[-1]
    assert (last.percent, last.stage, last.epoch, last.epochs) == (100, Stage.PUBLISH, 2, 2)
    assert last.uid == finished.document["uid"]
    assert [entry.epoch for entry in last.history] == [1, 2]
    assert any(report.estimated_remaining_seconds for report in reports)


def test_the_same_run_again_is_already_done(
    finished: Finished, run_here: Callable[[str], Ended]
) -> None:
    again = run_here(sealed(finished.document))
    assert again.code == ExitCode.OK
    assert again.words == finished.ended.words
    assert "is in the store already" in again.output
    assert "epoch 1" not in again.output


def test_the_same_run_again_into_another_place_gives_the_same_numbers(
    finished: Finished, bench: Bench, run_here: Callable[[str], Ended]
) -> None:
    output = f"{finished.document['output']}-again"
    again = run_here(sealed(finished.document | {"output": output, "progress": None}))
    assert again.code == ExitCode.OK, again.output
    measured = json.loads(bench.store.read_bytes(join(output, "metrics.json")))
    assert measured == json.loads((finished.files / "metrics.json").read_text())
    epochs = [
        [
            {key: value for key, value in json.loads(line).items() if key != "seconds"}
            for line in lines.splitlines()
        ]
        for lines in (
            bench.store.read_bytes(join(output, "metrics.jsonl")).decode(),
            (finished.files / "metrics.jsonl").read_text(),
        )
    ]
    assert epochs[0] == epochs[1]


def test_another_run_never_overwrites_a_finished_one(
    finished: Finished, bench: Bench, run_here: Callable[[str], Ended]
) -> None:
    other = run_here(sealed(finished.document | {"uid": "other"}))
    assert other.code == ExitCode.STORE_UNAVAILABLE
    assert other.words.reason == "ArtefactUploadFailed"
    assert "is the manifest of another run" in other.words.message
    location: str = finished.document["output"]
    verify_manifest(bench.store, location, finished.ended.words.manifest_sha256)


@answering
def test_predictions_can_be_drawn_for_a_folder_and_for_a_snapshot(
    finished: Finished, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", bench.server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", bench.server.secret_key)
    monkeypatch.setenv("AWS_ENDPOINT_URL", bench.server.endpoint_url)
    folder, answers = tmp_path / "data", {}
    for entry in bench.store.list(
        f"s3://{BUCKET}/source/{SOURCES.get(finished.kind, finished.kind)}/test"
    ):
        bench.store.download(entry.uri, folder / entry.name)
    for name, data in (
        ("folder", str(folder)),
        ("snapshot", bench.snapshot(finished.kind, "test")["uri"]),
    ):
        out, said = tmp_path / f"{name}.png", tmp_path / f"{name}.json"
        work = tmp_path / name
        work.mkdir()
        weights, config = finished.files / "model.pth", finished.files / "config.yaml"
        words = predict(weights, config, [data], Wanted(out, said), work)
        assert words.message == (
            f"6 images asked about, answers written to {said}, 6 images drawn into {out}"
        )
        with Image.open(out) as picture:
            assert min(picture.size) > 400
        answers[name] = json.loads(said.read_text())["images"]
    named = {image["image"]: image["answers"] for image in answers["folder"]}
    assert len(named) == 6
    assert named == {image["image"]: image["answers"] for image in answers["snapshot"]}
    geometry = CAPABILITIES[finished.kind].get("geometry", "box")
    if finished.kind == "yolo-cls":
        assert {len(found) for found in named.values()} == {1}
        geometry = "image"
    # Asked about the entities that are labelled; a model trained so shortly may find none itself.
    elif finished.kind == "yolo-cls-boxes":
        assert {len(found) for found in named.values()} == {1}
    for answer in (answer for found in named.values() for answer in found):
        assert answer["attribute"] == "class"
        assert answer["value"] in ("disc", "square")
        assert 0 < answer["confidence"] <= 1
        assert answer["geometry"] == geometry
        assert all(0 <= number <= 1 for number in answer["points"])


def test_sigterm_stops_a_run_and_keeps_its_log(bench: Bench) -> None:
    document = bench.document("yolo-cls")
    document["template"] = bench.template("yolo-cls", epochs=1000, patience=0)
    process = bench.start("run", sealed(document))
    assert process.stdout is not None
    for line in process.stdout:
        if "epoch 1 of 1000" in line:
            break
    process.send_signal(signal.SIGTERM)
    ended = bench.finish(process)
    assert ended.code == ExitCode.STOPPED
    assert ended.words.reason == "Stopped"
    log = bench.store.read_bytes(join(document["output"], "train.log")).decode()
    assert "epoch 1 of 1000" in log
    assert bench.store.stat(join(document["output"], "manifest.json")) is None


def test_a_class_that_the_train_data_lacks_is_named(
    bench: Bench, run_here: Callable[[str], Ended]
) -> None:
    document = bench.document("yolo-cls")
    document["capability"]["outputs"].append({"attribute": "class", "value": "ring", "position": 2})
    ended = run_here(sealed(document))
    assert ended.code == ExitCode.BAD_DATA
    assert ended.words.reason == "ClassesMissing"
    assert ended.words.message == (
        "the train data has no example of 1 of the capability's 3 classes: class=ring"
    )
    log = bench.store.read_bytes(join(document["output"], "train.log")).decode()
    assert "class=ring" in log


def test_a_class_that_the_capability_lacks_is_left_out(
    bench: Bench, run_here: Callable[[str], Ended]
) -> None:
    document = bench.document("yolo-cls")
    document["capability"]["outputs"].pop()
    document["template"] = bench.template("yolo-cls", epochs=1)
    ended = run_here(sealed(document))
    assert ended.code == ExitCode.OK, ended.output
    assert "train: 8 images; 8 left out" in ended.output
    manifest = verify_manifest(bench.store, document["output"])
    assert (manifest.dev.samples, manifest.dev.metrics["top-1"]) == (4, 1.0)


def test_test_is_measured_once_after_the_training_which_cannot_see_it(
    bench: Bench, run_here: Callable[[str], Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    evaluate, train = Classifier.evaluate, Classifier.train

    def counted(self: Classifier, *given: Any) -> SplitResult:
        seen.append(given[2])
        return evaluate(self, *given)

    def without_test(self: Classifier, settings: TrainSettings, data: Path, *more: Any) -> Trained:
        (data / "test").rename(data.parent / "hidden")
        try:
            seen.append("training")
            return train(self, settings, data, *more)
        finally:
            (data.parent / "hidden").rename(data / "test")

    monkeypatch.setattr(Classifier, "evaluate", counted)
    monkeypatch.setattr(Classifier, "train", without_test)
    ended = run_here(sealed(bench.document("yolo-cls")))
    assert ended.code == ExitCode.OK, ended.output
    assert seen == ["training", "val", "test"]


def test_splits_that_share_images_are_refused(
    bench: Bench, run_here: Callable[[str], Ended]
) -> None:
    document = bench.document("yolo-cls")
    document["datasets"] = document["datasets"] | {"dev": document["datasets"]["train"]}
    ended = run_here(sealed(document))
    assert (ended.code, ended.words.reason) == (ExitCode.BAD_DATA, "BadData")
    assert "16 images are in train and in dev, for example" in ended.words.message


def test_a_snapshot_of_another_digest_than_resolved_is_refused(
    bench: Bench, run_here: Callable[[str], Ended]
) -> None:
    document = bench.document("yolo-cls")
    (train,) = document["datasets"]["train"]
    document["datasets"] = document["datasets"] | {"train": [train | {"digest": "0" * 64}]}
    ended = run_here(sealed(document))
    assert (ended.code, ended.words.reason) == (ExitCode.BAD_DATA, "BadData")
    assert "the run was resolved with 0000" in ended.words.message


def test_a_gpu_that_was_asked_for_and_is_not_visible_ends_the_run_before_anything(
    bench: Bench, run_here: Callable[[str], Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    document = bench.document("yolo-cls", store={"endpoint_url": "http://127.0.0.1:9"})
    document["template"]["resources"] = {"gpus": 1}
    # As in a container that was given none, also on a machine that has one.
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    ended = run_here(sealed(document))
    assert (ended.code, ended.words.reason) == (ExitCode.GPU_NOT_VISIBLE, "GPUNotVisible")


def test_a_store_that_does_not_answer_ends_the_run_with_its_reason(
    bench: Bench, run_here: Callable[[str], Ended]
) -> None:
    # A port of this machine that nobody serves.
    ended = run_here(
        sealed(bench.document("yolo-cls", store={"endpoint_url": "http://127.0.0.1:9"}))
    )
    assert (ended.code, ended.words.reason) == (ExitCode.STORE_UNAVAILABLE, "StoreUnavailable")
    assert "http://127.0.0.1:9 cannot be reached" in ended.words.message


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda text: text.replace("epochs: 2", "epochs: 3"), "does not match its digest"),
        (lambda text: text + "unknown: 1\n", "unknown: Extra inputs are not permitted"),
        (lambda _: "a: &x 1\nb: *x\n", "aliases"),
        (lambda _: "[", "not valid YAML"),
    ],
    ids=["edited", "unknown field", "alias", "no YAML"],
)
def test_a_run_file_that_cannot_be_used_is_refused(
    bench: Bench, run_here: Callable[[str], Ended], edit: Callable[[str], str], said: str
) -> None:
    ended = run_here(edit(sealed(bench.document("yolo-cls"))))
    assert (ended.code, ended.words.reason) == (ExitCode.BAD_CONFIG, "InvalidRunFile")
    assert said in ended.words.message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"baseModel": {"architecture": "yolo99n"}}, "'yolo99n' is not known to the engine"),
        (
            {"hyperparameters": {"extra": {"lr0": "nan"}}},
            "hyperparameters.extra.lr0: this has a field of its own",
        ),
        ({"evaluation": {"primaryMetric": "mAP50"}}, "has no metric 'mAP50'; use one of top-1"),
    ],
)
def test_a_template_that_the_engine_cannot_follow_is_refused(
    bench: Bench, run_here: Callable[[str], Ended], change: dict[str, Any], said: str
) -> None:
    document = bench.document("yolo-cls")
    document["template"] |= change
    ended = run_here(sealed(document))
    assert (ended.code, ended.words.reason) == (ExitCode.BAD_CONFIG, "InvalidRunFile")
    assert said in ended.words.message
