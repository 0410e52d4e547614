"""The newest report of each running pod. Kept in memory: losing them never hurts a run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from datetime import datetime
from enum import StrEnum

from trainyard.api.report import ProgressReport
from trainyard.decide.facts import ReceivedReport


class ReportOutcome(StrEnum):
    """What becomes of a report that comes in."""

    ACCEPTED = "accepted"
    STANDBY = "standby"
    """This operator does not decide."""
    NO_TOKEN = "no_token"  # noqa: S105 -- a word, not a token
    TOO_LARGE = "too_large"
    """Over `progress.maxBodyBytes`."""
    TOO_SLOW = "too_slow"
    """It did not come in whole within a few seconds."""
    BUSY = "busy"
    """Too many were coming in at the same time."""
    NOT_REVIEWED = "not_reviewed"
    """The API server could not say whether the token is valid."""
    BAD_TOKEN = "bad_token"  # noqa: S105 -- a word, not a token
    """No valid token, or not one for us."""
    UNKNOWN_POD = "unknown_pod"
    """A valid token of a pod that was not made for a run or a snapshot."""
    MALFORMED = "malformed"
    """Not a report."""
    OTHER_OBJECT = "other_object"
    """A pod's report about something else than it was made for."""


class ReportStore:
    """Reports by the UID of the TrainingProcess or Dataset.

    Parameters
    ----------
    clock
        The time, with its zone.

    Attributes
    ----------
    listening_since
        Since when reports have been received; that none came before says nothing about a run.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._lock = threading.Lock()
        self._reports: dict[str, ReceivedReport] = {}
        self._clock = clock
        self.listening_since: datetime = clock()

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

    def retain(self, uids: Collection[str]) -> None:
        """Drop the reports of all objects but these."""
        with self._lock:
            self._reports = {uid: kept for uid, kept in self._reports.items() if uid in uids}

    def listen_anew(self) -> None:
        """Forget all: until now reports went to another operator."""
        with self._lock:
            self._reports = {}
            self.listening_since = self._clock()

    def __len__(self) -> int:
        return len(self._reports)
