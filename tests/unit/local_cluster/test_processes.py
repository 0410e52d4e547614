import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from trainyard_local import processes
from trainyard_local.errors import LocalClusterError
from trainyard_local.processes import Service


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service("sleeper", ("/bin/sleep", "60"), tmp_path)
    yield made
    processes.stop(made, patience_s=1)


def pid_of(service: Service) -> int:
    record = processes.read_record(service)
    assert record is not None
    return record.pid


def test_starting_twice_leaves_the_first_process_alone(service: Service) -> None:
    assert processes.start(service)
    first = pid_of(service)

    assert not processes.start(service)
    assert pid_of(service) == first


def test_stopping_ends_the_process_and_drops_its_record(service: Service) -> None:
    processes.start(service)
    pid = pid_of(service)

    processes.stop(service)

    assert processes.process_start(pid) is None
    assert not service.record.exists()


def test_a_process_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    script = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
    stubborn = Service("stubborn", ("/bin/sh", "-c", script), tmp_path)
    processes.start(stubborn)
    processes.wait_until(lambda: "ready" in stubborn.log.read_text(), [stubborn], "it", 10)
    pid = pid_of(stubborn)

    processes.stop(stubborn, patience_s=0.2)

    assert processes.process_start(pid) is None


def test_a_recycled_pid_is_neither_taken_for_ours_nor_killed(service: Service) -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as stranger:
        # The kernel counts starts in hundredths of a second; a pid is recycled later than that.
        time.sleep(0.05)
        processes.start(service)
        ours = pid_of(service)
        record = json.loads(service.record.read_text())
        service.record.write_text(json.dumps({**record, "pid": stranger.pid}))

        assert not processes.is_running(service)
        processes.stop(service)

        assert stranger.poll() is None
        stranger.kill()
    os.kill(ours, signal.SIGKILL)
    os.waitpid(ours, 0)


def test_a_record_of_an_earlier_boot_is_of_no_process(service: Service) -> None:
    processes.start(service)
    record = processes.read_record(service)
    assert record is not None

    assert record.alive()
    assert not replace(record, boot_id="another").alive()


def test_changed_configuration_restarts_a_service(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("one")
    service = Service("sleeper", ("/bin/sleep", "60"), tmp_path, inputs=(config,))
    processes.start(service)
    first = pid_of(service)
    config.write_text("two")

    assert processes.start(service)
    assert pid_of(service) != first
    processes.stop(service)


def test_waiting_ends_at_once_with_the_last_line_of_a_service_that_ended(tmp_path: Path) -> None:
    failing = Service(
        "failing", ("/bin/sh", "-c", "echo no such flag; sleep 0.2; exit 1"), tmp_path
    )
    processes.start(failing)
    start = time.monotonic()

    with pytest.raises(LocalClusterError, match="failing ended by itself: no such flag; the whole"):
        processes.wait_until(lambda: False, [failing], "it", 30)
    assert time.monotonic() - start < 5
    processes.stop(failing)


def test_waiting_gives_up_and_names_the_log(service: Service) -> None:
    processes.start(service)

    with pytest.raises(LocalClusterError, match=r"the thing was not ready after 0 s: read .*\.log"):
        processes.wait_until(lambda: False, [service], "the thing", 0.2)


def test_a_record_that_is_none_is_told_with_what_to_do(service: Service) -> None:
    service.record.write_text("{}")

    with pytest.raises(LocalClusterError, match="not a record of a process"):
        processes.is_running(service)
    service.record.unlink()


def test_the_start_time_is_read_behind_a_name_with_spaces_and_parentheses() -> None:
    fields = " ".join(str(number) for number in range(4, 30))

    assert processes.parse_start(f"12 (a) b (c) S {fields}") == 22
    assert processes.parse_start(f"12 (a) b (c) Z {fields}") is None


def test_a_service_of_a_test_dies_with_the_killed_test(tmp_path: Path) -> None:
    code = f"""
        import os, pathlib, signal
        from trainyard_local import processes
        service = processes.Service("s", ("/bin/sleep", "60"), pathlib.Path({str(tmp_path)!r}))
        processes.start(service, dies_with_parent=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    left = Service("s", ("/bin/sleep", "60"), tmp_path)

    deadline = time.monotonic() + 5
    while processes.is_running(left) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not processes.is_running(left)


def test_what_ends_by_itself_is_started_again_and_ends_with_its_starter(tmp_path: Path) -> None:
    # Each start leaves a line; the first ends at once, the second stays.
    script = 'echo $$ >> started; [ "$(wc -l < started)" -gt 1 ] && exec sleep 60 || exit 1'
    for end in (processes.stop, processes.kill):
        service = Service(
            "twice",
            processes.restarted(("sh", "-c", script)),
            tmp_path / end.__name__,
            dict(os.environ),
        )
        processes.start(service)
        log = service.folder / "started"
        deadline = time.monotonic() + 20
        while not log.is_file() or len(log.read_text().split()) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        child = int(log.read_text().split()[1])
        assert processes.process_start(child) is not None

        end(service)

        while processes.process_start(child) is not None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
