"""A whole training against plain `yolo train`, and one that is killed against an undisturbed one.

Plain gets the very arguments that ours gives the library, and the data as ours laid it out, already
on disk; ours reads its run.yaml, fetches the snapshots from a real S3 server and unpacks them.
Each pair runs one right after the other, who is first alternating; each ratio is the median of the
pairs. `PAIRS` and `EPOCHS` in the environment make it shorter or longer.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from tests.bench.trained import finish, run_of, snapshots, start
from trainyard.api.run import StoreLocation
from trainyard.stores import Credentials, Store, join, open_store
from trainyard_local.s3 import S3Server

PAIRS = int(os.environ.get("PAIRS", "5"))
EPOCHS = int(os.environ.get("EPOCHS", "6"))
LONG = int(os.environ.get("LONG_EPOCHS", "40"))
"""Epochs of the run that is killed: what its second start costs is spread over them."""
OWN = ("task", "mode", "save_dir", "project", "name", "cfg", "data")
"""What a training's args.yaml says about where it was."""


class Bench:
    """Starts trainings, each in a folder of its own."""

    def __init__(self, server: S3Server, store: Store, root: Path) -> None:
        self.server, self.store, self._root = server, store, root
        self._numbers = itertools.count()
        self.datasets = snapshots(server, store)
        first = self._folder()
        finish(start(server, first, "ours", run_of(server, self.datasets, EPOCHS)), first)
        self._data = root / "data"
        (made,) = (first / "work").rglob("data.yaml")
        shutil.copytree(made.parent, self._data)
        for cache in self._data.rglob("*.cache"):
            cache.unlink()
        document = yaml.safe_load((self._data / "data.yaml").read_text())
        (self._data / "data.yaml").write_text(yaml.safe_dump(document | {"path": str(self._data)}))
        (args,) = (first / "work").rglob("args.yaml")
        told = yaml.safe_load(args.read_text())
        self._arguments = {
            name: value
            for name, value in told.items()
            if name not in OWN and value is not None and value != ""
        }
        shutil.rmtree(first)

    def _folder(self) -> Path:
        return self._root / f"run-{next(self._numbers)}"

    def ours(self) -> dict[str, float]:
        """As a pod trains."""
        folder = self._folder()
        run = run_of(self.server, self.datasets, EPOCHS)
        found = finish(start(self.server, folder, "ours", run), folder)
        shutil.rmtree(folder)
        return found

    def plain(self) -> dict[str, float]:
        """The library alone."""
        for cache in self._data.rglob("*.cache"):
            cache.unlink()
        folder = self._folder()
        given = self._arguments | {
            "data": str(self._data / "data.yaml"),
            "project": str(folder),
            "name": "train",
        }
        found = finish(start(self.server, folder, "plain", given), folder)
        shutil.rmtree(folder)
        return found

    def undisturbed(self) -> None:
        """A run from start to manifest."""
        folder = self._folder()
        run = run_of(self.server, self.datasets, LONG)
        child = start(self.server, folder, "ours", run, TRAINYARD_CHECKPOINT_SECONDS="0")
        finish(child, folder)
        shutil.rmtree(folder)

    def killed(self) -> None:
        """Two attempts of a run: killed once the checkpoint of half is stored."""
        first, run = self._folder(), run_of(self.server, self.datasets, LONG)
        child = start(self.server, first, "ours", run, TRAINYARD_CHECKPOINT_SECONDS="0")
        location = join(str(run["output"]), "checkpoints", f"{LONG // 2:06d}")
        while (found := self.store.stat(join(location, "checkpoint.json"))) is None:
            if child.poll() is not None:
                raise RuntimeError((first / "log").read_text()[-3000:])
            time.sleep(0.05)
        child.kill()
        child.wait()
        assert found is not None
        manifest = self.store.read_bytes(join(location, "checkpoint.json"))
        resume: dict[str, Any] = {
            "location": location,
            "sha256": hashlib.sha256(manifest).hexdigest(),
            "epoch": LONG // 2,
        }
        again = run | {"attempt": 2, "output": f"{run['output']}-2", "resume": resume}
        second = self._folder()
        child = start(self.server, second, "ours", again, TRAINYARD_CHECKPOINT_SECONDS="0")
        finish(child, second)
        for folder in (first, second):
            shutil.rmtree(folder)


def say(name: str, ratios: list[float], aim: str, note: str = "") -> None:
    """One line a measurement."""
    print(
        f"{name}: {median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}, {len(ratios)} "
        f"pairs in turns); the aim is {aim}{f'; {note}' if note else ''}",
        flush=True,
    )


def main() -> None:
    """Train, in turns."""
    with (
        tempfile.TemporaryDirectory(prefix="trainyard-bench-") as root,
        S3Server(Path(root) / "s3") as server,
    ):
        store = open_store(
            StoreLocation(endpoint_url=server.endpoint_url),
            Credentials(server.access_key, server.secret_key),
        )
        bench = Bench(server, store, Path(root))
        pairs = []
        for number in range(PAIRS):
            if number % 2:
                plain = bench.plain()
                pairs.append((bench.ours(), plain))
            else:
                ours = bench.ours()
                pairs.append((ours, bench.plain()))
        load = f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs"
        rates = (("step", "steps a second"), ("step_cpu", "steps a CPU second"))
        for key, name in rates:
            ratios = [plain[key] / ours[key] for ours, plain in pairs]
            say(f"{name}, ours to plain", ratios, "at least 0.98", load)
        say(
            "epochs a second with evaluation and saving, ours to plain",
            [plain["epoch"] / ours["epoch"] for ours, plain in pairs],
            "none",
        )
        for key, name in (("first_batch", "time"), ("first_batch_cpu", "CPU time")):
            seconds = [median(one[key] for one in side) for side in zip(*pairs, strict=True)]
            say(
                f"{name} to the first batch, ours to plain",
                [ours[key] / plain[key] for ours, plain in pairs],
                "at most 0.8",
                f"{seconds[0]:.1f} s and {seconds[1]:.1f} s",
            )
        if LONG:
            times = []
            for number in range(PAIRS):
                if number % 2:
                    undisturbed = _timed(bench.undisturbed)
                    times.append((_timed(bench.killed), undisturbed))
                else:
                    killed = _timed(bench.killed)
                    times.append((killed, _timed(bench.undisturbed)))
            for index, name in enumerate(("time", "CPU time")):
                say(
                    f"{name} of a run killed at half that goes on, to undisturbed",
                    [killed[index] / undisturbed[index] for killed, undisturbed in times],
                    "at most 1.10",
                    f"{LONG} epochs, {median(one[index] for _, one in times):.0f} s undisturbed",
                )


def _timed(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds of the clock, and of the CPU in the trainings that it waited for."""
    clock, cpu = time.time(), sum(os.times()[2:4])
    work()
    return time.time() - clock, sum(os.times()[2:4]) - cpu


if __name__ == "__main__":
    main()
