"""``python -m trainyard_local.images build|load|reference``."""

import argparse
import sys

from trainyard_local.errors import LocalClusterError
from trainyard_local.images.cli import add_actions


def main() -> int:
    """Run one command.

    Returns
    -------
    int
        Exit status: 1 after a sentence on standard error.
    """
    parser = argparse.ArgumentParser(prog="python -m trainyard_local.images", description=__doc__)
    add_actions(parser)
    arguments = parser.parse_args()
    try:
        return int(arguments.func(arguments))
    except LocalClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
