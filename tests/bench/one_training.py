"""One training in a process of its own, with a clock at the library's callbacks.

`python -m tests.bench.one_training ours RUN_FILE STARTED` runs the trainer as a pod does;
`... plain ARGUMENTS STARTED` runs `yolo train` with the arguments of a JSON file. STARTED is the
time at which the process was started, in seconds since 1970. Both have the same environment and
number of threads. Writes `measured.json` beside the file.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from trainyard_trainer.machine import quieten


class Clock:
    """Notes when the library calls."""

    def __init__(self, started: float) -> None:
        self._started = started
        self.first_batch = 0.0
        self.first_batch_cpu = 0.0
        self._cpu, self._cpu_began = 0.0, 0.0
        self._steps = 0
        self._stepped = False
        self._training = 0.0
        self._began = 0.0
        self._epochs: list[float] = []

    def batch_start(self) -> None:
        """The first of all, and the first of an epoch."""
        now, cpu = time.time(), time.process_time()
        self.first_batch = self.first_batch or now - self._started
        self.first_batch_cpu = self.first_batch_cpu or cpu
        if not self._began:
            self._began, self._cpu_began = now, cpu

    def batch_end(self) -> None:
        """Steps of the first epoch do not count: memory is allocated, code is chosen."""
        self._stepped = True
        if self._epochs:
            self._steps += 1

    def epoch_end(self) -> None:
        """Training is over, evaluation begins."""
        if self._epochs:
            self._training += time.time() - self._began
            self._cpu += time.process_time() - self._cpu_began
        self._began = 0.0

    def fit_end(self) -> None:
        """Evaluated and saved; it comes once more when plain has looked at its best epoch."""
        if self._stepped:
            self._epochs.append(time.time())
        self._stepped = False

    def measured(self) -> dict[str, float]:
        """All of it, in seconds: of the clock, and of the CPU, which other load changes little."""
        return {
            "first_batch": self.first_batch,
            "first_batch_cpu": self.first_batch_cpu,
            "step": self._training / self._steps,
            "step_cpu": self._cpu / self._steps,
            "epoch": (self._epochs[-1] - self._epochs[0]) / (len(self._epochs) - 1),
            "total": time.time() - self._started,
        }


def main(how: str, file: Path, started: float) -> None:
    """Train and measure."""
    folder = file.parent
    # The trainer does so itself; for the library alone it is what makes the two comparable.
    quieten(folder / "work", threads=1)
    from ultralytics.utils.callbacks.base import default_callbacks

    clock = Clock(started)
    # The library copies what it is given, down to the clock of a bound method.
    default_callbacks["on_train_batch_start"].append(lambda _: clock.batch_start())
    default_callbacks["on_train_batch_end"].append(lambda _: clock.batch_end())
    default_callbacks["on_train_epoch_end"].append(lambda _: clock.epoch_end())
    default_callbacks["on_fit_epoch_end"].append(lambda _: clock.fit_end())
    if how == "ours":
        from trainyard_trainer.main import main as train

        code = train(["run", str(file)])
        if code:
            raise SystemExit(code)
    else:
        import torch
        from ultralytics.cfg import entrypoint

        default_callbacks["on_train_start"].append(lambda _: torch.set_num_threads(1))
        given = [f"{name}={value}" for name, value in json.loads(file.read_text()).items()]
        entrypoint(" ".join(["yolo", "train", *given]))
    (folder / "measured.json").write_text(json.dumps(clock.measured()))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]))
    sys.stdout.flush()
    os._exit(0)
