"""Operators that start in a fraction of a second: forked from a process that has imported all.

`python -m trainyard.operator` takes two seconds of a core, most of it for imports. The nursery is
a process that has done them and waits; for each operator it forks a child that calls the same
`main` with an environment, a log and a session of its own. A child is killed, paused and asked to
end as any process.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.operator_process import OperatorProcess
from support.waiting import eventually
from trainyard_local.processes import process_start
from trainyard_local.web import ask

_PR_SET_PDEATHSIG = 1


class Nursery:
    """The process that operators are forked from."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        environment = {
            key: os.environ[key]
            for key in ("PATH", "HOME", "PYTHONPATH", "TMPDIR")
            if key in os.environ
        }
        folder = str(Path(__file__).resolve().parents[1])
        paths = [environment.get("PYTHONPATH", ""), folder]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.forked_operator"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
            bufsize=1,
        )

    def fork(self, environment: dict[str, str], folder: Path) -> int:
        """Start an operator; gives its process ID."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"environment": environment, "folder": str(folder)}
        with self._lock:
            self._process.stdin.write(json.dumps(order) + "\n")
            answer = self._process.stdout.readline()
        assert answer, "the process that operators are forked from has ended"
        return int(answer)

    def stop(self) -> None:
        """End it; its operators die with it."""
        with contextlib.suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait(10)


@dataclass
class ForkedOperator(OperatorProcess):
    """An operator that a nursery starts.

    Attributes
    ----------
    nursery
        Where it comes from.
    """

    nursery: Nursery = field(kw_only=True)
    pid: int = field(default=0, init=False)
    starts: int = field(default=0, init=False)
    """How often it was started."""
    _ticks: int | None = field(default=None, init=False)

    def start(self) -> ForkedOperator:
        """Start it unless it runs, and wait until it is ready."""
        self.launch()
        probe = f"http://127.0.0.1:{self.health_port}/readyz"
        eventually(
            "the operator being ready",
            lambda: ask(probe).ok or not self.running(),
            within=40,
            every=0.05,
            seen=lambda: self.log()[-2000:],
        )
        assert self.running(), "the operator ended by itself: " + self.log()[-2000:]
        return self

    def launch(self) -> None:
        """Start it unless it runs; do not wait."""
        if self.running():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self.write_settings()
        self.pid = self.nursery.fork(self.environment(), self.folder)
        self.starts += 1
        self._ticks = process_start(self.pid)

    def stop(self) -> None:
        """End it at once: what it did is looked at by those who ask it to end."""
        if self.running():
            self.kill()

    def kill(self) -> None:
        """End it at once: kill -9."""
        assert self.running(), "the operator ended by itself: " + self.log()[-2000:]
        os.kill(self.pid, signal.SIGKILL)
        # Until its last thread is gone: the first one is gone before the ports are free.
        while Path(f"/proc/{self.pid}").exists():
            time.sleep(0.001)

    def terminate_gently(self) -> None:
        """Ask it to end, SIGTERM, and wait until it has."""
        os.kill(self.pid, signal.SIGTERM)
        eventually("the end of the operator", lambda: not Path(f"/proc/{self.pid}").exists())

    def pause(self) -> None:
        """Stop it where it is: SIGSTOP."""
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let a paused one go on where it was."""
        os.kill(self.pid, signal.SIGCONT)

    def running(self) -> bool:
        """Whether it lives, paused or not."""
        return self._ticks is not None and process_start(self.pid) == self._ticks


def _serve() -> None:
    """Fork an operator for each line of stdin, until that is closed."""
    # Imported here and nowhere above: this is what takes the time.
    from kubernetes.config import kube_config

    import trainyard.operator.__main__ as entry

    # Children are not waited for; the kernel clears them away.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    parent = os.getpid()
    while line := os.read(0, 1 << 16):
        for order in filter(None, line.split(b"\n")):
            pid = os.fork()
            if pid == 0:
                told = json.loads(order)
                # The client library looks at KUBECONFIG when it is imported, so once for all.
                kube_config.KUBE_CONFIG_DEFAULT_LOCATION = told["environment"]["KUBECONFIG"]
                _become(entry, told, parent)
            os.write(1, f"{pid}\n".encode())


def _become(entry: Any, order: dict[str, Any], parent: int) -> None:
    code = 70
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            return
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        os.chdir(order["folder"])
        log = os.open("operator.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ.clear()
        os.environ.update(order["environment"])
        random.seed()
        code = entry.main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
