"""Cgroups of the nodes: made before their kubelets start, and emptied and removed at the end."""

import contextlib
import os
import re
import signal
import time
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
V1 = 1
V2 = 2
_CONTAINER_ID = re.compile(r"[0-9a-f]{64}")


def version(root: Path = ROOT) -> int | None:
    """Version of the machine's cgroups.

    Parameters
    ----------
    root : Path
        Where they are mounted.

    Returns
    -------
    int or None
        1 or 2; None when there are none.
    """
    if (root / "cgroup.controllers").is_file():
        return V2
    return V1 if (root / "memory").is_dir() and (root / "cpuset").is_dir() else None


def hierarchies(root: Path = ROOT) -> list[Path]:
    """Roots of all hierarchies: one for version 2, one a controller for version 1.

    Parameters
    ----------
    root : Path
        Where they are mounted.
    """
    if version(root) == V2:
        return [root]
    # Aliases such as cpu -> cpu,cpuacct are links to folders that are listed anyway.
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.is_symlink())


def make(name: str, root: Path = ROOT) -> None:
    """Make a cgroup in every hierarchy.

    Parameters
    ----------
    name : str
        From the root of each, as in ``/trainyard-gpu-1``.
    root : Path
        Where they are mounted.
    """
    for hierarchy in hierarchies(root):
        folder = hierarchy / name.lstrip("/")
        folder.mkdir(exist_ok=True)
        # A new cpuset of version 1 has no CPU and no memory, and nothing can run in it.
        for setting in ("cpuset.cpus", "cpuset.mems"):
            wanted, mine = hierarchy / setting, folder / setting
            if version(root) == V1 and wanted.is_file() and not mine.read_text().strip():
                mine.write_text(wanted.read_text(), encoding="ascii")


def pids_in(folder: Path) -> list[int]:
    """Processes in one cgroup, without those below it.

    Parameters
    ----------
    folder : Path
        Of the cgroup; OSError when it is gone.
    """
    return [int(line) for line in (folder / "cgroup.procs").read_text(encoding="ascii").split()]


def members(name: str, root: Path = ROOT) -> set[int]:
    """Processes in a cgroup and below it, in any hierarchy.

    Parameters
    ----------
    name : str
        From the root of each.
    root : Path
        Where they are mounted.
    """
    found: set[int] = set()
    for hierarchy in hierarchies(root):
        for listing in (hierarchy / name.lstrip("/")).rglob("cgroup.procs"):
            with contextlib.suppress(OSError):
                found.update(pids_in(listing.parent))
    return found


def containers(name: str, root: Path = ROOT) -> dict[str, set[int]]:
    """Processes of each container of a node, also while no containerd can be asked.

    Parameters
    ----------
    name : str
        The node's cgroup, from the root of each hierarchy.
    root : Path
        Where they are mounted.

    Returns
    -------
    dict of str to set of int
        Container ID to process IDs; containers without a process are left out.
    """
    found: dict[str, set[int]] = {}
    for hierarchy in hierarchies(root):
        top = hierarchy / name.lstrip("/")
        for listing in top.rglob("cgroup.procs"):
            # The kubelet's own cgroups are named by classes and pods, containers by 64 digits.
            if _CONTAINER_ID.fullmatch(listing.parent.name):
                with contextlib.suppress(OSError):
                    found.setdefault(listing.parent.name, set()).update(pids_in(listing.parent))
    return {container: pids for container, pids in found.items() if pids}


def kill(name: str, root: Path = ROOT, patience_s: float = 10.0) -> None:
    """Kill all processes in a cgroup and below it.

    Parameters
    ----------
    name : str
        From the root of each hierarchy.
    root : Path
        Where they are mounted.
    patience_s : float
        How long to repeat, for a process may fork while it is being killed.
    """
    deadline = time.monotonic() + patience_s
    while (alive := members(name, root)) and time.monotonic() < deadline:
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def remove(name: str, root: Path = ROOT) -> None:
    """Remove a cgroup and all below it; they hold no process any more.

    Parameters
    ----------
    name : str
        From the root of each hierarchy.
    root : Path
        Where they are mounted.
    """
    for hierarchy in hierarchies(root):
        top = hierarchy / name.lstrip("/")
        if not top.is_dir():
            continue
        below = (Path(path) for path, _, _ in os.walk(top, topdown=False))
        for folder in below:
            _remove_one(folder)


def _remove_one(folder: Path) -> None:
    # A process that was just killed leaves its cgroup a moment later.
    for _ in range(100):
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.02)
        else:
            return
    folder.rmdir()
