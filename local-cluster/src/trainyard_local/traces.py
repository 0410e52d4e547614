"""Files that nodes leave in places of the machine which their programs do not let us choose."""

import contextlib
from collections.abc import Iterable
from pathlib import Path

from trainyard_local.layout import NodePlan

CNI_RESULTS = Path("/var/lib/cni/results")
LOG_LINKS = Path("/var/log/containers")
SHIM_SOCKETS = Path("/run/containerd/s")
DEVICE_SOCKET = Path("/var/lib/kubelet/device-plugins/kubelet.sock")
_LISTENERS = Path("/proc/net/unix")


def remove(plan: NodePlan) -> None:
    """Remove a node's traces; its programs have ended.

    Parameters
    ----------
    plan : NodePlan
        The node.
    """
    for trace in CNI_RESULTS.glob("*"):
        if is_network_trace(trace.read_bytes(), plan):
            trace.unlink(missing_ok=True)
    for link in LOG_LINKS.glob("*.log"):
        if link.is_symlink() and plan.pod_logs in link.readlink().parents:
            link.unlink(missing_ok=True)
    # Others may have containers and kubelets too: what somebody listens on stays.
    candidates = [*SHIM_SOCKETS.glob("*"), DEVICE_SOCKET]
    for socket in dead_sockets(candidates, _LISTENERS.read_text(encoding="utf-8")):
        socket.unlink(missing_ok=True)
    _remove_empty(CNI_RESULTS, CNI_RESULTS.parent, LOG_LINKS, SHIM_SOCKETS, SHIM_SOCKETS.parent)
    _remove_empty(DEVICE_SOCKET.parent, DEVICE_SOCKET.parent.parent)


def is_network_trace(content: bytes, plan: NodePlan) -> bool:
    """Whether a note of the network library is about a pod of a node.

    Parameters
    ----------
    content : bytes
        JSON that names the network, or the pod's network namespace below the node's folder.
    plan : NodePlan
        The node.
    """
    marks = (f'"networkName":"{plan.network_name}"', f"{plan.containerd_state}/")
    return any(mark.encode() in content for mark in marks)


def dead_sockets(candidates: Iterable[Path], listeners: str) -> list[Path]:
    """Socket files that no process has open.

    Parameters
    ----------
    candidates : iterable of Path
        Files, there or not.
    listeners : str
        Text of /proc/net/unix.
    """
    # /run and /var/run are one folder under two names.
    open_paths = {
        line.split()[-1].replace("/var/run/", "/run/", 1)
        for line in listeners.splitlines()
        if "/" in line
    }
    return [path for path in candidates if str(path) not in open_paths and path.is_socket()]


def _remove_empty(*folders: Path) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()
