import http.server
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from trainyard.api.report import Stage
from trainyard.api.run import ProgressTarget
from trainyard_trainer.progress import Reporter


class Receiver:
    """An operator that can be told what to answer."""

    def __init__(self) -> None:
        self.bodies: list[tuple[float, str, dict[str, Any]]] = []
        self.status = 204
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.bodies.append((time.monotonic(), self.headers["Authorization"], body))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("first\n")
    return path


def target(port: int, token: Path, interval: float = 0.3) -> ProgressTarget:
    return ProgressTarget(
        url=f"http://127.0.0.1:{port}", token_path=str(token), interval_seconds=interval
    )


def test_reports_come_at_most_once_an_interval_and_the_latest_wins(
    receiver: Receiver, token: Path
) -> None:
    with Reporter(target(receiver.server.server_port, token), "run", "u") as reporter:
        for percent in range(100):
            reporter.report(Stage.TRAIN, percent, f"at {percent}")
            time.sleep(0.01)
    times = [moment for moment, _, _ in receiver.bodies]
    # All but the last, which does not wait when the run ends.
    gaps = [later - earlier for earlier, later in pairwise(times[:-1])]
    assert 3 <= len(times) <= 7
    assert min(gaps) > 0.25
    assert receiver.bodies[-1][2]["percent"] == 99


def test_the_token_is_read_again_for_each_report(receiver: Receiver, token: Path) -> None:
    with Reporter(target(receiver.server.server_port, token, 0.05), "run", "u") as reporter:
        reporter.report(Stage.TRAIN, 1, "one")
        deadline = time.monotonic() + 5
        while not receiver.bodies and time.monotonic() < deadline:
            time.sleep(0.01)
        token.write_text("second")
        reporter.report(Stage.TRAIN, 2, "two")
    assert [header for _, header, _ in receiver.bodies] == ["Bearer first", "Bearer second"]


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Records of the trainer's log."""
    log = logging.getLogger("trainyard")
    propagate, log.propagate = log.propagate, True
    yield caplog
    log.propagate = propagate


def test_failures_are_logged_once_in_a_row_without_the_token(
    receiver: Receiver, token: Path, warnings: pytest.LogCaptureFixture
) -> None:
    receiver.status = 403
    with Reporter(target(receiver.server.server_port, token, 0.01), "run", "u") as reporter:
        for percent in range(5):
            reporter.report(Stage.TRAIN, percent, "x")
            time.sleep(0.1)
    assert len(receiver.bodies) >= 3
    (message,) = [record.getMessage() for record in warnings.records]
    assert message == (
        "progress cannot be reported (the operator answered 403); the run goes on without"
    )


@pytest.mark.parametrize("missing", ["operator", "token"])
def test_what_is_missing_never_hurts_the_run(
    token: Path, missing: str, warnings: pytest.LogCaptureFixture
) -> None:
    if missing == "token":
        token.unlink()
    with Reporter(target(9, token, 0.01), "run", "u") as reporter:
        reporter.report(Stage.TRAIN, 1, "x")
        time.sleep(0.1)
    assert len(warnings.records) == 1


def test_an_operator_that_hangs_costs_the_run_nothing_but_a_bounded_end(token: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with Reporter(target(silent.getsockname()[1], token), "run", "u") as reporter:
            for percent in range(1000):
                reporter.report(Stage.TRAIN, percent / 10, "x")
            reporting = time.monotonic() - began
        assert reporting < 1
        assert time.monotonic() - began < 15


def test_values_out_of_range_are_cut(receiver: Receiver, token: Path) -> None:
    with Reporter(target(receiver.server.server_port, token), "run", "u") as reporter:
        reporter.report(Stage.TRAIN, 250, "x" * 1000, remaining_seconds=-5)
    body = receiver.bodies[0][2]
    assert (body["percent"], len(body["message"])) == (100, 512)
    assert body["estimatedRemainingSeconds"] == 0


def heard(receiver: Receiver, token: Path, wait: Callable[[], object]) -> list[dict[str, Any]]:
    """What arrives while a step takes 1.5 seconds."""
    made = target(receiver.server.server_port, token, 0.01)
    beating = Reporter(made, "run", "u", heartbeat_seconds=0.3, cpu_seconds=time.process_time)
    with beating as reporter:
        reporter.report(Stage.TRAIN, 40, "epoch 3 of 9", remaining_seconds=100)
        wait()
        return [body for _, _, body in receiver.bodies]


def compute() -> None:
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        sum(range(10_000))


def test_the_last_report_is_repeated_while_a_step_takes_long(
    receiver: Receiver, token: Path
) -> None:
    bodies = heard(receiver, token, compute)
    assert 3 <= len(bodies) <= 6
    assert {(body["percent"], body["message"]) for body in bodies} == {(40, "epoch 3 of 9")}
    left = [body["estimatedRemainingSeconds"] for body in bodies]
    assert left == sorted(left, reverse=True)
    assert 98 <= left[-1] < left[0] == 100


def test_a_trainer_that_hangs_does_not_look_alive(receiver: Receiver, token: Path) -> None:
    assert len(heard(receiver, token, lambda: time.sleep(1.5))) == 1
