"""Programs under test heed interrupts, however the tests were started."""

from __future__ import annotations

import signal

# A shell that starts the tests in the background has interrupts ignored, and children inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)
