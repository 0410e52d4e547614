"""What a person in a terminal sees, and what a log file gets."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

SCRIPT = """
import logging
from trainyard.api.report import EpochReport, Stage
from trainyard_trainer import console
from trainyard_trainer.progress import Reporter

console.begin()
log = logging.getLogger("trainyard")
with Reporter(None, "run", "u") as reporter:
    reporter.report(Stage.PREPARE, 3, "unpacked [2] of 8 images")
    log.info("train: [bold]16 images[/bold], key canary-secret-4711")
    history = (EpochReport(epoch=1, dev_accuracy=0.5),)
    reporter.report(
        Stage.TRAIN, 40, "epoch 2 of 5", epoch=1, epochs=5, remaining_seconds=75, history=history
    )
    log.warning("something to know")
    reporter.report(Stage.PUBLISH, 100, "published")
"""
ENVIRONMENT = os.environ | {"AWS_SECRET_ACCESS_KEY": "canary-secret-4711", "TERM": "xterm"}


def in_a_terminal() -> str:
    master, slave = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=slave, stderr=slave, env=ENVIRONMENT
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:
            break
        if not part:
            break
        shown += part
    assert child.wait() == 0
    return shown.decode()


def test_a_terminal_has_a_bar_with_metric_and_time_left_and_lines_above_it() -> None:
    shown = in_a_terminal()
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    assert re.search(r"unpacked \[2\] of 8 images .*3%", plain)
    assert re.search(r"epoch 2 of 5 .*40% dev 0\.5000, 1:15 left", plain)
    assert "train: [bold]16 images[/bold], key ***" in plain
    assert "WARNING: something to know" in plain
    # The bar goes away, and the cursor comes back.
    assert shown.rstrip().endswith("\x1b[2K") or "\x1b[?25h" in shown[-40:]


def test_elsewhere_there_are_lines_with_a_time_and_no_bar() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = done.stdout.splitlines()
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    assert re.fullmatch(rf"{stamp} INFO train: \[bold\]16 images\[/bold\], key \*\*\*", first)
    assert re.fullmatch(rf"{stamp} WARNING something to know", second)
    assert "\x1b" not in done.stdout + done.stderr
