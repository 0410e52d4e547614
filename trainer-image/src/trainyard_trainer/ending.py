"""How a process ends: its exit code, and last words for whoever started it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from trainyard.api.reasons import Reason
from trainyard.api.report import ExitCode, LastWords
from trainyard_trainer import termination
from trainyard_trainer.explaining import explain
from trainyard_trainer.faults import Ended
from trainyard_trainer.stopping import StopRequest

_log = logging.getLogger("trainyard")


def ended(work: Callable[[], LastWords], stop: StopRequest) -> int:
    """Do something to its end; returns the exit code.

    Parameters
    ----------
    work
        Gives the last words.
    stop
        Armed meanwhile.
    """
    try:
        stop.arm()
        words = work()
    except BaseException as error:  # noqa: BLE001 -- the last line of defence: it names the reason
        stop.disarm()
        code, words = failed(error)
        termination.say(words)
        return int(code)
    # From here on there is nothing left that a signal should interrupt.
    stop.disarm()
    termination.say(words)
    _log.info("%s: %s", words.reason, words.message or "done")
    return int(ExitCode.OK)


def failed(error: BaseException) -> tuple[ExitCode, LastWords]:
    """The exit code and last words of an error, which is logged once.

    One that nobody knows is logged as a whole.
    """
    if isinstance(error, Ended):
        return error.code, error.words
    code, words = explain(error)
    if words.reason == Reason.TRAINER_ERROR:
        _log.error("unexpected error", exc_info=error)
    _log.error("%s: %s", words.reason, words.message)
    return code, words


def told(error: BaseException, stop: StopRequest, log: Path) -> Ended:
    """An error, explained and logged, with the end of the log.

    Its last words are said at once: what still follows may take longer than there is time.
    """
    # A fault that is being told is not to be taken for a stop.
    stop.disarm()
    code, words = failed(error)
    words = words.model_copy(update={"log_tail": termination.tail(log)})
    termination.say(words)
    return Ended(code, words)
