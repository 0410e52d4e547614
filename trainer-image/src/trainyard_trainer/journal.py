"""What a run tells while it goes on: the operator, its log, and the store."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from trainyard.api.report import EpochReport, Stage
from trainyard.api.run import RunFile
from trainyard.stores import Store
from trainyard_trainer import checkpoint, publish
from trainyard_trainer.checkpoint import Resumed
from trainyard_trainer.estimate import Estimate
from trainyard_trainer.live import LiveCurves
from trainyard_trainer.progress import Reporter
from trainyard_trainer.stopping import StopRequest

_log = logging.getLogger("trainyard")


class Journal:
    """The epochs so far, and how long it still takes; whoever wants to know is told.

    Parameters
    ----------
    run, store
        Whose epochs, and where their curves go.
    reporter
        Told how far the run is.
    stop
        Looked at whenever something is said: a safe point.
    folder
        For metrics.jsonl, one line an epoch.
    metric
        Name of the primary metric.
    """

    def __init__(
        self,
        run: RunFile,
        store: Store,
        reporter: Reporter,
        stop: StopRequest,
        folder: Path,
        metric: str,
    ) -> None:
        template = run.template
        self._epochs = template.hyperparameters.epochs
        self._reporter, self._stop = reporter, stop
        self._estimate = Estimate(time.monotonic(), self._epochs, len(template.exports))
        self._history: list[EpochReport] = []
        self._lines = folder / publish.EPOCHS
        self._live = LiveCurves(store, run, metric, self._history, self._lines)

    @property
    def history(self) -> Sequence[EpochReport]:
        """The epochs done, over all attempts."""
        return self._history

    @property
    def files(self) -> list[Path]:
        """What is kept of it with the model: nothing where nothing was trained."""
        return [self._lines] if self._history else []

    def go_on(self, resumed: Resumed) -> None:
        """Earlier attempts did some epochs: they are told of as if they were of this one."""
        self._history.extend(resumed.history)
        checkpoint.write_history(self._lines, resumed.history)
        self._estimate.go_on(
            resumed.epoch, sum(report.seconds or 0.0 for report in resumed.history)
        )

    def training_started(self, steps: int) -> None:
        """The first epoch begins, of so many steps."""
        self._estimate.training_started(time.monotonic(), steps)
        # Not before: reading the library that draws would slow the start down.
        self._renew()
        self.say(Stage.TRAIN, "training")

    def step(self) -> None:
        """A step is done."""
        self._estimate.step()
        self.say(Stage.TRAIN, f"epoch {len(self._history) + 1} of {self._epochs}")

    def epoch(self, report: EpochReport) -> None:
        """Note an epoch. Nothing is said yet: it is to be kept first."""
        self._estimate.epoch(time.monotonic())
        self._history.append(report)
        with self._lines.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(report.to_wire()) + "\n")
        self._renew()

    def log_epoch(self) -> None:
        """A line about the epoch that was noted last."""
        report, left = self._history[-1], self._estimate.remaining(time.monotonic())
        _log.info(
            "epoch %d of %d: train loss %s, %s, %.1f s, about %s s left",
            report.epoch,
            self._epochs,
            "not finite" if report.train_loss is None else f"{report.train_loss:.4f}",
            ", ".join(f"{name} {value:.4f}" for name, value in report.metrics.items()),
            report.seconds or 0.0,
            "?" if left is None else round(left),
        )

    def training_ended(self) -> None:
        """No more epochs will come."""
        self._estimate.training_ended(time.monotonic())
        self._live.finish()

    def close(self) -> None:
        """What is published comes next: from now on nothing else is written to its place."""
        self._live.close()

    @contextmanager
    def ending(self) -> Iterator[None]:
        """The run ends without a model: the newest curves go to the store beside what else does."""
        self._renew()
        self._live.finish()
        try:
            yield
        finally:
            self._live.wait()

    def published(self, epochs: int) -> None:
        """Tell that all is done, after so many epochs."""
        self._reporter.report(
            Stage.PUBLISH,
            100,
            "published",
            epoch=epochs,
            epochs=epochs,
            remaining_seconds=0,
            history=self._history,
        )

    def say(self, stage: Stage, message: str, *, prepared: float | None = None) -> None:
        """Tell what is being done; a safe point to stop at.

        Parameters
        ----------
        prepared
            Share (0..1) of the preparation that is done, while it goes on.

        Raises
        ------
        Stopped
            If the pod was told to stop.
        """
        self._stop.check()
        now = time.monotonic()
        percent = (
            self._estimate.percent(now) if prepared is None else self._estimate.preparing(prepared)
        )
        self._reporter.report(
            stage,
            percent,
            message,
            epoch=len(self._history),
            epochs=self._epochs,
            remaining_seconds=self._estimate.remaining(now),
            history=self._history,
        )

    def _renew(self) -> None:
        if self._history:
            self._live.renew()
