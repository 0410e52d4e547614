"""A cause of failure, and how a person reads it back: with kubectl, as it stands there."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.e2e.conftest import REPOSITORY, Team
from tests.e2e.steps import condition, finish, get
from trainyard.api.reasons import Reason

CATALOGUE = (REPOSITORY / "docs" / "reasons.md").read_text()


@dataclass(frozen=True)
class Cause:
    """What is to be read about a process that failed.

    Attributes
    ----------
    says
        A pattern of the whole sentence but for the remedy.
    remedy
        How the sentence goes on; by default as the catalogue has it.
    log
        What stands at the end of the log; empty: nothing has been logged.
    """

    reason: Reason
    says: str
    remedy: str = ""
    log: str = ""

    def check(self, team: Team, name: str, seconds: int = 120) -> str:
        """Wait for its end and read it back; gives what kubectl describe printed."""
        ended = finish(team, name, seconds)
        described = team.kubectl("describe", "tp", name)
        print(described)
        failed = condition(ended, "Failed")
        sentence = str(failed.get("message", ""))
        assert failed.get("reason") == self.reason, described
        remedy = self.remedy or self.reason.remedy
        whole = f"({self.says})[:;] {re.escape(remedy)}( \\(given up after \\d+ s\\))?"
        assert re.fullmatch(whole, sentence), f"{sentence!r} is not {whole!r}"
        # As a person reads it: the sentence on one line, the reason beside it.
        read = " ".join(described.split())
        told = f"{sentence} Observed Generation: 1 Reason: {self.reason} Status: True Type: Failed"
        assert told in read, described
        columns = team.kubectl("get", "tp", name, "-o", "wide").split()
        assert {"Failed", str(self.reason)} <= set(columns), columns
        assert f"| `{self.reason}` |" in CATALOGUE
        self._check_log(ended["status"].get("attempts", []), read)
        return described

    def _check_log(self, attempts: list[dict[str, str]], read: str) -> None:
        tail = attempts[-1].get("logTail", "") if attempts else ""
        assert len(tail) <= 2048
        assert not tail.startswith("\n")
        assert self.log in tail, tail
        assert bool(tail) is bool(self.log), tail
        if self.reason is not Reason.TRAINER_ERROR:
            assert "Traceback" not in read


def no_secret_is_shown(team: Team, secret: str) -> None:
    """Nothing that a person of the namespace reads has it."""
    assert secret not in team.kubectl("get", "tds,tp,jobs,pods,events,configmaps", "-o", "yaml")
    assert secret not in team.kubectl("logs", "-l", "trainyard.dev/role=training", "--tail=-1")
    assert secret not in team.kubectl("describe", "tp")


def waits(team: Team, name: str, type_: str) -> tuple[str, str]:
    """Reason and sentence of a condition of a process that waits."""
    found = condition(get(team, "tp", name), type_)
    return found.get("reason", ""), found.get("message", "")
