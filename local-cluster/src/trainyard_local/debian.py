"""Programs of the nodes from Debian packages, unpacked into the cache: nothing is installed."""

import hashlib
import platform
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainyard_local.errors import LocalClusterError
from trainyard_local.images.packages import unpack
from trainyard_local.locks import exclusive
from trainyard_local.paths import Cache
from trainyard_local.progress import Reporter

PACKAGES = (
    "busybox-static",
    "containerd",
    "containernetworking-plugins",
    "nftables",
    "runc",
)
PROGRAMS = ("containerd", "containerd-shim-runc-v2", "ctr", "nft", "runc")
CNI_PLUGINS = ("host-local", "loopback", "ptp")


@dataclass(frozen=True)
class NodePrograms:
    """Unpacked programs of the nodes.

    Attributes
    ----------
    root : Path
        Where the packages are unpacked.
    """

    root: Path

    @property
    def commands(self) -> Path:
        """Folder of starters that find the unpacked libraries: what goes on ``PATH``."""
        return self.root / "commands"

    @property
    def cni_plugins(self) -> Path:
        """Folder of the network plugins."""
        return self.root / "usr" / "lib" / "cni"

    @property
    def busybox(self) -> Path:
        """A busybox that needs no library."""
        return self.root / "bin" / "busybox"

    def __getitem__(self, name: str) -> Path:
        return self.commands / name


def node_programs(place: Cache, reporter: Reporter) -> NodePrograms:
    """Find the unpacked packages, or download and unpack them.

    Parameters
    ----------
    place : Cache
        Where they are kept.
    reporter : Reporter
        Told about the download.

    Returns
    -------
    NodePrograms
        With every program of `PROGRAMS` and `CNI_PLUGINS`.

    Raises
    ------
    LocalClusterError
        When a package cannot be had or lacks a program.
    """
    # Where the machine has no `ip`, take that one too; where it has, its own is the right one.
    packages = PACKAGES if shutil.which("ip") else (*PACKAGES, "iproute2")
    programs = PROGRAMS if shutil.which("ip") else (*PROGRAMS, "ip")
    found = NodePrograms(place.packages / packages_key(packages, _release()))
    if found.root.is_dir():
        return found
    with exclusive(place.locks / "debian.lock", reporter.say):
        if not found.root.is_dir():
            unfinished = found.root.with_suffix(".unfinished")
            with reporter.step(f"unpacking {', '.join(packages)} into the cache", 25):
                unpack(packages, unfinished)
                _write_starters(unfinished, found.root, programs)
            unfinished.rename(found.root)
    return found


def packages_key(packages: Sequence[str], release: str) -> str:
    """Folder name of a set of packages of one release.

    Parameters
    ----------
    packages : sequence of str
        Package names.
    release : str
        Distribution, release and machine, as in ``debian-12-x86_64``.
    """
    digest = hashlib.sha256("\n".join((release, *packages, *PROGRAMS)).encode()).hexdigest()
    return f"{release}-{digest[:8]}"


def starter(program: str, libraries: Sequence[str]) -> str:
    """Script that starts an unpacked program with the libraries unpacked beside it.

    Parameters
    ----------
    program : str
        Path of the program.
    libraries : sequence of str
        Folders of libraries.
    """
    return f"""#!/bin/sh
export LD_LIBRARY_PATH='{":".join(libraries)}'
exec '{program}' "$@"
"""


def _release() -> str:
    values = platform.freedesktop_os_release()
    return f"{values['ID']}-{values.get('VERSION_ID', 'rolling')}-{platform.machine()}"


def _write_starters(unpacked: Path, final: Path, programs: Sequence[str]) -> None:
    libraries = sorted(
        {
            path.parent
            for folder in ("lib", "usr/lib")
            for path in (unpacked / folder).rglob("lib*.so.*")
        }
    )
    there = [str(final / path.relative_to(unpacked)) for path in libraries]
    (unpacked / "commands").mkdir()
    for name in programs:
        for folder in ("usr/sbin", "usr/bin", "sbin", "bin"):
            if (unpacked / folder / name).is_file():
                script = unpacked / "commands" / name
                text = starter(str(final / folder / name), there)
                script.write_text(text, encoding="utf-8")
                script.chmod(0o755)
                break
        else:
            raise LocalClusterError(f"the Debian packages {', '.join(PACKAGES)} hold no {name}")
    for name in CNI_PLUGINS:
        if not (unpacked / "usr" / "lib" / "cni" / name).is_file():
            raise LocalClusterError(f"the package containernetworking-plugins holds no {name}")
