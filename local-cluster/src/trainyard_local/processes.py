"""Long-running programs: started, recorded, recognised again and stopped.

A record holds the process's start time and the machine's boot beside the pid, so that a pid that
another program got since is never taken for ours, let alone killed.
"""

import contextlib
import ctypes
import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from trainyard_local.errors import LocalClusterError

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Service:
    """One program that runs until it is stopped.

    Attributes
    ----------
    name : str
        Unique in its folder; stem of its record and its log.
    command : tuple of str
        Program and arguments.
    folder : Path
        Where its record and its log go.
    environment : Mapping of str to str
        Its whole environment.
    inputs : tuple of Path
        Configuration files whose change calls for a restart.
    """

    name: str
    command: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[Path, ...] = ()

    @property
    def record(self) -> Path:
        """File that says which process it is."""
        return self.folder / f"{self.name}.pid.json"

    @property
    def log(self) -> Path:
        """File of all it prints."""
        return self.folder / f"{self.name}.log"

    def fingerprint(self) -> str:
        """Digest of all that it was started with."""
        digest = hashlib.sha256()
        for text in (*self.command, *(f"{k}={v}" for k, v in sorted(self.environment.items()))):
            digest.update(text.encode() + b"\0")
        for path in self.inputs:
            digest.update(path.read_bytes() + b"\0")
        return digest.hexdigest()


@dataclass(frozen=True)
class ProcessRecord:
    """What identifies a process for good.

    Attributes
    ----------
    pid : int
        Process ID.
    start_ticks : int
        Its start, in clock ticks since boot, as in field 22 of /proc/PID/stat.
    boot_id : str
        The boot in which `start_ticks` counts.
    fingerprint : str
        `Service.fingerprint` at its start.
    """

    pid: int
    start_ticks: int
    boot_id: str
    fingerprint: str

    def alive(self) -> bool:
        """Whether this very process runs (a zombie does not)."""
        found = process_start(self.pid)
        return self.boot_id == current_boot() and found == self.start_ticks


def current_boot() -> str:
    """ID of the machine's current boot."""
    return BOOT_ID.read_text(encoding="ascii").strip()


