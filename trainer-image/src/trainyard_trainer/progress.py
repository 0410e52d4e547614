"""Progress: a bar or lines for people, reports for the operator; neither ever hurts the run."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeVar

import requests

from trainyard.api.report import (
    LONGEST_REMAINING_SECONDS,
    EpochReport,
    ProgressReport,
    Stage,
)
from trainyard.api.run import ProgressTarget
from trainyard_trainer.console import in_terminal, show
from trainyard_trainer.machine import cpu_seconds

HEARTBEAT_SECONDS = 30.0
"""After so long without news the last report is repeated, if the pod works."""
_WORKS = 0.01
"""Share of one CPU from which a pod works: one that waits for what will not come uses less."""
_TIMEOUT_SECONDS = 5.0
_HISTORY_LIMIT = 50

_log = logging.getLogger("trainyard")
T = TypeVar("T")


class Reporter:
    """Sends the latest report, at most one every `interval_seconds`, from a thread of its own.

    A slow or absent operator costs nothing but this thread's time: reports that were overtaken
    by a later one are dropped, and the first failure in a row is logged once.

    A step, an evaluation or an upload may take longer than the operator is to wait for a report
    (`stallTimeoutSeconds`). So the last report is repeated while the pod's CPUs are at work, and
    only then: a trainer that hangs is not to look alive.

    Parameters
    ----------
    target
        Where to send; None sends nowhere.
    kind, uid, attempt
        Whose progress it is.
    heartbeat_seconds
        After how long without news.
    cpu_seconds
        CPU time of the pod so far.
    """

    def __init__(
        self,
        target: ProgressTarget | None,
        kind: Literal["run", "snapshot"],
        uid: str,
        attempt: int = 1,
        *,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        cpu_seconds: Callable[[], float] = cpu_seconds,
    ) -> None:
        self._heartbeat, self._cpu_seconds = heartbeat_seconds, cpu_seconds
        self._target, self._kind, self._uid, self._attempt = target, kind, uid, attempt
        self._latest: ProgressReport | None = None
        self._wake = threading.Condition()
        self._over = False
        self._failing = False
        self._thread = threading.Thread(target=self._work, name="progress", daemon=True)

    def __enter__(self) -> Self:
        if self._target is not None:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._wake:
            self._over = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join(2 * _TIMEOUT_SECONDS)

    def report(
        self,
        stage: Stage,
        percent: float,
        message: str,
        *,
        epoch: int | None = None,
        epochs: int | None = None,
        remaining_seconds: float | None = None,
        history: Sequence[EpochReport] = (),
    ) -> None:
        """Make this the latest report; returns at once.

        Parameters
        ----------
        stage, message
            What is being done.
        percent
            0..100 of the whole run; cut to that range.
        epoch, epochs
            Epochs done and in all.
        remaining_seconds
            Estimated time to the end of the run.
        history
            All epochs so far; thinned out here.
        """
        made = ProgressReport(
            kind=self._kind,
            uid=self._uid,
            attempt=self._attempt,
            stage=stage,
            percent=max(0, min(100, int(percent))),
            message=message[:512],
            epoch=epoch,
            epochs=epochs,
            estimated_remaining_seconds=(
                None
                if remaining_seconds is None
                else round(max(0, min(LONGEST_REMAINING_SECONDS, remaining_seconds)))
            ),
            history=thinned(history, _HISTORY_LIMIT),
        )
        show(made)
        with self._wake:
            self._latest = made
            self._wake.notify()

    def _work(self) -> None:
        assert self._target is not None  # noqa: S101 -- the thread starts with a target only
        with requests.Session() as session:
            # Neither a proxy nor a .netrc of the environment has a say between pod and operator.
            session.trust_env = False
            last: ProgressReport | None = None
            looked = said = time.monotonic()
            worked = self._cpu_seconds()
            while True:
                with self._wake:
                    self._wake.wait_for(
                        lambda: self._over or self._latest is not None, self._heartbeat
                    )
                    report, self._latest = self._latest, None
                    over = self._over
                now, used = time.monotonic(), self._cpu_seconds()
                works = used - worked >= _WORKS * (now - looked)
                looked, worked = now, used
                if report is not None:
                    last, said = report, now
                    self._send(session, self._target, report)
                elif last is not None and works and not over:
                    self._send(session, self._target, _repeated(last, now - said))
                if over:
                    return
                self._pause(self._target.interval_seconds)

    def _pause(self, seconds: float) -> None:
        """Wait, unless the run ends meanwhile: its last report is not held back."""
        with self._wake:
            self._wake.wait_for(lambda: self._over, timeout=seconds)

    def _send(
        self, session: requests.Session, target: ProgressTarget, report: ProgressReport
    ) -> None:
        try:
            token = Path(target.token_path).read_text().strip()
            reply = session.post(
                f"{target.url.rstrip('/')}/v1/progress",
                json=report.to_wire(),
                headers={"Authorization": f"Bearer {token}"},
                timeout=_TIMEOUT_SECONDS,
                allow_redirects=False,
            )
            problem = None if reply.ok else f"the operator answered {reply.status_code}"
        except (OSError, ValueError) as error:
            # requests' own exceptions are OSErrors. Their texts may quote headers: name the type.
            problem = type(error).__name__
        if problem and not self._failing:
            _log.warning("progress cannot be reported (%s); the run goes on without", problem)
        self._failing = problem is not None


def _repeated(report: ProgressReport, seconds: float) -> ProgressReport:
    """The same report so many seconds later: what was left is less by as much."""
    left = report.estimated_remaining_seconds
    later = None if left is None else max(0, round(left - seconds))
    return report.model_copy(update={"estimated_remaining_seconds": later})


def thinned(items: Sequence[T], limit: int) -> tuple[T, ...]:
    """At most `limit` items, evenly spread, the first and the last among them."""
    if len(items) <= limit:
        return tuple(items)
    step = (len(items) - 1) / (limit - 1)
    return tuple(items[round(index * step)] for index in range(limit))


class Ticker:
    """Says how far a loop is: a line now and then, where no bar is shown."""

    def __init__(self, what: str, total: int, *, every_seconds: float = 5.0) -> None:
        self._what, self._total, self._every = what, total, every_seconds
        self._next = time.monotonic() + every_seconds

    def at(self, done: int) -> None:
        """`done` of `total` are done."""
        if done >= self._total or (time.monotonic() >= self._next and not in_terminal()):
            self._next = time.monotonic() + self._every
            percent = 100 * done // max(1, self._total)
            _log.info("%s: %d of %d (%d%%)", self._what, done, self._total, percent)
