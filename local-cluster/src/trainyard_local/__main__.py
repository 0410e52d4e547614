"""``python -m trainyard_local``."""

import sys

from trainyard_local.cli import main

sys.exit(main())
