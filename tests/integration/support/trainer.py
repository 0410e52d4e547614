"""The trainer's part, played by the simulated kubelet: real files in the real store.

What a pod is told comes from its ConfigMap, its credentials from the Secret of its namespace,
and what it says goes where a trainer's words go: reports over HTTP with a token of the pod, last
words in the termination message.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import requests

from trainyard.api.dataset import ClassCount
from trainyard.api.documents import load_yaml
from trainyard.api.grouping import GroupPattern, parse_group_by
from trainyard.api.manifest import (
    CHECKPOINT_NAME,
    CHECKPOINTS_FOLDER,
    MANIFEST_NAME,
    SAMPLES_NAME,
    SNAPSHOT_NAME,
    ArtefactManifest,
    ArtefactRole,
    CheckpointManifest,
    SnapshotManifest,
    SplitMetrics,
    StoredFile,
)
from trainyard.api.meta import PROGRESS_AUDIENCE
from trainyard.api.report import EpochReport, ExitCode, LastWords, ProgressReport, Stage
from trainyard.api.run import RUN_FILE, SNAPSHOT_FILE, RunFile, SnapshotRunFile
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.resources import ResourceType
from trainyard.datasets.images import RefusedImage, inspect
from trainyard.stores import PreconditionFailed, Store, join

Json = dict[str, Any]
ACCURACY = 0.968
"""What every run of the simulated trainer reaches on dev."""


@dataclass(frozen=True)
class Ending:
    """How a container ends."""

    exit_code: int = 0
    message: str = ""
    oom_killed: bool = False
    kubelet_reason: str = ""
    """The kubelet's word for it, for example ContainerStatusUnknown; empty: the usual one."""


@dataclass
class PodRun:
    """One container of a pod that has been started."""

    api: ApiServer
    pod: Json
    files: dict[str, str]
    """The mounted ConfigMap."""
    store: Store
    stop: threading.Event = field(default_factory=threading.Event)
    """Set when the kubelet sends SIGTERM."""

    @property
    def namespace(self) -> str:
        """Of the pod."""
        return str(self.pod["metadata"]["namespace"])

    def run_file(self) -> RunFile:
        """What a training pod is told."""
        run = RunFile.model_validate(load_yaml(self.files[RUN_FILE], RUN_FILE))
        run.verify(RUN_FILE)
        return run

    def snapshot_file(self) -> SnapshotRunFile:
        """What a snapshot pod is told."""
        run = SnapshotRunFile.model_validate(load_yaml(self.files[SNAPSHOT_FILE], SNAPSHOT_FILE))
        run.verify(SNAPSHOT_FILE)
        return run

    def token(self, audience: str = PROGRESS_AUDIENCE) -> str:
        """A token of the pod, as the kubelet projects it."""
        return pod_token(self.api, self.pod, audience)

    def report(self, report: ProgressReport) -> int:
        """Send a report with the pod's token; the HTTP status of the answer."""
        target = (
            self.run_file().progress if RUN_FILE in self.files else self.snapshot_file().progress
        )
        assert target is not None
        return send(target.url, report, self.token()).status_code


Script = Callable[[PodRun], Ending]
"""Plays one container; it should end soon after `stop` is set."""


@dataclass
class Hold:
    """Keeps a container running until it is let go, and then plays the trainer."""

    then: Script | None = None
    started: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)
    run: PodRun | None = None

    def __call__(self, run: PodRun) -> Ending:
        self.run = run
        self.started.set()
        while not self.let_go.wait(0.02):
            if run.stop.is_set():
                return stopped()
        return (self.then or play)(run)


