"""The log: for people, and kept beside the model."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID")
_SHORTEST_SECRET = 8
_OURS, _LIBRARY = "trainyard", "ultralytics"


class _Formatter(logging.Formatter):
    """Logs no credential, whatever a library puts into its errors: the log is kept and shown."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        for name in _SECRETS:
            if len(secret := os.environ.get(name, "")) >= _SHORTEST_SECRET:
                text = text.replace(secret, "***")
        return text


def start_logging(handler: logging.Handler, *, dated: bool = True) -> None:
    """Log to `handler` what we say ourselves.

    Parameters
    ----------
    dated
        Each line begins with its time and level.
    """
    log = logging.getLogger(_OURS)
    log.setLevel(logging.INFO)
    log.propagate = False
    _add(handler, _OURS, dated=dated)


@contextmanager
def logged_to(path: Path) -> Iterator[None]:
    """Also write the log to a file, with what the library says; whole whenever it is read."""
    handler = logging.FileHandler(path, encoding="utf-8")
    for name in (_OURS, _LIBRARY):
        _add(handler, name)
    try:
        yield
    finally:
        for name in (_OURS, _LIBRARY):
            logging.getLogger(name).removeHandler(handler)
        handler.close()


def _add(handler: logging.Handler, name: str, *, dated: bool = True) -> None:
    start = "%(asctime)s %(levelname)s " if dated else ""
    handler.setFormatter(_Formatter(f"{start}%(message)s", "%Y-%m-%dT%H:%M:%SZ"))
    logging.getLogger(name).addHandler(handler)