def process_start(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot.

    Parameters
    ----------
    pid : int
        Process ID.

    Returns
    -------
    int or None
        None when there is no such process, or only its zombie.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return parse_start(text)


def parse_start(stat: str) -> int | None:
    """Start time in a line of /proc/PID/stat.

    Parameters
    ----------
    stat : str
        The line; the program's name in it may hold spaces and parentheses.

    Returns
    -------
    int or None
        None for a zombie or a dead process.
    """
    fields = stat[stat.rindex(")") + 2 :].split()
    return None if fields[0] in {"Z", "X"} else int(fields[19])


def read_record(service: Service) -> ProcessRecord | None:
    """Record of a service, None when it was never started (or stopped in order)."""
    try:
        return ProcessRecord(**json.loads(service.record.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        # A half-written record cannot be: it is renamed into place. Someone edited it.
        raise LocalClusterError(
            f"{service.record} is not a record of a process: stop {service.name} by hand if it "
            "runs, and delete the file"
        ) from None


def restarted(command: tuple[str, ...]) -> tuple[str, ...]:
    """Command that starts another whenever it ends, until it is asked to end itself (SIGTERM).

    Parameters
    ----------
    command : tuple of str
        What to start. The kernel kills it when its starter is killed.
    """
    # `wait` ends when a signal comes; an assignment in front of the loop would be too late.
    script = (
        'trap "kill \\$!; wait \\$!; exit 0" TERM; '
        'while :; do setpriv --pdeathsig KILL -- "$@" & wait $!; sleep 1; done'
    )
    return ("sh", "-c", script, "restarted", *command)


def is_running(service: Service) -> bool:
    """Whether the recorded process of a service lives."""
    record = read_record(service)
    return record is not None and record.alive()


def start(service: Service, *, dies_with_parent: bool = False) -> bool:
    """Start a service unless it runs as wanted; restart one that runs with other inputs.

    Parameters
    ----------
    service : Service
        What to run.
    dies_with_parent : bool
        Let the kernel kill it when the calling process ends, however that ends.

    Returns
    -------
    bool
        Whether a process was started.
    """
    fingerprint = service.fingerprint()
    record = read_record(service)
    if record is not None and record.alive():
        if record.fingerprint == fingerprint:
            return False
        stop(service)
    service.folder.mkdir(parents=True, exist_ok=True)
    with service.log.open("ab") as log:
        process = subprocess.Popen(
            service.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(service.environment),
            cwd=service.folder,
            start_new_session=True,
            preexec_fn=_die_with_parent() if dies_with_parent else None,  # noqa: PLW1509
        )
    ticks = process_start(process.pid)
    if ticks is None:
        process.wait()
        raise LocalClusterError(ended_sentence(service))
    written = ProcessRecord(process.pid, ticks, current_boot(), fingerprint)
    unfinished = service.record.with_suffix(".new")
    unfinished.write_text(json.dumps(asdict(written)), encoding="utf-8")
    unfinished.rename(service.record)
    return True


def stop(service: Service, *, patience_s: float | None = 10.0) -> None:
    """Ask a service to end, wait, kill it when it does not, and drop its record.

    Parameters
    ----------
    service : Service
        What to stop; nothing happens when it does not run.
    patience_s : float or None
        Seconds between SIGTERM and SIGKILL, zero or more; None sends SIGKILL at once.
    """
    record = read_record(service)
    if record is not None:
        asked = [] if patience_s is None else [(signal.SIGTERM, patience_s)]
        for number, wait_s in (*asked, (signal.SIGKILL, 10.0)):
            if not record.alive():
                break
            with contextlib.suppress(ProcessLookupError):
                os.kill(record.pid, number)
            _wait_gone(record, wait_s)
        # Our own child stays a zombie until it is waited for.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(record.pid, os.WNOHANG)
        if record.alive():
            raise LocalClusterError(
                f"process {record.pid} ({service.name}) does not end on SIGKILL: it hangs in the "
                "kernel; look at its mounts and disks"
            )
    service.record.unlink(missing_ok=True)


def kill(service: Service) -> None:
    """Kill a service as nobody asks before: SIGKILL, and nothing else.

    Parameters
    ----------
    service : Service
        What to kill; nothing happens when it does not run. What it started lives on.
    """
    stop(service, patience_s=None)


def wait_until(
    ready: Callable[[], bool], services: Iterable[Service], what: str, timeout_s: float
) -> None:
    """Wait for a condition while the services that it needs live.

    Parameters
    ----------
    ready : callable
        Asked about ten times a second.
    services : iterable of Service
        When one of them has ended, waiting is pointless.
    what : str
        What is waited for, for the sentence.
    timeout_s : float
        Seconds until giving up, above zero.

    Raises
    ------
    LocalClusterError
        When a service ended or time ran out, with the last line of the log.
    """
    needed = tuple(services)
    deadline = time.monotonic() + timeout_s
    while not ready():
        for service in needed:
            if not is_running(service):
                raise LocalClusterError(ended_sentence(service))
        if time.monotonic() > deadline:
            logs = ", ".join(str(service.log) for service in needed)
            raise LocalClusterError(f"{what} was not ready after {timeout_s:.0f} s: read {logs}")
        time.sleep(0.1)


def ended_sentence(service: Service) -> str:
    """Sentence about a service that ended by itself.

    Parameters
    ----------
    service : Service
        It has a log.
    """
    try:
        lines = service.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except FileNotFoundError:
        lines = []
    last = lines[-1][:300] if lines else "it printed nothing"
    return f"{service.name} ended by itself: {last}; the whole log is {service.log}"


def _wait_gone(record: ProcessRecord, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while record.alive() and time.monotonic() < deadline:
        time.sleep(0.02)


def _die_with_parent() -> Callable[[], None]:
    # Loaded before the fork: between fork and exec nothing may be imported.
    library = ctypes.CDLL(None)

    def ask_kernel() -> None:
        library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    return ask_kernel
