"""Programs that run side by side, fail, and are stopped."""

from __future__ import annotations

import sys
import threading
import time

import pytest

from trainyard_demo.errors import DemoError
from trainyard_demo.steps import Programs, Task, Timings, together

PYTHON = sys.executable


def test_lines_of_a_program_are_passed_on_as_they_come() -> None:
    lines: list[str] = []
    Programs().run(
        [PYTHON, "-c", "import sys; print('a'); print('b', file=sys.stderr)"], lines.append
    )
    assert sorted(lines) == ["a", "b"]


def test_failed_program_is_named_with_the_end_of_its_output() -> None:
    code = "import sys\nfor i in range(30): print('line', i)\nsys.exit(3)"
    with pytest.raises(DemoError) as failure:
        Programs().run([PYTHON, "-c", code], lambda _: None)
    said = str(failure.value).splitlines()
    assert said[-1] == "line 29"
    assert "line 14" not in said


def test_variables_are_added_to_those_of_this_process() -> None:
    lines: list[str] = []
    code = "import os; print(os.environ['TY_TEST'], 'PATH' in os.environ)"
    Programs().run([PYTHON, "-c", code], lines.append, {"TY_TEST": "x"})
    assert lines == ["x True"]


def test_failure_stops_what_runs_beside_it() -> None:
    programs, timings, said = Programs(), Timings(), []
    started = threading.Event()

    def long(say: object) -> None:
        code = "import time; print('up', flush=True); time.sleep(300)"
        programs.run([PYTHON, "-c", code], lambda _: started.set())

    def failing(say: object) -> None:
        assert started.wait(30)
        raise DemoError("no disk")

    tasks = (Task("long", "sleeping", long), Task("bad", "failing", failing))
    start = time.monotonic()
    with pytest.raises(DemoError, match="no disk"):
        together(tasks, programs, timings, said.append)
    assert time.monotonic() - start < 30
    assert {name for name, _, beside in timings.steps if beside} == {"sleeping", "failing"}


def test_last_words_of_a_stopped_program_are_not_passed_on() -> None:
    programs, lines = Programs(), []

    def hear(line: str) -> None:
        lines.append(line)
        programs.stop()

    code = (
        "import time\ntry:\n print('up', flush=True)\n time.sleep(300)\n"
        "except KeyboardInterrupt: print('last words')"
    )
    programs.run([PYTHON, "-c", code], hear)
    assert lines == ["up"]


def test_nothing_is_started_after_the_stop() -> None:
    programs = Programs()
    programs.stop()
    with pytest.raises(DemoError, match="interrupted"):
        programs.run([PYTHON, "-c", ""], lambda _: None)


def test_lines_carry_the_name_of_their_task() -> None:
    said: list[str] = []
    task = Task("data", "data", lambda say: say("50 files"))
    together((task, Task("longer", "x", lambda _: None)), Programs(), Timings(), said.append)
    assert said == ["  data | 50 files"]


def test_times_are_listed_and_what_ran_within_a_step_is_indented() -> None:
    timings = Timings([("images", 65.2, True), ("all", 70.0, False)])
    assert timings.lines() == ["  images    1 min 05 s", "all         1 min 10 s"]
