"""The newest report of each running pod. Kept in memory: losing them never hurts a run."""

from __future__ import annotations

import threading
from datetime import datetime

from trainyard.api.report import ProgressReport
from trainyard.decide.facts import ReceivedReport


class ReportStore:
    """Reports by the UID of the TrainingProcess or Dataset."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reports: dict[str, ReceivedReport] = {}

    def put(self, report: ProgressReport, now: datetime) -> None:
        """Keep a report; it replaces the one before."""
        with self._lock:
            self._reports[report.uid] = ReceivedReport(report, now)

    def get(self, uid: str) -> ReceivedReport | None:
        """The newest report, or None."""
        with self._lock:
            return self._reports.get(uid)

    def forget(self, uid: str) -> None:
        """Drop the report of an object that is finished or gone."""
        with self._lock:
            self._reports.pop(uid, None)
