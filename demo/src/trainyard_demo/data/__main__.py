"""``python -m trainyard_demo.data``: the images of the examples as folders of this machine.

For example ``python -m trainyard_demo.data tree-crowns --into images`` makes
``images/examples/tree-crowns/train`` and so on: what the Datasets under ``examples/`` read, where
``images`` stands for the bucket ``trainyard``.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from trainyard_demo.data.prepare import Prepared, prepare
from trainyard_demo.data.sets import SETS
from trainyard_demo.data.sources import find_uv
from trainyard_demo.errors import DemoError
from trainyard_demo.store import PREFIX
from trainyard_local.paths import REPOSITORY, cache


def main() -> int:
    """Make the images.

    Returns
    -------
    int
        Exit status: 0, 1 after a sentence on standard error.
    """
    parser = argparse.ArgumentParser(prog="python -m trainyard_demo.data", description=__doc__)
    parser.add_argument(
        "sets", nargs="+", choices=sorted(SETS), metavar="SET", help=", ".join(SETS)
    )
    parser.add_argument("--into", type=Path, required=True, help="a folder")
    parsed = parser.parse_args()
    try:
        uv = find_uv(os.environ, REPOSITORY)
        _copy(prepare(cache().root / "data", uv, parsed.sets), parsed.sets, parsed.into / PREFIX)
    except DemoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _copy(made: Prepared, names: Sequence[str], into: Path) -> None:
    for name in names:
        target = into / name
        if target.exists():
            raise DemoError(f"{target} is there already: remove it, or give another folder")
        shutil.copytree(made.folder / name, target)
        print(f"{target}: {sum(1 for file in made.files if file.startswith(f'{name}/'))} files")


if __name__ == "__main__":
    sys.exit(main())
