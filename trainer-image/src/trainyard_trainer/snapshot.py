"""The snapshot job: tells the operator and the log how far it is."""

from __future__ import annotations

from trainyard.api.report import LastWords, Stage
from trainyard.api.run import SnapshotRunFile
from trainyard.datasets.snapshot import make_snapshot
from trainyard.stores import Store
from trainyard_trainer.progress import Reporter, Ticker


def run_snapshot(store: Store, run: SnapshotRunFile, reporter: Reporter) -> LastWords:
    """Make the snapshot; raises as `make_snapshot` does."""
    ticker = Ticker("reading the sources", 100)

    def say(stage: Stage, percent: float, message: str) -> None:
        ticker.at(int(percent))
        reporter.report(stage, percent, message)

    made = make_snapshot(store, run, say)
    return LastWords(
        reason="Succeeded",
        message=f"{made.samples} images",
        manifest_sha256=made.sha256,
        location=made.location,
    )
