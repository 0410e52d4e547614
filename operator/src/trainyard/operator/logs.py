"""What the operator prints: lines for people, or JSON for programs, each naming its object.

The object is put down once, around the work on it (`about`), and stands in every line that is
printed meanwhile, whoever prints it. Lines of kopf bring theirs. Fields are these and no others:
what libraries attach to their records goes nowhere.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from types import TracebackType
from typing import Any, Literal

from pythonjsonlogger.json import JsonFormatter

from trainyard.api._base import StrictModel
from trainyard.decide.scrub import scrubbed

OURS = "trainyard"
log = logging.getLogger(__name__)


class LogFormat(StrEnum):
    """How lines look."""

    TEXT = "Text"
    JSON = "JSON"


class LogSettings(StrictModel):
    """What is printed."""

    format: LogFormat = LogFormat.TEXT
    """Text for people, or one JSON object a line."""
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Of the operator's own lines. Libraries print warnings and errors only, always: below that
    they print whole requests and answers, with what is secret in them."""


@dataclass(frozen=True)
class About:
    """The object that a line is about."""

    kind: str
    name: str
    namespace: str = ""
    uid: str = ""
    node: str = ""
    """The node that it is about, for what is pinned to one."""

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}".replace(" /", " ")

    def fields(self) -> dict[str, str]:
        """What is known of it."""
        return {key: value for key, value in vars(self).items() if value}


_about: ContextVar[About | None] = ContextVar("about", default=None)


@contextmanager
def about(kind: str, key: str, *, uid: str = "", node: str = "") -> Iterator[None]:
    """Whatever is logged meanwhile, in this thread or task, is about this object.

    Parameters
    ----------
    key
        `namespace/name`, or the name alone for what is in no namespace.
    """
    namespace, _, name = key.rpartition("/")
    token = _about.set(About(kind, name, namespace, uid, node))
    try:
        yield
    finally:
        _about.reset(token)


class TextFormatter(logging.Formatter):
    """A line for people: time, level, logger, object, message; a traceback below it."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 -- of the base class
        """One line, whatever is in it: what others say cannot look like a line of its own."""
        subject = _subject(record)
        if subject is not None:
            record.message = f"{subject}: {record.message}"
        record.message = scrubbed(record.message).replace("\n", "\\n")
        return super().formatMessage(record)

    def formatException(  # noqa: N802 -- of the base class
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | Any
    ) -> str:
        """A traceback without credentials."""
        return scrubbed(super().formatException(ei))


class JsonLines(JsonFormatter):
    """One JSON object a line."""

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        """The fields that there are, in the order in which one reads them."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        log_data["time"] = time.replace("+00:00", "Z")
        log_data["level"] = record.levelname
        log_data["logger"] = record.name
        log_data["message"] = scrubbed(record.message)
        subject = _subject(record)
        if subject is not None:
            log_data.update(subject.fields())
        error = _error(record)
        if error is not None:
            log_data["error"] = scrubbed(f"{type(error).__name__}: {error}")
        if message_dict.get("exc_info"):
            log_data["traceback"] = scrubbed(message_dict["exc_info"])


def configure(settings: LogSettings) -> None:
    """Print to standard output from now on, also what nobody caught."""
    handler = logging.StreamHandler(sys.stdout)
    json = settings.format is LogFormat.JSON
    handler.setFormatter(JsonLines(json_ensure_ascii=False) if json else TextFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(OURS).setLevel(settings.level)
    logging.captureWarnings(True)
    threading.excepthook = _thread_died


def _thread_died(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_value is not None:
        name = arguments.thread.name if arguments.thread is not None else "?"
        log.error("thread %s ended", name, exc_info=arguments.exc_value)


def _subject(record: logging.LogRecord) -> About | None:
    """The object that a line is about: kopf's, else that of the work going on."""
    ref = getattr(record, "k8s_ref", None)
    if not isinstance(ref, dict) or not ref.get("name"):
        return _about.get()
    kind, name, namespace, uid = (
        str(ref.get(key) or "") for key in ("kind", "name", "namespace", "uid")
    )
    return About(kind, name, namespace, uid)


def _error(record: logging.LogRecord) -> BaseException | None:
    """The error that a line is about: the one that was caught, or one that it quotes."""
    if record.exc_info and record.exc_info[1] is not None:
        return record.exc_info[1]
    quoted = record.args if isinstance(record.args, tuple) else ()
    return next((item for item in quoted if isinstance(item, BaseException)), None)
