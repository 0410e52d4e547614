"""The trainer as a child of a command: its bars and lines are what the person sees."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from pydantic import ValidationError

from trainyard.api.report import ExitCode, LastWords
from trainyard.cli.errors import INTERRUPTED, CommandError
from trainyard.cli.output import note

NEEDED = ("trainyard_trainer", "torch", "ultralytics")
LAST_WORDS = "TRAINYARD_TERMINATION_LOG"


class TrainerFailed(CommandError):
    """The trainer ended with a reason; the exit code is its own."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.exit_code = code  # type: ignore[misc]


def look_for_trainer() -> None:
    """See that the training side is installed, before anything is made.

    Raises
    ------
    CommandError
        If not; the sentence says what to install.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise CommandError(
            f"this Python has no {', '.join(missing)}, which trains the models: install "
            "trainyard[cli,trainer] (about 6 GB with CUDA)"
        )


def trainer_command(*arguments: str | Path) -> list[str]:
    """The trainer's command line."""
    # -P: a folder in which a person stands adds no module of the same name.
    return [sys.executable, "-P", "-m", "trainyard_trainer", *map(str, arguments)]


def call(
    command: Sequence[str],
    *,
    folder: Path,
    environ: Mapping[str, str] | None = None,
    inherited: tuple[int, ...] = (),
    going_on: str = "",
    lines_to: int | None = None,
) -> LastWords:
    """Run the trainer to its end; gives its last words.

    Ctrl-C reaches both: the trainer ends, where it trains with a checkpoint, and a second one ends
    it at once.

    Parameters
    ----------
    command
        `trainer_command`, or a script that calls the trainer.
    folder
        For its last words.
    environ
        Variables for it.
    inherited
        Handles that it holds too.
    going_on
        What a person does to go on after an interruption; empty: it keeps no checkpoint.
    lines_to
        Handle that its lines go to, as `subprocess` takes them; None: where ours go. Its last
        words say what went wrong in any case.

    Raises
    ------
    TrainerFailed
        If it ends otherwise than well.
    """
    words_file = folder / "last-words.json"
    words_file.unlink(missing_ok=True)
    child = subprocess.Popen(
        command,
        env={**os.environ, **(environ or {}), LAST_WORDS: str(words_file)},
        pass_fds=inherited,
        stdout=lines_to,
    )
    stopping = "stopping, with a checkpoint" if going_on else "stopping"
    with _passing_on(child):
        interrupted = _wait(child, f"{stopping}; Ctrl-C again ends it at once")
    words = _read(words_file)
    if child.returncode == ExitCode.OK:
        return words or LastWords(reason="Succeeded")
    said = words.message if words is not None else f"the trainer ended with {child.returncode}"
    if interrupted or child.returncode == ExitCode.STOPPED:
        code = INTERRUPTED if interrupted else int(ExitCode.STOPPED)
        raise TrainerFailed(f"{said}; {going_on}" if going_on else said, code)
    if words is None and child.returncode < 0:
        name = signal.Signals(-child.returncode).name
        said = f"the trainer was ended by {name}; {going_on}" if going_on else f"ended by {name}"
        raise TrainerFailed(said, 128 - child.returncode)
    reason = f"{words.reason}: " if words is not None else ""
    raise TrainerFailed(f"{reason}{said}", child.returncode)


def _wait(child: subprocess.Popen[bytes], stopping: str) -> bool:
    """Whether a person interrupted it; they are told that it is stopping."""
    interrupted = False
    while True:
        try:
            child.wait()
        except KeyboardInterrupt:
            if interrupted:
                child.kill()
            else:
                note(stopping)
            interrupted = True
        else:
            return interrupted


@contextmanager
def _passing_on(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """What tells us to end tells the child: it is not to go on alone."""
    before = signal.signal(signal.SIGTERM, lambda *_: child.send_signal(signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _read(path: Path) -> LastWords | None:
    try:
        return LastWords.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
