import os
import signal
from collections.abc import Iterator

import pytest

from trainyard_trainer.faults import Stopped
from trainyard_trainer.stopping import StopRequest


@pytest.fixture
def stop() -> Iterator[StopRequest]:
    before = signal.getsignal(signal.SIGTERM)
    made = StopRequest()
    made.install()
    yield made
    signal.signal(signal.SIGTERM, before)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_before_anything_could_be_stopped_is_remembered(stop: StopRequest) -> None:
    terminate()
    with pytest.raises(Stopped):
        stop.arm()


def test_a_signal_stops_at_once(stop: StopRequest) -> None:
    stop.arm()
    with pytest.raises(Stopped):
        terminate()


def test_a_stop_that_a_library_swallowed_comes_again_at_the_next_safe_point(
    stop: StopRequest,
) -> None:
    stop.arm()
    with pytest.raises(RuntimeError):
        try:
            terminate()
        except Stopped:
            raise RuntimeError("a dataset error, says the library") from None
    with pytest.raises(Stopped):
        stop.check()


def test_nothing_interrupts_what_is_saved_because_of_a_stop(stop: StopRequest) -> None:
    stop.arm()
    with pytest.raises(Stopped):
        terminate()
    stop.disarm()
    terminate()
    stop.check()
    assert stop.requested


def test_a_signal_after_the_end_changes_nothing(stop: StopRequest) -> None:
    stop.arm()
    stop.disarm()
    terminate()
    stop.check()


def test_what_is_done_as_a_whole_is_stopped_at_its_end(stop: StopRequest) -> None:
    stop.arm()
    done = []
    with pytest.raises(Stopped), stop.held():
        terminate()
        done.append("all of it")
    assert done


def test_what_is_done_as_a_whole_is_not_begun_after_a_stop(stop: StopRequest) -> None:
    stop.arm()
    with pytest.raises(Stopped):
        terminate()
    with pytest.raises(Stopped), stop.held():
        pytest.fail("begun")
