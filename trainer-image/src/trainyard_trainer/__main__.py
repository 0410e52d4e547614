"""`python -m trainyard_trainer snapshot|run FILE`, or `predict`."""

from __future__ import annotations

import sys

from trainyard_trainer.main import main

sys.exit(main(sys.argv[1:]))
