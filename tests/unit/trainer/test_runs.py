"""Whole runs as a pod makes them: real data, real training, nothing replaced."""

from __future__ import annotations

import http.server
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tests.unit.trainer.conftest import BUCKET, put, shape_bytes
from trainyard.api.documents import dump_yaml
from trainyard.api.report import ExitCode, LastWords, ProgressReport, Stage
from trainyard.api.run import RunFile, SnapshotRunFile
from trainyard.stores import Store, join, verify_manifest
from trainyard.stores.snapshots import read_snapshot
from trainyard_local.s3 import S3Server
from trainyard_trainer import model
from trainyard_trainer.main import main
from trainyard_trainer.predict import predict
from trainyard_trainer.progress import Reporter
from trainyard_trainer.snapshot import make_snapshot

EPOCHS = 2
TOKEN = "canary-token-8d1f"
SPLITS = {"train": range(16), "dev": range(100, 108), "test": range(200, 206)}


class Operator:
    """Receives reports like the operator does."""

    def __init__(self) -> None:
        received: list[tuple[str, str, dict[str, Any]]] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                received.append((self.path, self.headers["Authorization"], json.loads(body)))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.received = received
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Bench:
    """Snapshots of discs and squares for both engines, and what runs them."""

    store: Store
    server: S3Server
    root: Path
    snapshots: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)

    def document(self, engine: str, **changes: Any) -> dict[str, Any]:
        """A run.yaml with the changes made at the top."""
        classify = engine == "yolo-cls"
        values = ("disc", "square")
        return {
            "name": f"tiny-{engine}",
            "namespace": "team",
            "uid": f"uid-{engine}",
            "fingerprint": "f" * 64,
            "capability_name": "shape",
            "capability": {
                "type": "ImageClassifierElement" if classify else "DetectorElement",
                "outputs": [
                    {"attribute": "class", "value": value, "position": position}
                    for position, value in enumerate(values)
                ],
            },
            "template_name": "tiny",
            "template": self.template(engine),
            "datasets": {split: [self.snapshots[engine, split]] for split in SPLITS},
            "output": f"s3://{BUCKET}/runs/{engine}-{time.monotonic_ns()}",
            "store": {"endpoint_url": self.server.endpoint_url},
        } | changes

    def template(self, engine: str, **hyperparameters: Any) -> dict[str, Any]:
        return {
            "displayName": "tiny",
            "engine": engine,
            "baseModel": {"architecture": "yolo11n"},
            "hyperparameters": {"epochs": EPOCHS, "batchSize": 8, "imageSize": 64}
            | hyperparameters,
            "resources": {"gpus": 0, "cpu": "1"},
        }

    def start(self, command: str, document: str, operator: str = "") -> subprocess.Popen[str]:
        """Start the trainer; `finish` waits for it."""
        folder = self.root / f"pod-{time.monotonic_ns()}"
        folder.mkdir()
        (folder / "run.yaml").write_text(document)
        allowed = ",".join([self.server.endpoint_url.removeprefix("http://"), operator])
        guarded = Path(__file__).with_name("guarded.py")
        process = subprocess.Popen(
            [sys.executable, guarded, allowed, folder / "calls", command, folder / "run.yaml"],
            env=os.environ
            | {
                "AWS_ACCESS_KEY_ID": self.server.access_key,
                "AWS_SECRET_ACCESS_KEY": self.server.secret_key,
                "TRAINYARD_WORKDIR": str(folder / "work"),
                "TRAINYARD_TERMINATION_LOG": str(folder / "last-words"),
                "HOME": "/nonexistent",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        process.folder = folder  # type: ignore[attr-defined]
        return process

    def finish(self, process: subprocess.Popen[str]) -> Ended:
        output, _ = process.communicate(timeout=300)
        folder: Path = process.folder  # type: ignore[attr-defined]
        calls = folder / "calls"
        return Ended(
            ExitCode(process.returncode),
            LastWords.model_validate_json((folder / "last-words").read_bytes()),
            output,
            calls.read_text() if calls.exists() else "",
            folder,
        )

    def run(self, document: dict[str, Any], operator: str = "") -> Ended:
        return self.finish(self.start("run", sealed(document), operator))


def sealed(document: dict[str, Any]) -> str:
    """run.yaml as the operator writes it."""
    return dump_yaml(RunFile.model_validate(document).sealed().to_wire())


@dataclass(frozen=True)
class Ended:
    """How a trainer ended."""

    code: ExitCode
    words: LastWords
    output: str
    forbidden_calls: str
    folder: Path


@pytest.fixture(scope="module")
def bench(store: Store, s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    made = Bench(store, s3_server, tmp_path_factory.mktemp("bench"))
    for engine, kind in (("yolo-cls", "folders"), ("yolo-det", "yolo")):
        for split, seeds in SPLITS.items():
            files: dict[str, bytes | str] = {"data.yaml": "names: [disc, square]"}
            for seed in seeds:
                value = ("disc", "square")[seed % 2]
                data, box = shape_bytes(value, seed)
                if engine == "yolo-cls":
                    files[f"{value}/{seed}.png"] = data
                else:
                    files[f"images/{seed}.png"] = data
                    numbers = " ".join(f"{number:.6f}" for number in box)
                    files[f"labels/{seed}.txt"] = f"{seed % 2} {numbers}\n"
            prefix = f"source/{engine}/{split}"
            put(store, prefix, files)
            run = SnapshotRunFile.model_validate(
                {
                    "name": split,
                    "namespace": "team",
                    "uid": "u",
                    "selections": [
                        {"source": {"s3": {"bucket": BUCKET, "prefix": prefix}}, "format": kind}
                    ],
                    "output": f"s3://{BUCKET}/snapshots",
                }
            )
            words = make_snapshot(store, run, Reporter(None, "snapshot", "u"))
            assert words.location is not None
            digest = read_snapshot(store, words.location).digest
            made.snapshots[engine, split] = {
                "name": split,
                "uri": words.location,
                "digest": digest,
            }
    return made


@pytest.fixture
def run_here(
    bench: Bench,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Callable[[str], Ended]]:
    """Runs a run.yaml in this process, which has the libraries loaded already."""
    before = os.environ.copy()
    log = logging.getLogger("trainyard")
    handlers, propagate = list(log.handlers), log.propagate
    handlers_of_signals = signal.getsignal(signal.SIGTERM)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", bench.server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", bench.server.secret_key)
    monkeypatch.setenv("TRAINYARD_WORKDIR", str(tmp_path / "work"))
    monkeypatch.setenv("TRAINYARD_TERMINATION_LOG", str(tmp_path / "last-words"))

    def run(document: str) -> Ended:
        (tmp_path / "run.yaml").write_text(document)
        code = main(["run", str(tmp_path / "run.yaml")])
        words = LastWords.model_validate_json((tmp_path / "last-words").read_bytes())
        return Ended(ExitCode(code), words, capsys.readouterr().out, "", tmp_path)

    yield run
    signal.signal(signal.SIGTERM, handlers_of_signals)
    log.handlers, log.propagate = handlers, propagate
    os.environ.clear()
    os.environ.update(before)


@dataclass(frozen=True)
class Finished:
    """A run of an engine that succeeded, with its files fetched."""

    engine: str
    document: dict[str, Any]
    ended: Ended
    files: Path
    reports: list[tuple[str, str, dict[str, Any]]]


@pytest.fixture(scope="module", params=["yolo-cls", "yolo-det"])
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
    assert {file.name for file in manifest.files} == {
        "model.pth",
        "config.yaml",
        "model.zip",
        "metrics.json",
        "metrics.jsonl",
        "predictions.png",
        "train.log",
    }
    assert manifest.epochs_trained == EPOCHS
    assert manifest.primary_metric in manifest.dev.metrics
    assert manifest.dev.samples == 8
    assert manifest.test is not None
    assert manifest.test.samples == 6


def test_a_run_connects_to_store_and_operator_only_and_starts_no_program(
    finished: Finished,
) -> None:
    assert finished.ended.forbidden_calls == ""


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
    with Image.new("RGB", (90, 60), (50, 50, 50)) as image:
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
    assert config.lineage.train[0].digest == bench.snapshots[finished.engine, "train"]["digest"]
    assert config.metrics is not None
    assert config.metrics.test is not None


def test_the_archive_holds_weights_and_config(finished: Finished) -> None:
    with zipfile.ZipFile(finished.files / "model.zip") as archive:
        for name in ("model.pth", "config.yaml"):
            assert archive.read(name) == (finished.files / name).read_bytes()


def test_metrics_are_given_as_a_whole_by_class_and_by_epoch(finished: Finished) -> None:
    metrics = json.loads((finished.files / "metrics.json").read_text())
    names = {"yolo-cls": {"top-1", "top-5"}, "yolo-det": {"mAP50", "mAP50-95"}}[finished.engine]
    for split, count in (("dev", 4), ("test", 3)):
        assert names <= set(metrics[split]["metrics"])
        assert [x["annotations"] for x in metrics[split]["classes"]] == [count, count]
    lines = (finished.files / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, EPOCHS + 1))
    assert all(json.loads(line)["trainLoss"] > 0 for line in lines)


def test_the_picture_shows_held_out_images(finished: Finished) -> None:
    with Image.open(finished.files / "predictions.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 400


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


def test_another_run_never_overwrites_a_finished_one(
    finished: Finished, bench: Bench, run_here: Callable[[str], Ended]
) -> None:
    other = run_here(sealed(finished.document | {"uid": "other"}))
    assert other.code == ExitCode.STORE_UNAVAILABLE
    assert other.words.reason == "ArtefactUploadFailed"
    assert "is the manifest of another run" in other.words.message
    location: str = finished.document["output"]
    verify_manifest(bench.store, location, finished.ended.words.manifest_sha256)


def test_predictions_can_be_drawn_for_a_folder_and_for_a_snapshot(
    finished: Finished, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", bench.server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", bench.server.secret_key)
    monkeypatch.setenv("AWS_ENDPOINT_URL", bench.server.endpoint_url)
    folder = tmp_path / "data"
    for entry in bench.store.list(f"s3://{BUCKET}/source/{finished.engine}/test"):
        bench.store.download(entry.uri, folder / entry.name)
    for name, data in (
        ("folder", str(folder)),
        ("snapshot", bench.snapshots[finished.engine, "test"]["uri"]),
    ):
        out = tmp_path / f"{name}.png"
        work = tmp_path / name
        work.mkdir()
        weights, config = finished.files / "model.pth", finished.files / "config.yaml"
        words = predict(weights, config, data, out, work)
        assert words.message.startswith("6 images drawn")
        with Image.open(out) as picture:
            assert min(picture.size) > 400


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
        ({"engine": "yolo-seg"}, "the engine 'yolo-seg' is not supported yet"),
        ({"baseModel": {"architecture": "yolo99n"}}, "'yolo99n' is not known to the engine"),
        ({"exports": ["onnx"]}, "exports is not supported yet"),
        ({"hyperparameters": {"extra": {"lr0": "nan"}}}, "hyperparameters.extra is not supported"),
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