@dataclass
class Epochs:
    """A trainer that trains epoch by epoch, is stopped with a checkpoint and goes on from one.

    Attributes
    ----------
    seconds
        Duration of an epoch.
    hold_after
        Number of the epoch after which it waits to be let go or stopped; None: it does not wait.
    endings
        How an attempt ends, by its number, instead of by publishing.
    report
        Whether it reports after each epoch.
    """

    seconds: float = 0.01
    hold_after: int | None = None
    endings: dict[int, Script] = field(default_factory=dict)
    report: bool = False
    let_go: threading.Event = field(default_factory=threading.Event)
    holding: threading.Event = field(default_factory=threading.Event)
    """It waits."""
    trained: dict[int, list[int]] = field(default_factory=dict)
    """Epochs that each attempt has trained."""
    told: dict[int, RunFile] = field(default_factory=dict)
    """The run.yaml of each attempt."""
    runs: dict[int, PodRun] = field(default_factory=dict)
    """The container of each attempt."""

    def __call__(self, run: PodRun) -> Ending:
        told = run.run_file()
        assert told.attempt not in self.trained, f"attempt {told.attempt} has a second pod"
        trained = self.trained[told.attempt] = []
        self.told[told.attempt], self.runs[told.attempt] = told, run
        done = _take_checkpoint(run.store, told)
        epochs = told.template.hyperparameters.epochs
        while True:
            if done == self.hold_after and not self.let_go.is_set():
                self.holding.set()
                while not self.let_go.wait(0.02) and not run.stop.is_set():
                    pass
            if run.stop.is_set():
                return stopped(run, done)
            if done == epochs or (told.attempt in self.endings and done >= 1):
                break
            run.stop.wait(self.seconds)
            done += 1
            trained.append(done)
            if self.report:
                run.report(progress_of(told, done, epochs))
        return self.endings.get(told.attempt, publish)(run)


def _take_checkpoint(store: Store, told: RunFile) -> int:
    """Epochs that are done, by the checkpoint that the run is told to go on from."""
    if told.resume is None:
        return 0
    data = store.read_bytes(join(told.resume.location, CHECKPOINT_NAME))
    assert hashlib.sha256(data).hexdigest() == told.resume.sha256
    found = CheckpointManifest.model_validate_json(data)
    assert (found.uid, found.epoch) == (told.uid, told.resume.epoch)
    for file in found.files:
        content = store.read_bytes(join(told.resume.location, file.name))
        assert hashlib.sha256(content).hexdigest() == file.sha256
    return found.epoch


def play(run: PodRun) -> Ending:
    """What a trainer does that meets no trouble."""
    return publish(run) if RUN_FILE in run.files else snapshot(run)


def fails(code: int, reason: str = "", message: str = "", *, oom_killed: bool = False) -> Script:
    """A script that ends with an exit code and, unless `reason` is empty, with last words."""
    words = LastWords(reason=reason, message=message).model_dump_json() if reason else ""
    return lambda _: Ending(code, words, oom_killed)


def untraceable() -> Ending:
    """What a kubelet says that cannot find a container any more: no evidence of its end."""
    message = "The container could not be located when the pod was terminated"
    return Ending(137, message, kubelet_reason="ContainerStatusUnknown")


def stopped(run: PodRun | None = None, epoch: int = 0) -> Ending:
    """How a trainer ends on SIGTERM, with a checkpoint unless no epoch is done."""
    words = LastWords(reason="Stopped", message="stopped by SIGTERM")
    if run is not None and epoch:
        location, digest = checkpoint(run, epoch)
        words = words.model_copy(update={"location": location, "manifest_sha256": digest})
    return Ending(ExitCode.STOPPED, words.model_dump_json())


def checkpoint(run: PodRun, epoch: int) -> tuple[str, str]:
    """Write a checkpoint, checkpoint.json last; gives its folder and the digest of that."""
    told = run.run_file()
    location = join(told.output, CHECKPOINTS_FOLDER, f"{epoch:06d}")
    weights = f"weights of {told.uid} after {epoch} epochs".encode()
    stored = run.store.write_bytes(join(location, "last.pt"), weights)
    manifest = CheckpointManifest(
        uid=told.uid,
        attempt=told.attempt,
        fingerprint=told.fingerprint,
        epoch=epoch,
        epochs=told.template.hyperparameters.epochs,
        files=(stored.model_copy(update={"name": "last.pt"}),),
        created_at=datetime.now(UTC),
    )
    document = manifest.model_dump_json(by_alias=True).encode()
    run.store.write_bytes(join(location, CHECKPOINT_NAME), document, if_absent=True)
    return location, hashlib.sha256(document).hexdigest()


