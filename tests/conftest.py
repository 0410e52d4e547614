"""What all tests need of the process that they run in."""

from __future__ import annotations

import signal

# A shell that puts a command into the background has it ignore Ctrl-C, and its children with it:
# then the commands that are to be interrupted would not be.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
