"""Learning curves in the store while a run goes on: metrics.jsonl and curves.png, renewed."""

from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from trainyard.api.report import EpochReport
from trainyard.api.run import RunFile
from trainyard.stores import Store, join
from trainyard_trainer import plots, publish

EVERY_SECONDS = 30.0
"""Least time between two renewals while training goes on."""
SHARE = 0.02
"""Of one CPU that renewing may take: what costs much is renewed more rarely."""
_PATIENCE_SECONDS = 10.0
"""How long the end of a run waits for the last renewal."""
_COMPLAINT_SECONDS = 600.0
"""After so long a renewal that still fails is a line in the log again."""

_log = logging.getLogger("trainyard")


class LiveCurves:
    """Puts the epochs so far and a picture of them where the finished run will have them.

    Everything happens in a thread of its own: neither drawing nor a store that does not answer
    holds a step up, and no failure ends a run. What came while a renewal was waiting for its time,
    or for the one before it, is part of it: nothing queues up. The process of another container
    may have published the run meanwhile; its files are left alone.

    Parameters
    ----------
    store, run
        Where to, and whose curves.
    metric
        Name of the primary metric.
    history
        The epochs; grows, and is only read here.
    lines
        The file with one line an epoch; grows.
    every_seconds
        Least time between two renewals.
    share
        Of one CPU that they may take.
    """

    def __init__(
        self,
        store: Store,
        run: RunFile,
        metric: str,
        history: Sequence[EpochReport],
        lines: Path,
        every_seconds: float = EVERY_SECONDS,
        share: float = SHARE,
    ) -> None:
        self._store, self._run, self._metric = store, run, metric
        self._history, self._lines = history, lines
        self._every, self._share = every_seconds, share
        self._wake = threading.Condition()
        self._stale = self._last = self._over = self._told = False
        self._complained: float | None = None
        self._thread: threading.Thread | None = None

    def renew(self) -> None:
        """There is another epoch; returns at once."""
        with self._wake:
            if self._last or self._over:
                return
            self._stale = True
            self._wake.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="curves", daemon=True)
                self._thread.start()

    def finish(self) -> None:
        """No more epochs will come: what is not in the store goes there now; returns at once."""
        with self._wake:
            self._last = True
            self._wake.notify()

    def wait(self) -> None:
        """Give what `finish` began a moment; afterwards it may go on."""
        if self._thread is not None:
            self._thread.join(_PATIENCE_SECONDS)

    def close(self) -> None:
        """Whatever comes, nothing is written any more when this returns.

        A request that is on its way is waited for, at most as long as the store's client does.
        """
        with self._wake:
            self._over = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        # Reading the library takes longer than drawing, and is done once: it does not count.
        import matplotlib.backends.backend_agg  # noqa: F401

        due = time.monotonic()
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._stale or self._last or self._over)
                self._wake.wait_for(
                    lambda: self._last or self._over, max(0.0, due - time.monotonic())
                )
                if self._over or not self._stale:
                    return
                self._stale, last = False, self._last
            began = time.thread_time()
            stored = self._try()
            if last:
                return
            if not stored:
                with self._wake:
                    self._stale = True
            cost = time.thread_time() - began
            due = time.monotonic() + max(self._every, cost / self._share)

    def _try(self) -> bool:
        """Renew; whether that needs no other try."""
        try:
            self._renew()
        except Exception as error:  # noqa: BLE001 -- whatever it is, the training goes on
            now = time.monotonic()
            if self._complained is None or now - self._complained >= _COMPLAINT_SECONDS:
                self._complained = now
                _log.warning("the curves so far are not in the store: %s", error)
            return False
        self._complained = None
        return True

    def _renew(self) -> None:
        if publish.is_published(self._store, self._run):
            return
        output = self._run.output
        # The picture first: then the two tell of the same epochs, or the lines of more.
        picture = io.BytesIO()
        plots.curves(self._run.name, tuple(self._history), self._metric, picture)
        for name, data in (
            (publish.EPOCHS, _whole_lines(self._lines)),
            (publish.CURVES, picture.getvalue()),
        ):
            if self._over:
                return
            self._store.write_bytes(join(output, name), data)
        if not self._told:
            self._told = True
            _log.info("curves: %s is at %s and renewed with the epochs", publish.CURVES, output)


def _whole_lines(path: Path) -> bytes:
    """A file that grows, without the line that is just being written."""
    data = path.read_bytes()
    return data[: data.rfind(b"\n") + 1]
