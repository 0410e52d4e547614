"""Lines of the log: whom they name, how they look, and what never stands in them."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.operator.test_node_metrics import node, waiting
from trainyard.cluster.cache import Cache
from trainyard.cluster.errors import Conflict
from trainyard.cluster.resources import NODE, PROCESS
from trainyard.operator import logs
from trainyard.operator.keys import NODE_LOCK, Key, about_key
from trainyard.operator.logs import JsonLines, LogFormat, LogSettings, TextFormatter, about

CANARY = "canary-7f3a"


def record(message: str, *arguments: Any, **attached: Any) -> logging.LogRecord:
    made = logging.LogRecord(
        "trainyard.x", logging.WARNING, __file__, 1, message, arguments, attached.pop("error", None)
    )
    made.__dict__.update(attached)
    return made


def as_json(*arguments: Any, **attached: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(JsonLines().format(record(*arguments, **attached)))
    return found


def as_text(*arguments: Any, **attached: Any) -> str:
    return TextFormatter().format(record(*arguments, **attached))


def caught(message: str) -> Any:
    error = Conflict(message)
    try:
        raise error
    except Conflict:
        return sys.exc_info()


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Iterator[pytest.CaptureFixture[str]]:
    """What is printed; afterwards the log is what it was."""
    root, ours = logging.getLogger(), logging.getLogger(logs.OURS)
    before = (root.handlers, root.level, ours.level, threading.excepthook)
    yield capsys
    root.handlers, threading.excepthook = before[0], before[3]
    root.setLevel(before[1])
    ours.setLevel(before[2])
    logging.captureWarnings(False)


class TestObject:
    def test_every_line_printed_meanwhile_names_it(self) -> None:
        with about("TrainingProcess", "demo/cats", uid="u-1", node="gpu-1"):
            assert as_text("it %s", "runs").endswith(
                " WARNING trainyard.x: TrainingProcess demo/cats: it runs"
            )
            found = as_json("it %s", "runs")
        assert found.pop("time").endswith("Z")
        assert found == {
            "level": "WARNING",
            "logger": "trainyard.x",
            "message": "it runs",
            "kind": "TrainingProcess",
            "namespace": "demo",
            "name": "cats",
            "uid": "u-1",
            "node": "gpu-1",
        }

    def test_lines_before_and_after_do_not(self) -> None:
        with about("Node", "gpu-1", node="gpu-1"):
            pass
        assert as_text("now").endswith("trainyard.x: now")
        assert not {"kind", "namespace", "name", "node"} & as_json("now").keys()

    def test_the_inner_one_counts_and_then_the_outer_one_again(self) -> None:
        with about("TrainingProcess", "demo/cats"):
            with about("Pod", "demo/tp-1"):
                assert "Pod demo/tp-1: x" in as_text("x")
            assert "TrainingProcess demo/cats: x" in as_text("x")

    def test_threads_and_tasks_keep_apart(self) -> None:
        async def work(name: str) -> str:
            with about("Dataset", name):
                await asyncio.sleep(0)
                return str(as_json("x")["name"])

        async def main() -> list[str]:
            return await asyncio.gather(*(work(f"demo/{number}") for number in range(5)))

        assert asyncio.run(main()) == ["0", "1", "2", "3", "4"]

    def test_kopf_brings_its_own(self) -> None:
        ref = {"apiVersion": "v1", "kind": "Pod", "name": "tp-1", "uid": "u", "namespace": "demo"}
        found = as_json("x", k8s_ref=ref, k8s_skip=True, settings=object())
        assert (found["kind"], found["namespace"], found["name"]) == ("Pod", "demo", "tp-1")
        assert "Pod demo/tp-1: x" in as_text("x", k8s_ref=ref)

    def test_of_a_key_it_is_the_object_or_the_node_whose_lock_it_is(self) -> None:
        cache = Cache()
        cache.put(NODE, node())
        cache.put(PROCESS, waiting("cats").to_wire())
        with about_key(Key(NODE_LOCK, "gpu-1"), cache):
            found = as_json("x")
        assert (found["kind"], found["name"], found["node"]) == ("Node", "gpu-1", "gpu-1")
        with about_key(Key("TrainingProcess", "demo/cats"), cache):
            found = as_json("x")
        assert (found["name"], found["uid"], found["node"]) == ("cats", "cats", "gpu-1")
        with about_key(Key("TrainingProcess", "demo/gone"), cache):
            assert as_json("x")["name"] == "gone"


class TestErrors:
    def test_one_that_is_quoted_is_a_field_of_its_own(self) -> None:
        found = as_json("it failed: %s", Conflict("it had changed"))
        assert found["message"] == "it failed: it had changed"
        assert found["error"] == "Conflict: it had changed"
        assert "traceback" not in found

    def test_one_that_was_caught_comes_with_its_traceback(self) -> None:
        found = as_json("it failed", error=caught("it had changed"))
        assert found["error"] == "Conflict: it had changed"
        assert found["traceback"].startswith("Traceback (most recent call last)")
        assert "\nTraceback (most recent call last)" in as_text("it failed", error=caught("x"))

    def test_of_a_thread_that_dies_it_is_printed_as_any_other_line(
        self, printed: pytest.CaptureFixture[str]
    ) -> None:
        logs.configure(LogSettings(format=LogFormat.JSON))
        thread = threading.Thread(target=lambda: 1 / 0, name="worker")
        thread.start()
        thread.join()
        found = json.loads(printed.readouterr().out)
        assert (found["message"], found["error"]) == (
            "thread worker ended",
            "ZeroDivisionError: division by zero",
        )


class TestSecrets:
    def test_what_libraries_attach_goes_nowhere(self) -> None:
        assert CANARY not in json.dumps(as_json("x", headers=CANARY, authorization=CANARY))

    def test_what_is_named_like_a_credential_is_taken_out(self) -> None:
        text = f"GET https://u:{CANARY}@store/x failed, AWS_SECRET_ACCESS_KEY={CANARY}"
        for line in (
            as_text(text),
            as_text("x", error=caught(text)),
            json.dumps(as_json(text)),
            json.dumps(as_json("%s", Conflict(text), error=caught(text))),
        ):
            assert CANARY not in line

    def test_what_libraries_say_below_a_warning_is_not_printed_at_any_level(
        self, printed: pytest.CaptureFixture[str]
    ) -> None:
        logs.configure(LogSettings(level="DEBUG"))
        for name in ("kubernetes.client.rest", "botocore", "urllib3", "kopf.objects", "aiohttp"):
            logging.getLogger(name).info("response body: %s", CANARY)
        logging.getLogger("trainyard.operator").debug("ours")
        out = printed.readouterr().out
        assert CANARY not in out
        assert out.endswith("DEBUG trainyard.operator: ours\n")


def test_a_message_cannot_look_like_a_line_of_its_own() -> None:
    forged = "x\n2026-11-23 12:00:00,000 INFO trainyard.operator: all is well\rgone\u2028\x1b[2Kx"
    line = as_text(forged)
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line
    assert as_json(forged)["message"] == forged.partition("\r")[0] + "\ngone\nx"


def test_letters_of_all_languages_stay_readable(printed: pytest.CaptureFixture[str]) -> None:
    logs.configure(LogSettings(format=LogFormat.JSON))
    logging.getLogger("trainyard.operator").info("Größe 猫")
    assert "Größe 猫" in printed.readouterr().out


def test_warnings_of_python_are_lines_too(printed: pytest.CaptureFixture[str]) -> None:
    logs.configure(LogSettings(format=LogFormat.JSON))
    logging.getLogger("py.warnings").warning("this is old")
    assert json.loads(printed.readouterr().out)["logger"] == "py.warnings"


def test_debug_lines_are_printed_when_asked_for(printed: pytest.CaptureFixture[str]) -> None:
    for level, lines in (("INFO", 0), ("DEBUG", 1)):
        logs.configure(LogSettings.model_validate({"level": level}))
        logging.getLogger("trainyard.operator").debug("x")
        assert len(printed.readouterr().out.splitlines()) == lines
