"""What is printed where there is no terminal."""

from __future__ import annotations

from trainyard_demo.screen import ChangedLines

HEADING = "NAME     PHASE     PROGRESS   AGE"


class Recorder:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.now = 0.0
        self.screen = ChangedLines(self.lines.append, lambda: self.now)

    def show(self, *rows: str, notes: tuple[str, ...] = (), at: float = 0.0) -> list[str]:
        self.now, before = at, len(self.lines)
        self.screen.show("\n".join((HEADING, *rows)) + "\n", notes)
        return self.lines[before:]


def test_only_rows_that_changed_are_printed_with_the_time_that_passed() -> None:
    seen = Recorder()
    assert seen.show("a   Queued   1s", "b   Queued   1s") == [
        f"        {HEADING}",
        "    0 s  a   Queued   1s",
        "    0 s  b   Queued   1s",
    ]
    assert seen.show("a   Running  3s", "b   Queued   3s", at=2.4) == ["    2 s  a   Running  3s"]


def test_an_age_alone_is_no_change() -> None:
    seen = Recorder()
    seen.show("a   Queued   59s")
    assert seen.show("a   Queued   2m") == []


def test_progress_alone_is_printed_now_and_then_and_a_phase_at_once() -> None:
    seen = Recorder()
    seen.show("a   Running   1%   1s")
    assert seen.show("a   Running   2%   3s", at=5) == []
    assert seen.show("a   Running   9%   3s", at=25) == ["   25 s  a   Running   9%   3s"]
    assert seen.show("a   Succeeded 100% 3s", at=26) == ["   26 s  a   Succeeded 100% 3s"]


def test_a_wider_column_is_no_change() -> None:
    seen = Recorder()
    seen.show("a   Queued   1s")
    assert seen.show("a     Queued     40s", at=50) == []


def test_a_sentence_is_printed_when_it_is_new() -> None:
    seen = Recorder()
    assert seen.show("a  Queued  1s", notes=("a: waiting",))[-1] == "    0 s    a: waiting"
    assert seen.show("a  Queued  2s", notes=("a: waiting",)) == []


def test_no_objects_yet_is_nothing_to_print() -> None:
    lines: list[str] = []
    ChangedLines(lines.append, lambda: 0.0).show("", ())
    assert lines == []
