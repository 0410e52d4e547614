"""Where things lie: the cache of the machine, and the state of the one cluster in it."""

import os
from dataclasses import dataclass
from pathlib import Path

GO_MODULES = Path(__file__).resolve().parents[2] / "go"
"""Folder of the committed go.mod files, one module a folder."""

REPOSITORY = Path(__file__).resolve().parents[3]
"""Root of the clone that this code was loaded from."""


@dataclass(frozen=True)
class Cache:
    """Folders of everything that is built or downloaded once.

    Attributes
    ----------
    root : Path
        Absolute; nothing outside of it is written by builds and downloads.
    """

    root: Path

    @property
    def binaries(self) -> Path:
        """Folder of one folder a Go module and version."""
        return self.root / "bin"

    @property
    def packages(self) -> Path:
        """Folder of the unpacked Debian packages."""
        return self.root / "debian"

    @property
    def go(self) -> Path:
        """Folder of Go's toolchain (if the machine has none) and of its caches while building."""
        return self.root / "go"

    @property
    def cluster(self) -> Path:
        """State of the cluster: one a machine, for its bridges and ports are the machine's."""
        return self.root / "cluster"

    @property
    def locks(self) -> Path:
        """Folder of lock files."""
        return self.root / "locks"


def cache() -> Cache:
    """Cache of this machine and user.

    Returns
    -------
    Cache
        At ``$TRAINYARD_CACHE``, else ``$XDG_CACHE_HOME/trainyard``, else ``~/.cache/trainyard``.
    """
    if named := os.environ.get("TRAINYARD_CACHE"):
        return Cache(Path(named).absolute())
    base = os.environ.get("XDG_CACHE_HOME")
    return Cache((Path(base) if base else Path.home() / ".cache").absolute() / "trainyard")
