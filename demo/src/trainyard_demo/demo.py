"""The demo, as the steps that a person would take."""

import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from trainyard.api.run import StoreLocation
from trainyard.stores.base import Credentials
from trainyard.stores.routed import open_store
from trainyard_demo import checks, follow, outcome, store
from trainyard_demo.data.prepare import Prepared, prepare
from trainyard_demo.data.sources import find_uv
from trainyard_demo.errors import DemoError
from trainyard_demo.install import TEAM, Images, install
from trainyard_demo.kubernetes import Kubernetes
from trainyard_demo.observe import overlaps
from trainyard_demo.screen import open_screen
from trainyard_demo.steps import Programs, Say, Task, Timings, together
from trainyard_local.cluster import Cluster
from trainyard_local.images.build import workshop
from trainyard_local.images.spec import OPERATOR, TRAINER, ImageSpec
from trainyard_local.paths import Cache

WAITS = "digits-unvaried"
"""The process that wants the node of another one."""
EXAMPLES = 3
"""Predictions that are told in words; the picture shows more."""
REPORT_EVERY = 500
"""Files between two lines about files."""


@dataclass
class Demo:
    """One run of the demo.

    Attributes
    ----------
    repository : Path
        Root of the clone.
    place : Cache
        Where everything that is built is kept.
    environ : dict
        Environment variables.
    say : callable
        Prints a line.
    timings : Timings
        Told how long each step takes.
    programs : Programs
        Runs what runs beside other things.
    """

    repository: Path
    place: Cache
    environ: dict[str, str]
    say: Say
    timings: Timings
    programs: Programs

    @property
    def output(self) -> Path:
        """Where models and pictures go."""
        return self.repository / "demo-output"

    def run(self) -> None:
        """Everything, from an empty machine to models on disk.

        Raises
        ------
        DemoError
            If something is missing, fails, or is not good enough.
        """
        if problems := checks.problems(self.repository, self.place):
            raise DemoError("\n".join(problems))
        with self._step("1/6  cluster, images and data, side by side"):
            data = self._prepare()
        cluster = Cluster.open(self.place)
        kubernetes = Kubernetes(
            cluster.binaries["kubectl"], cluster.binaries["helm"], cluster.kubeconfig
        )
        with self._step("2/6  images to the nodes, data to the store"):
            self._load_images()
            new_data = self._upload(cluster, data)
        with self._step("3/6  the operator, by Helm"):
            images = Images(_reference(OPERATOR, self.place), _reference(TRAINER, self.place))
            install(kubernetes, self.repository / "helm" / "trainyard", images, cluster.s3)
            self.say(f"the operator is ready ({images.operator})")
        with self._step("4/6  kubectl apply, and what kubectl get trainingprocess shows"):
            examples = self.repository / "examples"
            self.say(follow.apply(kubernetes, examples, new_data=new_data).rstrip())
            with open_screen() as screen:
                followed = follow.follow(kubernetes, screen)
        with self._step("5/6  artefacts, downloaded and verified"):
            self._collect(followed, cluster)
        with self._step("6/6  predictions on held-out images, from model.pth and config.yaml"):
            self._predict(data)
        self._conclude(followed)

    def _step(self, title: str) -> AbstractContextManager[None]:
        self.say(f"\n== {title}")
        return self.timings.measure(title.split(maxsplit=1)[1])

    def _prepare(self) -> Prepared:
        prepared: list[Prepared] = []
        local = (sys.executable, "-m")

        def make_data(say: Say) -> None:
            uv = find_uv(self.environ, self.repository)
            say("labelled images from scikit-learn (digits) and stardist (nuclei)")
            advance = _reporting(say, "written")
            prepared.append(prepare(self.place.root / "data", uv, advance=advance))
            say(f"{len(prepared[0].files)} files in {prepared[0].folder}")

        tasks = (
            Task(
                "cluster",
                "programs, etcd, Kubernetes, two nodes, S3",
                lambda say: self.programs.run((*local, "trainyard_local", "up"), say),
            ),
            Task(
                "images",
                "operator image and trainer image",
                lambda say: self.programs.run((*local, "trainyard_local.images", "build"), say),
            ),
            Task("data", "sample images", make_data),
        )
        together(tasks, self.programs, self.timings, self.say)
        return prepared[0]

    def _load_images(self) -> None:
        with self.timings.measure("images to the nodes", beside=True):
            command = (sys.executable, "-m", "trainyard_local", "images", "load")
            self.programs.run(command, self.say)

    def _upload(self, cluster: Cluster, data: Prepared) -> bool:
        with self.timings.measure("data to the store", beside=True):
            client = cluster.s3.client()
            store.ensure_bucket(client)
            sent = store.upload(client, data, _reporting(self.say, "uploaded"))
            where = f"s3://{store.BUCKET}/{store.PREFIX}"
            self.say(f"{len(data.files)} files are in {where}{'' if sent else ' since before'}")
        return sent

    def _collect(self, followed: follow.Followed, cluster: Cluster) -> None:
        account = cluster.s3
        location = StoreLocation(endpoint_url=account.endpoint_url, region=account.region)
        opened = open_store(location, Credentials(account.access_key, account.secret_key))
        for name, process in followed.processes.items():
            folder = self.output / name
            shutil.rmtree(folder, ignore_errors=True)
            files = outcome.collect(process, opened, folder)
            self.say(f"\n{name}: {len(files)} files, each with the SHA-256 of status and manifest")
            for file in files:
                self.say(f"  {file.line()}")

    def _predict(self, data: Prepared) -> None:
        tasks = [
            Task(name, f"predictions of {name}", partial(self._predict_one, name, data))
            for name in follow.PROCESSES
        ]
        together(tasks, self.programs, self.timings, self.say)

    def _predict_one(self, name: str, data: Prepared, say: Say) -> None:
        model, example = self.output / name, name.partition("-")[0]
        command = (
            *(str(checks.trainer_python(self.repository)), "-m", "trainyard_trainer", "predict"),
            *("--weights", str(model / "model.pth"), "--config", str(model / "config.yaml")),
            *("--data", str(data.folder / example / "test")),
            *("--out", str(model / "predictions.png")),
        )
        lines: list[str] = []

        def keep(line: str) -> None:
            # Its message alone: when it was said matters to nobody here.
            lines.append(line.partition(" INFO ")[2] or line)

        with tempfile.TemporaryDirectory(prefix="trainyard-demo-") as scratch:
            self.programs.run(command, keep, {"TRAINYARD_WORKDIR": scratch})
        for line in (*lines[: EXAMPLES + 1], *lines[-1:]):
            say(line)

    def _conclude(self, followed: follow.Followed) -> None:
        processes = [followed.processes[name] for name in follow.PROCESSES]
        self.say("\n== result, on test images that no training has seen")
        for process in processes:
            name = process.metadata.name
            goal = outcome.GOALS[name]
            reached = outcome.score(process, goal.metric)
            self.say(f"  {name:<16} {goal.metric:<6} {reached:.3f} (at least {goal.least})")
        told = [sentence for sentence in followed.waits if sentence.startswith(f"{WAITS}: node ")]
        self.say("\n== what the third process was told while it waited")
        for sentence in told:
            self.say(f"  {sentence}")
        self.say("\n== on disk")
        for name in follow.PROCESSES:
            self.say(f"  {self.output / name}/  model.pth  config.yaml  predictions.png")
        problems = [*outcome.judge(processes), *overlaps(followed.pods.values())]
        if not told:
            problems.append(f"TrainingProcess {WAITS} never said that it waits for its node")
        if problems:
            raise DemoError("\n".join(problems))
        self.say(
            '\nLook around:  eval "$(.venv/bin/python -m trainyard_local env)"; '
            f"kubectl get tp,tm,tds -n {TEAM}        Stop everything:  make down"
        )


def _reference(spec: ImageSpec, place: Cache) -> str:
    image = workshop(place).built(spec)
    if image is None:
        raise DemoError(f"the {spec.name} image is gone: run `make images`")
    return image.reference


def _reporting(say: Say, verb: str) -> Callable[[int], None]:
    def advance(done: int) -> None:
        if done % REPORT_EVERY == 0:
            say(f"{done} files {verb}")

    return advance
