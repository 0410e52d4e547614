"""Curves in the store while a run goes on: when they are renewed, and that they hurt nothing."""

from __future__ import annotations

import io
import json
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.unit.trainer.hindered import door
from tests.unit.trainer.pods import Bench, Ended, sealed
from tests.unit.trainer.test_checkpoints import epochs_in, going_on, place, signal_at
from tests.unit.trainer.test_keeper import RUN
from trainyard.api.report import EpochReport, ExitCode
from trainyard.api.run import RunFile
from trainyard.stores import AccessDenied, Store, join, verify_manifest
from trainyard.stores.folder import FolderStore
from trainyard_trainer import live
from trainyard_trainer.checkpoint import write_history
from trainyard_trainer.live import LiveCurves

NAMES = ("metrics.jsonl", "curves.png")


def told_of(store: Store, output: str) -> tuple[list[int], str]:
    """Epochs in the lines, and what the picture says of itself."""
    lines = store.read_bytes(join(output, "metrics.jsonl")).decode().splitlines()
    with Image.open(io.BytesIO(store.read_bytes(join(output, "curves.png")))) as picture:
        picture.load()
        words = str(picture.text["Description"])  # type: ignore[attr-defined]
    return [json.loads(line)["epoch"] for line in lines], words


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


class Shelf(FolderStore):
    """A folder as a store, which a test looks over the shoulder of."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.before: Callable[[str], None] = lambda name: None

    def write_bytes(self, uri: str, data: bytes, *, if_absent: bool = False) -> Any:
        name = uri.rpartition("/")[2]
        self.before(name)
        stored = super().write_bytes(uri, data, if_absent=if_absent)
        self.written.append(name)
        return stored


@dataclass
class Training:
    """Epochs without an engine."""

    folder: Path
    every: float
    share: float
    store: Shelf = field(default_factory=Shelf)
    history: list[EpochReport] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.output = f"file://{self.folder}/output"
        self.lines = self.folder / "lines"
        run = RunFile.model_validate(RUN | {"output": self.output})
        times = (self.every, self.share)
        self.live = LiveCurves(self.store, run, "top-1", self.history, self.lines, *times)

    def epoch(self) -> None:
        self.history.append(EpochReport(epoch=len(self.history) + 1, dev_accuracy=0.5))
        write_history(self.lines, self.history)
        self.live.renew()

    @property
    def renewals(self) -> int:
        return self.store.written.count("curves.png")


@pytest.fixture
def training(tmp_path: Path) -> Callable[..., Training]:
    made: list[Training] = []

    def make(every: float = 0.0, share: float = 1e6) -> Training:
        made.append(Training(tmp_path, every, share))
        return made[-1]

    yield make
    for one in made:
        one.live.close()


def test_the_first_epoch_is_there_at_once_and_later_ones_wait_for_their_time_together(
    training: Callable[..., Training],
) -> None:
    made = training(every=3.0)
    made.epoch()
    wait_until(lambda: made.renewals == 1)
    assert told_of(made.store, made.output) == (
        [1],
        "tiny: learning curves of epochs 1 to 1 so far",
    )
    for _ in range(5):
        made.epoch()
        time.sleep(0.02)
    assert made.renewals == 1
    wait_until(lambda: made.renewals == 2)
    assert told_of(made.store, made.output)[0] == [1, 2, 3, 4, 5, 6]
    time.sleep(0.2)
    assert made.store.written == [*NAMES, *NAMES]


def test_what_costs_much_is_done_more_rarely(training: Callable[..., Training]) -> None:
    # A picture takes 50 ms of a CPU or more, and may take 2% of one.
    made = training(share=0.02)
    made.epoch()
    wait_until(lambda: made.renewals == 1)
    made.epoch()
    time.sleep(0.8)
    assert made.renewals == 1
    wait_until(lambda: made.renewals == 2, 60)


def test_training_goes_on_while_the_store_hangs_and_no_renewals_queue_up(
    training: Callable[..., Training],
) -> None:
    made, go_on, begun = training(), threading.Event(), []

    def hang(name: str) -> None:
        begun.append(name)
        assert go_on.wait(20)

    made.store.before = hang
    made.epoch()
    wait_until(lambda: begun == ["metrics.jsonl"])
    began = time.monotonic()
    for _ in range(100):
        made.epoch()
    assert time.monotonic() - began < 5
    assert [thread.name for thread in threading.enumerate()].count("curves") == 1
    go_on.set()
    made.live.finish()
    made.live.wait()
    assert told_of(made.store, made.output)[0] == list(range(1, 102))
    assert made.renewals == 2


def test_once_closed_nothing_is_written_not_even_what_was_on_its_way(
    training: Callable[..., Training],
) -> None:
    made, reached, go_on = training(), threading.Event(), threading.Event()

    def hang(name: str) -> None:
        reached.set()
        assert go_on.wait(20)

    made.store.before = hang
    made.epoch()
    assert reached.wait(20)
    closing = threading.Thread(target=made.live.close)
    closing.start()
    closing.join(0.2)
    assert closing.is_alive()
    go_on.set()
    closing.join(20)
    # The lines were being sent; the picture was not.
    assert made.store.written == ["metrics.jsonl"]
    made.epoch()
    made.live.finish()
    made.live.wait()
    assert made.store.written == ["metrics.jsonl"]


def test_the_end_does_not_wait_for_the_time_of_the_last_epochs(
    training: Callable[..., Training],
) -> None:
    made = training(every=300.0)
    made.epoch()
    wait_until(lambda: made.renewals == 1)
    made.epoch()
    began = time.monotonic()
    made.live.finish()
    made.live.wait()
    assert time.monotonic() - began < 5
    assert told_of(made.store, made.output)[0] == [1, 2]


def test_a_store_that_refuses_is_one_line_in_the_log_and_asked_again(
    training: Callable[..., Training], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, refused, said = training(every=0.05), [], []
    monkeypatch.setattr(live._log, "warning", lambda text, error: said.append(text % error))

    def refuse(name: str) -> None:
        if len(refused) < 3:
            refused.append(name)
            raise AccessDenied("the store refuses access")

    made.store.before = refuse
    made.epoch()
    # No other epoch is needed for it to be tried again.
    wait_until(lambda: made.renewals == 1)
    assert len(refused) == 3
    assert said == ["the curves so far are not in the store: the store refuses access"]


def test_a_finished_run_in_its_place_is_left_alone(training: Callable[..., Training]) -> None:
    # Another container of the same attempt was faster.
    made = training()
    made.store.write_bytes(f"{made.output}/manifest.json", b"{}")
    made.epoch()
    made.live.finish()
    made.live.wait()
    assert made.store.written == ["manifest.json"]


def test_a_line_that_is_just_being_written_is_left_out(training: Callable[..., Training]) -> None:
    made = training()
    made.history.append(EpochReport(epoch=1))
    write_history(made.lines, made.history)
    with made.lines.open("a") as lines:
        lines.write('{"epoch": 2, "dev')
    made.live.renew()
    made.live.finish()
    made.live.wait()
    assert told_of(made.store, made.output)[0] == [1]


def endless(bench: Bench, **changes: Any) -> dict[str, Any]:
    template = bench.template("yolo-cls", epochs=1000, patience=0)
    return bench.document("yolo-cls", template=template, **changes)


@dataclass(frozen=True)
class Stopped:
    """A run that was read in its middle, and then told to stop."""

    document: dict[str, Any]
    seen: tuple[list[int], str]
    ended: Ended


@pytest.fixture(scope="module")
def stopped(bench: Bench) -> Stopped:
    document = endless(bench)
    process = bench.start("run", sealed(document))
    output = document["output"]
    assert process.stdout is not None
    for line in process.stdout:
        if "curves.png is at" in line:
            break
    seen = told_of(bench.store, output)
    # Some epochs later, most likely before the next renewal.
    for line in process.stdout:
        if any(number >= seen[0][-1] + 3 for number in epochs_in(line)):
            break
    process.send_signal(signal.SIGTERM)
    return Stopped(document, seen, bench.finish(process))


def test_curves_of_a_running_run_are_in_the_store(stopped: Stopped) -> None:
    epochs, words = stopped.seen
    assert epochs == list(range(1, len(epochs) + 1))
    assert words.startswith("tiny-yolo-cls: learning curves of epochs 1 to ")
    assert words.endswith(" so far")
    assert stopped.ended.forbidden_calls == ""


def test_a_stopped_run_leaves_the_curves_of_all_its_epochs(stopped: Stopped, bench: Bench) -> None:
    assert stopped.ended.code == ExitCode.STOPPED, stopped.ended.output
    output = stopped.document["output"]
    done = epochs_in(bench.store.read_bytes(join(output, "train.log")).decode())
    assert len(done) > len(stopped.seen[0])
    assert told_of(bench.store, output) == (
        done,
        f"tiny-yolo-cls: learning curves of epochs 1 to {done[-1]} so far",
    )


def test_the_next_attempt_shows_the_epochs_before_it_and_those_of_its_own(
    stopped: Stopped, bench: Bench, run_here: Callable[[str], Ended]
) -> None:
    output = stopped.document["output"]
    done = told_of(bench.store, output)[0]
    document = going_on(stopped.document, bench.store, place(output, done[-1]))
    with signal_at(f"epoch {done[-1] + 1} of"):
        ended = run_here(sealed(document))
    assert ended.code == ExitCode.STOPPED, ended.output
    assert told_of(bench.store, document["output"])[0] == [*done, done[-1] + 1]


def test_an_attempt_that_is_stopped_before_it_trains_shows_the_epochs_before_it(
    stopped: Stopped, bench: Bench, run_here: Callable[[str], Ended]
) -> None:
    output = stopped.document["output"]
    done = told_of(bench.store, output)[0]
    document = going_on(stopped.document, bench.store, place(output, done[-1]))
    document["output"] += "-at-once"
    with signal_at("prepare: fetching"):
        ended = run_here(sealed(document))
    assert ended.code == ExitCode.STOPPED, ended.output
    assert told_of(bench.store, document["output"])[0] == done


def test_an_upload_that_was_late_does_not_spoil_what_is_published(
    bench: Bench, run_here: Callable[[str], Ended]
) -> None:
    published, held = threading.Event(), []

    def look(method: str, name: str) -> bool:
        if (method, name) == ("PUT", "manifest.json"):
            published.set()
        if (method, name) == ("PUT", "metrics.jsonl") and not held:
            held.append(name)
            published.wait(10)
        return True

    with door(bench.server, look) as way:
        document = bench.document("yolo-cls", store={"endpoint_url": way.endpoint_url})
        ended = run_here(sealed(document))
        time.sleep(1)
    assert ended.code == ExitCode.OK, ended.output
    assert held
    manifest = verify_manifest(bench.store, document["output"], ended.words.manifest_sha256)
    assert set(NAMES) <= {file.name for file in manifest.files}
    epochs, words = told_of(bench.store, document["output"])
    assert epochs == [1, 2]
    assert "so far" not in words


def test_a_store_that_refuses_the_curves_does_not_hurt_the_run(
    bench: Bench, run_here: Callable[[str], Ended]
) -> None:
    refused: list[str] = []

    def look(method: str, name: str) -> bool:
        if method == "PUT" and name in NAMES and ("PUT", "model.pth") not in way.passed:
            refused.append(name)
            return False
        return True

    with door(bench.server, look) as way:
        document = bench.document("yolo-cls", store={"endpoint_url": way.endpoint_url})
        ended = run_here(sealed(document))
    assert ended.code == ExitCode.OK, ended.output
    assert refused
    assert ended.output.count("the curves so far are not in the store: ") == 1
    verify_manifest(bench.store, document["output"], ended.words.manifest_sha256)


def test_a_store_that_hangs_on_the_curves_does_not_keep_a_stop_from_its_checkpoint(
    bench: Bench, run_here: Callable[[str], Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_PATIENCE_SECONDS", 0.5)
    over = threading.Event()

    def look(method: str, name: str) -> bool:
        return (method, name) != ("PUT", "curves.png") or not over.wait(25)

    try:
        with door(bench.server, look) as way:
            document = endless(bench, store={"endpoint_url": way.endpoint_url})
            with signal_at("epoch 3 of 1000"):
                ended = run_here(sealed(document))
            over.set()
    finally:
        over.set()
    assert ended.code == ExitCode.STOPPED, ended.output
    assert "the checkpoint of epoch 3 is at" in ended.words.message
    assert bench.store.stat(join(document["output"], "train.log"))
