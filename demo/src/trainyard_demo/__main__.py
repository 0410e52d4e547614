"""``python -m trainyard_demo``."""

import os
import signal
import sys

from trainyard_demo.demo import Demo
from trainyard_demo.errors import DemoError
from trainyard_demo.steps import Programs, Timings
from trainyard_local.errors import LocalClusterError
from trainyard_local.paths import REPOSITORY, cache


def main() -> int:
    """Run the demo.

    Returns
    -------
    int
        Exit status: 0, 1 after a sentence on standard error, 130 when interrupted.
    """
    # A shell that starts us in the background has interrupts ignored, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def say(text: str) -> None:
        print(text, flush=True)

    timings, programs = Timings(), Programs()
    demo = Demo(REPOSITORY, cache(), dict(os.environ), say, timings, programs)
    with timings.measure("all of it"):
        status = _run(demo)
    say("\n== time")
    for line in timings.lines():
        say(f"  {line}")
    return status


def _run(demo: Demo) -> int:
    try:
        demo.run()
    except (DemoError, LocalClusterError) as error:
        print(f"\nerror: {error}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        demo.programs.stop()
        print(
            "\ninterrupted: what is done is kept, and trainings go on in the cluster; run `make "
            "demo` again to go on, or `make down` to stop everything",
            file=sys.stderr,
            flush=True,
        )
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
