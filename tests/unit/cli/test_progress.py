"""Progress of a download: bars on a terminal, lines otherwise."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import Progress as Bars

from trainyard.cli import progress
from trainyard.cli.downloads import WantedFile

FILE = WantedFile("s3://b/model.pth", "0" * 64, 4 << 20, "model.pth")
EMPTY = WantedFile("s3://b/log", "0" * 64, 0, "log")


def test_lines_tell_of_each_file_and_of_one_that_takes_long(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = progress.LineProgress()
    lines.begin([FILE])
    lines.kept(EMPTY)
    lines.advance(FILE, 1 << 20)
    monkeypatch.setattr(progress, "LINE_EVERY_SECONDS", 0.0)
    lines.advance(FILE, 1 << 20)
    lines.done(FILE)
    assert capsys.readouterr().out.splitlines() == [
        "fetching 1 file, 4.0 MiB",
        "log: already there, verified",
        "model.pth: 50%, 2.0 MiB",
        "model.pth: 4.0 MiB, verified",
    ]


def test_a_terminal_shows_a_bar_while_a_file_comes_and_a_line_when_it_is_there() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, color_system=None)
    with Bars(console=console) as bars:
        shown = progress.BarProgress(bars)
        shown.begin([FILE, EMPTY])
        shown.advance(FILE, 1 << 20)
        bars.refresh()
        assert "25%" in screen.getvalue()
        shown.done(FILE)
        shown.done(EMPTY)
        assert not bars.tasks
    assert "model.pth: 4.0 MiB, verified" in screen.getvalue()
    assert "log: 0 B, verified" in screen.getvalue()
