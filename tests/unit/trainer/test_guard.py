"""The guard under which whole runs are tested sees what a trainer must not do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.trainer.stray import DEEDS

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("deed", DEEDS)
def test_the_guard_refuses_and_reports_it(deed: str, tmp_path: Path) -> None:
    report = tmp_path / "calls"
    guarded = Path(__file__).with_name("guarded.py")
    allowed = "127.0.0.1:8080"
    done = subprocess.run(
        [sys.executable, guarded, allowed, report, "tests.unit.trainer.stray", deed],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    if deed == "nothing":
        assert not report.exists(), done.stdout
        return
    said = report.read_text()
    if deed in ("program", "shell", "spawn"):
        assert said.startswith("start ")
        assert "/bin/true" in said
    else:
        assert said.startswith(("connect ('127.0.0.1', 9)", "look up example.invalid"))
