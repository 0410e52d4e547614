"""Runs the trainer as a pod would, in a process that may connect to the named addresses only.

`python guarded.py ALLOWED REPORT COMMAND...`: ALLOWED is `host:port,host:port`; every other
connection, name look-up, or start of a program is refused and written to REPORT. The audit hook
sees them below all libraries, and cannot be taken away.
"""

import os
import sys
from pathlib import Path
from typing import Any

ALLOWED = {tuple(entry.rsplit(":", 1)) for entry in sys.argv[1].split(",") if entry}
REPORT = Path(sys.argv[2])
LOOKS_FOR_LIBRARIES = {"ldconfig", "gcc", "ld", "objdump"}
"""What the standard library's ctypes starts to find a shared library."""


def guard(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect":
        address = arguments[1]
        if isinstance(address, tuple) and (str(address[0]), str(address[1])) not in ALLOWED:
            refuse(f"connect {address}")
    elif event == "socket.getaddrinfo":
        if arguments[0] not in {host for host, _ in ALLOWED}:
            refuse(f"look up {arguments[0]}")
    elif event == "subprocess.Popen" and Path(arguments[1][0]).name not in LOOKS_FOR_LIBRARIES:
        refuse(f"start {arguments[1]}")


def refuse(what: str) -> None:
    with REPORT.open("a") as file:
        file.write(what + "\n")
    raise OSError(f"refused by the test: {what}")


if __name__ == "__main__":
    sys.addaudithook(guard)
    from trainyard_trainer.main import main

    code = main(sys.argv[3:])
    sys.stdout.flush()
    os._exit(code)
