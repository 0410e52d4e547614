"""Runs a module as a pod would, in a process that may connect to the named addresses only.

`python guarded.py ALLOWED REPORT MODULE ARGUMENT...`: ALLOWED is `host:port,host:port`; every other
connection, name look-up, datagram, or start of a program is refused and written to REPORT. The
audit hook sees them below all libraries of Python, cannot be taken away, and is passed on to forked
processes.
"""

import os
import runpy
import sys
from pathlib import Path
from typing import Any

ALLOWED = {tuple(entry.rsplit(":", 1)) for entry in sys.argv[1].split(",") if entry}
REPORT = Path(sys.argv[2])
LOOKS_FOR_LIBRARIES = {"ldconfig", "gcc", "ld", "objdump"}
"""What the standard library's ctypes starts to find a shared library."""
LOOK_UPS = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}
PROGRAMS = {"os.system", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn"}


def guard(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        if isinstance(address, tuple) and (str(address[0]), str(address[1])) not in ALLOWED:
            refuse(f"connect {address}")
    elif event in LOOK_UPS:
        if arguments[0] not in {host for host, _ in ALLOWED}:
            refuse(f"look up {arguments[0]}")
    elif event == "subprocess.Popen":
        if Path(os.fsdecode(arguments[1][0])).name not in LOOKS_FOR_LIBRARIES:
            refuse(f"start {arguments[1]}")
    elif event in PROGRAMS:
        refuse(f"start {arguments[0]}")


def refuse(what: str) -> None:
    with REPORT.open("a") as file:
        file.write(what + "\n")
    raise OSError(f"refused by the test: {what}")


if __name__ == "__main__":
    sys.addaudithook(guard)
    sys.argv = sys.argv[3:]
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        code: Any = 0
    except SystemExit as end:
        code = end.code
    sys.stdout.flush()
    os._exit(code or 0)
