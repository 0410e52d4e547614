"""SIGTERM and Ctrl-C: noticed from the first moment, acted upon once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Whether the pod was told to stop.

    Between `arm` and `disarm` a signal raises `Stopped` where the main thread stands, so that no
    long step is waited for. A library may swallow that exception; so it is raised again at the
    next safe point, where `check` is called (at the latest after a batch). A second signal
    changes nothing: what is being saved because of the first is not interrupted.

    This module imports nothing else: it is ready before the libraries are read, which takes
    seconds in which a process that is number 1 of its container would ignore the signal.
    """

    def __init__(self) -> None:
        self.requested = False
        self._armed = False

    def install(self) -> None:
        """Listen to SIGTERM, and to Ctrl-C in a terminal; to be called by the main thread."""
        signal.signal(signal.SIGTERM, self._notice)
        signal.signal(signal.SIGINT, self._notice)

    def arm(self) -> None:
        """From now on, stop; at once if that was asked for before."""
        self._armed = True
        self.check()

    def disarm(self) -> None:
        """From now on, only take note."""
        self._armed = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """A short piece of work that is done as a whole, or not begun.

        Raises
        ------
        Stopped
            At its end, if the pod was told to stop before or meanwhile, while armed.
        """
        self.check()
        armed, self._armed = self._armed, False
        try:
            yield
        finally:
            self._armed = armed
        self.check()

    def check(self) -> None:
        """A safe point.

        Raises
        ------
        Stopped
            If the pod was told to stop, while armed.
        """
        if self.requested and self._armed:
            from trainyard_trainer.faults import Stopped

            raise Stopped("it was told to stop and did")

    def _notice(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if not self.requested:
            self.requested = True
            self.check()
