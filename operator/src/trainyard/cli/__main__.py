"""`python -m trainyard.cli`, and the console scripts `trainyard` and `kubectl-trainyard`."""

from __future__ import annotations

import signal
import sys
from importlib.util import find_spec
from pathlib import Path

NEEDED = ("click", "rich", "kubernetes")


def main() -> int:
    """Run one command; 0 when it worked, 1 when it was refused or failed, 2 for wrong usage."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        print(
            f"Error: the command line needs {', '.join(missing)}: install trainyard[cli]",
            file=sys.stderr,
        )
        return 1
    _end_as_by_ctrl_c()
    from trainyard.cli.app import run

    as_plugin = Path(sys.argv[0]).name.startswith("kubectl-")
    return run(sys.argv[1:], program="kubectl trainyard" if as_plugin else "trainyard")


def _end_as_by_ctrl_c() -> None:
    """A command that is told to end clears away what it keeps in temporary folders."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # Not under nohup.
            signal.signal(number, signal.default_int_handler)


if __name__ == "__main__":
    sys.exit(main())