def progress_of(run: RunFile, epoch: int, epochs: int) -> ProgressReport:
    """A report such as the trainer sends after an epoch."""
    return ProgressReport(
        kind="run",
        uid=run.uid,
        attempt=run.attempt,
        stage=Stage.TRAIN,
        percent=100 * epoch // epochs,
        message=f"epoch {epoch} of {epochs}",
        epoch=epoch,
        epochs=epochs,
        estimated_remaining_seconds=100 * (epochs - epoch),
        history=tuple(
            EpochReport(
                epoch=number,
                learning_rate=0.01 / number,
                train_loss=2.0 / number,
                dev_accuracy=1 - 0.5 / number,
                metrics={"top-1": 1 - 0.5 / number},
                seconds=1.5,
            )
            for number in range(1, epoch + 1)
        ),
    )


def publish(run: PodRun) -> Ending:
    """Write the artefacts of a run, manifest.json last."""
    told = run.run_file()
    contents = {
        "model.pth": f"weights of {told.uid}".encode() * 40,
        "config.yaml": f"model: {told.name}\n".encode(),
        "model.zip": b"both of them",
        "metrics.json": b'{"top-1": 0.968}',
        "train.log": b"epoch 1\nepoch 2\n",
    }
    files = []
    for name, data in contents.items():
        stored = run.store.write_bytes(join(told.output, name), data)
        files.append(stored.model_copy(update={"name": name}))
    scores = SplitMetrics(metrics={"top-1": ACCURACY, "top-5": 1.0}, samples=2)
    manifest = ArtefactManifest(
        uid=told.uid,
        attempt=told.attempt,
        run_digest=told.digest,
        fingerprint=told.fingerprint,
        files=tuple(files),
        roles={
            ArtefactRole.WEIGHTS: "model.pth",
            ArtefactRole.CONFIG: "config.yaml",
            ArtefactRole.ARCHIVE: "model.zip",
            ArtefactRole.METRICS: "metrics.json",
            ArtefactRole.LOG: "train.log",
        },
        primary_metric="top-1",
        dev=scores,
        epochs_trained=told.template.hyperparameters.epochs,
        created_at=datetime.now(UTC),
    )
    document = manifest.model_dump_json(by_alias=True).encode()
    run.store.write_bytes(join(told.output, MANIFEST_NAME), document, if_absent=True)
    words = LastWords(
        reason="Succeeded",
        manifest_sha256=hashlib.sha256(document).hexdigest(),
        location=told.output,
    )
    return Ending(0, words.model_dump_json())


