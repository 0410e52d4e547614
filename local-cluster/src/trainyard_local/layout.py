"""Names, addresses and folders of the one local cluster: pure."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainyard_local.commands import Endpoints
from trainyard_local.errors import LocalClusterError

HOST_BRIDGE = "ty-host"
"""Bridge without ports that carries the addresses of API server, S3 and nodes."""

NETWORK = "10.213.0.0/16"
"""Nodes and pods. Nothing of it may ever leave the machine."""

SERVICES = "10.214.0.0/16"
"""ClusterIPs. Nothing of it may ever leave the machine."""

HOST_ADDRESS = "10.213.0.1"
API_PORT = 6443
S3_PORT = 7070
KUBELET_PORT = 10250
KUBELET_API_PORT = 16400
"""Plus a node's number: the port of `HOST_ADDRESS` at which its kubelet finds the API server."""

KUBELET_HEALTH_PORT = 10248
PROXY_HEALTH_PORT = 21256
PROXY_METRICS_PORT = 21249
NODE_NAMES = ("gpu-1", "gpu-2")
NODES_MAX = 9
NFT_TABLE = "trainyard_local"
PAUSE_IMAGE = "localhost/trainyard/pause:1"
_LONGEST_SOCKET = "/kubelet/pod-resources/kubelet.sock.ttrpc"
# sun_path of unix(7) holds 108 bytes, one of them the end.
_SOCKET_PATH_MAX = 107
_NODE_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")

ENDPOINTS = Endpoints(
    api_address=HOST_ADDRESS,
    api_port=API_PORT,
    etcd_port=21379,
    etcd_peer_port=21380,
    controllers_port=21257,
    scheduler_port=21259,
    advertised=HOST_ADDRESS,
    service_range=SERVICES,
    pod_range=NETWORK,
)
LOOPBACK_PORTS = {
    "etcd": ENDPOINTS.etcd_port,
    "etcd (peers)": ENDPOINTS.etcd_peer_port,
    "kube-controller-manager": ENDPOINTS.controllers_port,
    "kube-scheduler": ENDPOINTS.scheduler_port,
    "kube-proxy": PROXY_HEALTH_PORT,
    "kube-proxy (metrics)": PROXY_METRICS_PORT,
}


@dataclass(frozen=True)
class NodePlan:
    """One node before anything of it exists.

    Attributes
    ----------
    name : str
        Name in Kubernetes.
    number : int
        1 to `NODES_MAX`; its addresses follow from it.
    folder : Path
        All that belongs to it.
    """

    name: str
    number: int
    folder: Path

    @property
    def address(self) -> str:
        """Address of its kubelet, on the host bridge."""
        return f"10.213.0.{10 + self.number}"

    @property
    def api_port(self) -> int:
        """Port of the host's address at which its kubelet, and nobody else, asks the API server."""
        return KUBELET_API_PORT + self.number

    @property
    def pods(self) -> str:
        """Subnet of its pods."""
        return f"10.213.{10 + self.number}.0/24"

    @property
    def cgroup(self) -> str:
        """Cgroup of its pods, from the root of each hierarchy."""
        return f"/trainyard-{self.name}"

    @property
    def network_name(self) -> str:
        """Name of its pod network, by which its traces elsewhere are found."""
        return f"trainyard-{self.name}"

    @property
    def containerd(self) -> Path:
        """Folder of its containerd: images (kept by `down`), state, socket."""
        return self.folder / "containerd"

    @property
    def containerd_root(self) -> Path:
        """What containerd keeps over restarts: images, snapshots, metadata."""
        return self.containerd / "root"

    @property
    def containerd_state(self) -> Path:
        """What containerd keeps while it runs."""
        return self.containerd / "state"

    @property
    def socket(self) -> Path:
        """Socket of its containerd."""
        return self.containerd / "containerd.sock"

    @property
    def kubelet(self) -> Path:
        """Root of its kubelet: volumes of pods."""
        return self.folder / "kubelet"

    @property
    def boot_id(self) -> Path:
        """What its kubelet takes for the boot ID since the node was rebooted; else no file."""
        return self.folder / "boot-id"

    @property
    def pod_logs(self) -> Path:
        """Logs of its pods."""
        return self.folder / "pod-logs"

    @property
    def addresses_in_use(self) -> Path:
        """Where the network plugin notes the pods' addresses."""
        return self.folder / "ipam"


def plan_nodes(names: Sequence[str], folder: Path) -> tuple[NodePlan, ...]:
    """Plan nodes.

    Parameters
    ----------
    names : sequence of str
        Node names: 1 to `NODES_MAX`, all different.
    folder : Path
        Folder of one folder a node.

    Raises
    ------
    LocalClusterError
        For a name that cannot be one, a repeated one, too many, or a folder whose path is too long.
    """
    longest = max((len(str(folder / name)) for name in names), default=0) + len(_LONGEST_SOCKET)
    if longest > _SOCKET_PATH_MAX:
        raise LocalClusterError(
            f"{folder} is {longest - _SOCKET_PATH_MAX} characters too long for the sockets below "
            "it: point TRAINYARD_CACHE to a folder with a shorter path"
        )
    for name in names:
        if _NODE_NAME.fullmatch(name) is None:
            raise LocalClusterError(
                f"{name!r} cannot be the name of a node: use 1 to 40 lower-case letters, digits "
                "and hyphens, with a letter or a digit at both ends"
            )
    if len(set(names)) != len(names) or not 1 <= len(names) <= NODES_MAX:
        raise LocalClusterError(
            f"--nodes names {', '.join(names) or 'nothing'}: name 1 to {NODES_MAX} nodes, each once"
        )
    return tuple(NodePlan(name, number, folder / name) for number, name in enumerate(names, 1))


def overlaps(network: str) -> bool:
    """Whether a network of the machine would collide with ours.

    Parameters
    ----------
    network : str
        As in ``192.168.1.0/24``; a default route never collides.
    """
    theirs = ipaddress.ip_network(network, strict=False)
    if theirs.version != 4 or theirs.prefixlen == 0:
        return False
    ours = (ipaddress.IPv4Network(NETWORK), ipaddress.IPv4Network(SERVICES))
    return any(theirs.overlaps(own) for own in ours)
