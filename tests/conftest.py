"""What all tests need of the process that they run in."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile

# A shell that puts a command into the background has it ignore Ctrl-C, and its children with it:
# then the commands that are to be interrupted would not be.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _temporary_files_of_our_own() -> None:
    """Gather what this process and its children put into temporary folders, and remove it.

    Many tests kill what they started, which then clears nothing away.
    """
    # Where pytest keeps the folders of the last runs, to be looked at.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    folder, owner = tempfile.mkdtemp(prefix="trainyard-tests-"), os.getpid()
    os.environ["TMPDIR"] = tempfile.tempdir = folder

    def remove() -> None:
        if os.getpid() == owner:  # Not a fork of it, which is over before it.
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)


_temporary_files_of_our_own()
