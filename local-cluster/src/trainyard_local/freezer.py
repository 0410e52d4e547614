"""Holding processes alive although they are being killed: the freezer of cgroups version 1.

A signal, SIGKILL too, reaches a frozen process only when it is thawed. runc thaws a container's own
cgroup before it kills; so the processes are moved to a frozen cgroup that runc knows nothing of.
"""

import contextlib
import time
from pathlib import Path

from trainyard_local import cgroups
from trainyard_local.errors import LocalClusterError

FOLDER = "frozen"
"""Below a node's cgroup, beside those of the kubelet: one cgroup a frozen container."""

STATE_S = 10.0


def freeze(node: str, container: str, root: Path = cgroups.ROOT) -> int:
    """Freeze all processes of a container.

    Parameters
    ----------
    node : str
        The node's cgroup, from the root of each hierarchy.
    container : str
        The container's ID, which names its cgroup.
    root : Path
        Where cgroups are mounted.

    Returns
    -------
    int
        How many processes are held.

    Raises
    ------
    LocalClusterError
        On cgroups version 2, where SIGKILL reaches frozen processes too, and when the container
        has no process.
    """
    if cgroups.version(root) != cgroups.V1:
        raise LocalClusterError(
            "a container cannot be held alive on cgroups v2, which kill frozen processes too: "
            "use a machine with cgroups v1"
        )
    top = _top(node, root)
    source = _home(top, container)
    if source is None:
        raise LocalClusterError(f"no container {container} has a cgroup below {top}: it is gone")
    held = top / FOLDER / container
    held.mkdir(parents=True, exist_ok=True)
    _set(held, "FROZEN")
    # A process that was just forked is still to be moved.
    while pids := cgroups.pids_in(source):
        for pid in pids:
            _move(pid, held)
    if not cgroups.pids_in(held):
        held.rmdir()
        raise LocalClusterError(f"the container {container} has no process to freeze: it ended")
    _wait(held, "FROZEN")
    return len(cgroups.pids_in(held))


def thaw(node: str, container: str, root: Path = cgroups.ROOT) -> None:
    """Let a frozen container go on, or die of what was sent to it meanwhile.

    Parameters
    ----------
    node : str
        The node's cgroup, from the root of each hierarchy.
    container : str
        The container's ID; nothing happens when it is not frozen.
    root : Path
        Where cgroups are mounted.
    """
    top = _top(node, root)
    held = top / FOLDER / container
    if not held.is_dir():
        return
    # Thawed where it is: moved first, it would run a moment before its signals count.
    _set(held, "THAWED")
    _wait(held, "THAWED")
    home = _home(top, container) or top
    deadline = time.monotonic() + STATE_S
    while (pids := cgroups.pids_in(held)) and time.monotonic() < deadline:
        for pid in pids:
            _move(pid, home)
        time.sleep(0.01)
    held.rmdir()


def frozen(node: str, root: Path = cgroups.ROOT) -> list[str]:
    """IDs of the containers of a node that are frozen.

    Parameters
    ----------
    node : str
        The node's cgroup, from the root of each hierarchy.
    root : Path
        Where cgroups are mounted.
    """
    folder = _top(node, root) / FOLDER
    return (
        sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    )


def thaw_all(node: str, root: Path = cgroups.ROOT) -> None:
    """Thaw all containers of a node: what is frozen cannot be killed.

    Parameters
    ----------
    node : str
        The node's cgroup, from the root of each hierarchy.
    root : Path
        Where cgroups are mounted.
    """
    for container in frozen(node, root):
        thaw(node, container, root)


def _top(node: str, root: Path) -> Path:
    return root / "freezer" / node.lstrip("/")


def _home(top: Path, container: str) -> Path | None:
    return next((path for path in (top / "kubepods").rglob(container) if path.is_dir()), None)


def _move(pid: int, folder: Path) -> None:
    # It may have ended since it was listed.
    with contextlib.suppress(ProcessLookupError):
        (folder / "cgroup.procs").write_text(str(pid), encoding="ascii")


def _set(folder: Path, state: str) -> None:
    (folder / "freezer.state").write_text(state, encoding="ascii")


def _wait(folder: Path, state: str) -> None:
    deadline = time.monotonic() + STATE_S
    while (found := (folder / "freezer.state").read_text(encoding="ascii").strip()) != state:
        if time.monotonic() > deadline:
            raise LocalClusterError(f"{folder} stays {found} and does not become {state}")
        time.sleep(0.01)
