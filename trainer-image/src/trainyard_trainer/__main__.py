"""`python -m trainyard_trainer COMMAND ...`."""

from __future__ import annotations

import sys

from trainyard_trainer.stopping import StopRequest

stop = StopRequest()
stop.install()

from trainyard_trainer.main import main  # noqa: E402 -- reading it takes a while: see StopRequest

sys.exit(main(sys.argv[1:], stop))
