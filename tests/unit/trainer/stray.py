"""Does what a trainer must not: `python -m tests.unit.trainer.stray WHAT`, under the guard."""

import ctypes.util
import multiprocessing
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable

ELSEWHERE = ("127.0.0.1", 9)


def datagram() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", ELSEWHERE)


def in_a_forked_process() -> None:
    worker = multiprocessing.get_context("fork").Process(
        target=socket.create_connection, args=(ELSEWHERE,)
    )
    worker.start()
    worker.join()


DEEDS: dict[str, Callable[[], object]] = {
    "connect": lambda: socket.create_connection(ELSEWHERE),
    "connect by a library": lambda: urllib.request.urlopen("http://127.0.0.1:9/model.pt"),
    "look up": lambda: socket.getaddrinfo("example.invalid", 443),
    "datagram": datagram,
    "connect in a loader process": in_a_forked_process,
    "program": lambda: subprocess.run(["/bin/true"], check=False),
    "shell": lambda: os.system("/bin/true"),
    "spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "nothing": lambda: ctypes.util.find_library("c"),
}

if __name__ == "__main__":
    try:
        DEEDS[sys.argv[1]]()
    except OSError as error:
        # A library may well hide it: the report is what counts.
        print(error)
