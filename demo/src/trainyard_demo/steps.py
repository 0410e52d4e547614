"""Steps of the demo: what runs side by side, what is said meanwhile, and how long each took."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from trainyard_demo.errors import DemoError
from trainyard_local.progress import duration

Say = Callable[[str], None]
"""Prints one line for a person."""

PATIENCE_S = 20.0
"""How long a program that was told to stop may take."""
TAIL = 15
"""Lines of a failed program's output that are repeated in the error."""


@dataclass
class Timings:
    """How long each step took.

    Attributes
    ----------
    steps : list of (str, float, bool)
        Name, seconds, and whether it ran beside the step before it.
    """

    steps: list[tuple[str, float, bool]] = field(default_factory=list)

    @contextmanager
    def measure(self, name: str, *, beside: bool = False) -> Iterator[None]:
        """Note how long the block takes, also when it fails.

        Parameters
        ----------
        name : str
            What it does.
        beside : bool
            Whether it runs beside other steps, within a step that is measured itself.
        """
        start = time.monotonic()
        try:
            yield
        finally:
            self.steps.append((name, time.monotonic() - start, beside))

    def lines(self) -> list[str]:
        """A table: what ran within a step stands indented above it."""
        width = max((len(name) + 2 * beside for name, _, beside in self.steps), default=0)
        return [
            f"{'  ' * beside + name:<{width}}  {duration(seconds):>12}"
            for name, seconds, beside in self.steps
        ]


class Programs:
    """Programs that the demo runs; all of them end when the demo does."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def run(
        self, command: Sequence[str], say: Say, environ: Mapping[str, str] | None = None
    ) -> None:
        """Run a program, and pass on each line that it prints.

        Parameters
        ----------
        command : sequence of str
            Program and arguments.
        say : callable
            Told each line of its output.
        environ : Mapping or None
            Variables set besides those of this process.

        Raises
        ------
        DemoError
            If it fails; the message ends with the end of its output.
        """
        said: list[str] = []
        with self._started(command, environ) as process:
            assert process.stdout is not None  # noqa: S101 -- it is a pipe
            for line in process.stdout:
                text = line.rstrip()
                said.append(text)
                # What a program says about being interrupted is no news to who interrupted it.
                if not self._stopped:
                    say(text)
            status = process.wait()
        if status != 0:
            shown = " ".join(Path(word).name if word == command[0] else word for word in command)
            raise DemoError(f"`{shown}` failed:\n" + "\n".join(said[-TAIL:]))

    @contextmanager
    def _started(
        self, command: Sequence[str], environ: Mapping[str, str] | None
    ) -> Iterator[subprocess.Popen[str]]:
        with self._lock:
            if self._stopped:
                raise DemoError("another step failed or was interrupted")
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env={**os.environ, **(environ or {})},
                # Out of the terminal's reach: we tell it to stop, once, and wait for it.
                start_new_session=True,
            )
            self._running.add(process)
        try:
            yield process
        finally:
            self._end(process)
            with self._lock:
                self._running.discard(process)

    def stop(self) -> None:
        """Interrupt what runs, as Ctrl-C would, and start nothing more."""
        with self._lock:
            self._stopped = True
            running = tuple(self._running)
        for process in running:
            _signal(process, signal.SIGINT)
            # A program that does not heed it (started by a shell that ignores interrupts, its
            # children do too) must not hold up the end.
            last = threading.Timer(PATIENCE_S, _kill, (process,))
            last.daemon = True
            last.start()

    @staticmethod
    def _end(process: subprocess.Popen[str]) -> None:
        if process.poll() is None:
            _signal(process, signal.SIGINT)
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                _signal(process, signal.SIGKILL)
                process.wait()


def _kill(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        _signal(process, signal.SIGKILL)


def _signal(process: subprocess.Popen[str], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


@dataclass(frozen=True)
class Task:
    """Something that can be done beside other things.

    Attributes
    ----------
    name : str
        One word, printed before each of its lines.
    what : str
        What it does, for the list of timings.
    do : callable
        Does it; is given what prints its lines.
    """

    name: str
    what: str
    do: Callable[[Say], None]


def together(tasks: Sequence[Task], programs: Programs, timings: Timings, say: Say) -> None:
    """Do all tasks at once; when one fails, the others are stopped.

    Parameters
    ----------
    tasks : sequence of Task
        What to do.
    programs : Programs
        What the tasks run their programs with.
    timings : Timings
        Told how long each task took.
    say : callable
        Prints a line.

    Raises
    ------
    DemoError
        The first failure.
    """
    width = max(len(task.name) for task in tasks)

    def do(task: Task) -> None:
        with timings.measure(task.what, beside=True):
            task.do(lambda text: say(f"{task.name:>{width}} | {text}"))

    with ThreadPoolExecutor(len(tasks)) as pool:
        futures = [pool.submit(do, task) for task in tasks]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            programs.stop()
            raise
