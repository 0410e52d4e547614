"""What a look at the cluster finds."""

from dataclasses import dataclass

from trainyard_local.records import Phase


@dataclass(frozen=True)
class NodeStatus:
    """One node as it is now.

    Attributes
    ----------
    name : str
        Its name.
    ready : bool
        Whether Kubernetes finds it ready.
    address, pods : str
        Its address, and the subnet of its pods.
    kubelet, containerd : bool
        Whether the programs run.
    """

    name: str
    ready: bool
    address: str
    pods: str
    kubelet: bool
    containerd: bool


@dataclass(frozen=True)
class ClusterStatus:
    """The cluster as it is now.

    Attributes
    ----------
    phase : str
        ``down``, ``starting``, ``up`` or ``stopping``: what the last command reached.
    nodes : tuple of NodeStatus
        In their order.
    programs : tuple of (str, bool)
        Every other program, and whether it runs.
    clone : str
        Folder of the clone that started it.
    """

    phase: str
    nodes: tuple[NodeStatus, ...]
    programs: tuple[tuple[str, bool], ...]
    clone: str

    @property
    def healthy(self) -> bool:
        """Whether it is up with every node ready and every program running."""
        return (
            self.phase == Phase.UP
            and all(node.ready and node.kubelet and node.containerd for node in self.nodes)
            and all(running for _, running in self.programs)
        )