LABELS = pa.list_(
    pa.struct(
        [
            ("attribute", pa.string()),
            ("value", pa.string()),
            ("geometry", pa.string()),
            ("points", pa.list_(pa.float64())),
        ]
    )
)
SAMPLES = pa.schema(
    [
        ("digest", pa.binary(32)),
        ("name", pa.string()),
        ("group", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("shard", pa.int32()),
        ("offset", pa.int64()),
        ("size", pa.int64()),
        ("look", pa.binary(32)),
        ("labels", LABELS),
    ]
)


def snapshot(run: PodRun) -> Ending:
    """Write the snapshot of `folders` selections, snapshot.json last."""
    told = run.snapshot_file()
    rows: dict[bytes, Json] = {}
    tar_bytes = io.BytesIO()
    with tarfile.open(fileobj=tar_bytes, mode="w") as tar:
        for selection in told.selections:
            assert selection.source.s3 is not None
            source = f"s3://{selection.source.s3.bucket}/{selection.source.s3.prefix}"
            for entry in run.store.list(source):
                data = run.store.read_bytes(entry.uri)
                digest = hashlib.sha256(data).digest()
                info = tarfile.TarInfo(digest.hex())
                info.size = len(data)
                offset = tar.offset + tarfile.BLOCKSIZE
                tar.addfile(info, io.BytesIO(data))
                label = {
                    "attribute": selection.attribute,
                    "value": entry.name.split("/")[0],
                    "geometry": "image",
                    "points": [],
                }
                rows[digest] = {
                    "digest": digest,
                    "name": entry.name,
                    "group": _group(told, entry.name),
                    "width": 8,
                    "height": 8,
                    "shard": 0,
                    "offset": offset,
                    "size": len(data),
                    "look": _look(data),
                    "labels": [label],
                }
    if not rows:
        words = LastWords(reason="BadData", message="no image was found: check the prefix")
        return Ending(ExitCode.BAD_DATA, words.model_dump_json())
    ordered = [rows[digest] for digest in sorted(rows)]
    counts = Counter((row["labels"][0]["attribute"], row["labels"][0]["value"]) for row in ordered)
    content = hashlib.sha256(
        b"".join(row["digest"] + row["labels"][0]["value"].encode() for row in ordered)
    ).hexdigest()
    location = join(told.output, content)
    shard = _stored(run.store, told.output, "shards/{}.tar", tar_bytes.getvalue())
    table = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ordered, schema=SAMPLES), table)
    samples = run.store.write_bytes(join(location, SAMPLES_NAME), table.getvalue())
    manifest = SnapshotManifest(
        digest=content,
        samples=len(ordered),
        annotations=len(ordered),
        classes=tuple(
            ClassCount(attribute=attribute, value=value, count=count)
            for (attribute, value), count in sorted(counts.items())
        ),
        size_bytes=sum(row["size"] for row in ordered),
        manifest=samples.model_copy(update={"name": SAMPLES_NAME}),
        shards=(shard,),
        created_at=datetime.now(UTC),
    )
    document = manifest.model_dump_json(by_alias=True).encode()
    try:
        run.store.write_bytes(join(location, SNAPSHOT_NAME), document, if_absent=True)
    except PreconditionFailed:
        # Another dataset of the namespace has the same content: its description stays.
        document = run.store.read_bytes(join(location, SNAPSHOT_NAME))
    words = LastWords(
        reason="Succeeded",
        manifest_sha256=hashlib.sha256(document).hexdigest(),
        location=location,
    )
    return Ending(0, words.model_dump_json())


def _group(told: SnapshotRunFile, name: str) -> str | None:
    """What an image belongs together with, by a pattern."""
    if told.group_by is None:
        return None
    grouping = parse_group_by(told.group_by, (selection.format for selection in told.selections))
    assert isinstance(grouping, GroupPattern)
    return grouping.group_of(name)


def _look(data: bytes) -> bytes | None:
    """What an image looks like, where the test has one and not just some bytes."""
    try:
        return inspect(data, "image").look
    except RefusedImage:
        return None


def _stored(store: Store, folder: str, pattern: str, data: bytes) -> StoredFile:
    name = pattern.format(hashlib.sha256(data).hexdigest())
    return store.write_bytes(join(folder, name), data).model_copy(update={"name": name})


def pod_token(api: ApiServer, pod: Json, audience: str = PROGRESS_AUDIENCE) -> str:
    """A token that is bound to a pod."""
    meta, account = pod["metadata"], pod["spec"].get("serviceAccountName", "default")
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {
            "audiences": [audience],
            "expirationSeconds": 3600,
            "boundObjectRef": {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": meta["name"],
                "uid": meta["uid"],
            },
        },
    }
    request = ResourceType("", "v1", f"serviceaccounts/{account}/token", "TokenRequest")
    return str(api.create(request, body, meta["namespace"])["status"]["token"])


def send(url: str, report: ProgressReport, token: str | None) -> requests.Response:
    """POST a report to the operator."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    with requests.Session() as session:
        session.trust_env = False
        return session.post(
            f"{url}/v1/progress",
            data=report.model_dump_json(),
            headers={**headers, "Content-Type": "application/json"},
            timeout=10,
        )
