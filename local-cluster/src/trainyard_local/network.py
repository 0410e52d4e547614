"""The machine's network as far as it is ours: one bridge, two routes, our packet filter."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainyard_local import partition
from trainyard_local.layout import (
    HOST_ADDRESS,
    HOST_BRIDGE,
    NETWORK,
    NFT_TABLE,
    SERVICES,
    NodePlan,
)
from trainyard_local.nodeconfig import packet_filter
from trainyard_local.shell import run

PROXY_TABLES = (("ip", "kube-proxy"), ("ip6", "kube-proxy"))
_SYSCTL = Path("/proc/sys")

# The network plugin turns forwarding on, and kubelets set the others for all of the machine.
SETTINGS = (
    "net.ipv4.ip_forward",
    "vm.overcommit_memory",
    "vm.panic_on_oom",
    "kernel.panic",
    "kernel.panic_on_oops",
    "kernel.keys.root_maxkeys",
    "kernel.keys.root_maxbytes",
)


@dataclass(frozen=True)
class Network:
    """Runs ``ip`` and ``nft``.

    Attributes
    ----------
    ip, nft : Path
        The two programs.
    """

    ip: Path
    nft: Path

    def up(self, addresses: list[str]) -> None:
        """Make the bridge, its addresses and routes, and the packet filter; repeating is harmless.

        Parameters
        ----------
        addresses : list of str
            Of the nodes; the host's own is added.
        """
        # The filter stands before anything could be forwarded.
        run([self.nft, "-f", "-"], stdin=packet_filter())
        if HOST_BRIDGE not in self.links():
            run([self.ip, "link", "add", HOST_BRIDGE, "type", "bridge"])
        for address in (HOST_ADDRESS, *addresses):
            run([self.ip, "address", "replace", f"{address}/24", "dev", HOST_BRIDGE])
        run([self.ip, "link", "set", HOST_BRIDGE, "up"])
        # An address that no pod has, or a ClusterIP that no rule translates (yet), ends on a bridge
        # without ports instead of leaving by the default route.
        for network in (NETWORK, SERVICES):
            run([self.ip, "route", "replace", network, "dev", HOST_BRIDGE, "src", HOST_ADDRESS])

    def down(self) -> None:
        """Remove all of it, with what kube-proxy and the pods' links left."""
        for link in self.pod_links():
            run([self.ip, "link", "delete", link], check=False)
        if HOST_BRIDGE in self.links():
            run([self.ip, "link", "delete", HOST_BRIDGE])
        for family, name in sorted(self.own_tables()):
            run([self.nft, "delete", "table", family, name])

    def cut(self, plan: NodePlan) -> None:
        """Cut a node off from the API server and from all that is outside of it.

        Parameters
        ----------
        plan : NodePlan
            The node; one that is cut off stays so.
        """
        run([self.nft, "-f", "-"], stdin=partition.rules(plan))

    def mend(self, plan: NodePlan) -> None:
        """Undo `cut`.

        Parameters
        ----------
        plan : NodePlan
            The node; nothing happens when it is not cut off.
        """
        if self.is_cut(plan):
            run([self.nft, "delete", "table", "inet", partition.table(plan)])

    def is_cut(self, plan: NodePlan) -> bool:
        """Whether a node is cut off.

        Parameters
        ----------
        plan : NodePlan
            The node.
        """
        return ("inet", partition.table(plan)) in self.tables()

    def links(self) -> set[str]:
        """Names of all links of the machine."""
        return {str(link["ifname"]) for link in self._ip_json("link", "show")}

    def networks(self) -> list[tuple[str, str]]:
        """Destination and link of all IPv4 routes of the machine."""
        routes = self._ip_json("-4", "route", "show")
        return [
            ("0.0.0.0/0" if route["dst"] == "default" else route["dst"], route.get("dev", ""))
            for route in routes
        ]

    def pod_links(self) -> list[str]:
        """Links that lead to pods of ours."""
        routes = self._ip_json("-4", "route", "show", "root", NETWORK)
        names = (str(route.get("dev", "")) for route in routes)
        return sorted({name for name in names if name.startswith("veth")})

    def own_tables(self) -> set[tuple[str, str]]:
        """Family and name of the nftables tables of the cluster."""
        return {
            (family, name)
            for family, name in self.tables()
            if (family, name) in {("inet", NFT_TABLE), *PROXY_TABLES}
            or (family == "inet" and name.startswith(partition.PREFIX))
        }

    def tables(self) -> set[tuple[str, str]]:
        """Family and name of all nftables tables of the machine."""
        lines = run([self.nft, "list", "tables"]).splitlines()
        words = (line.split() for line in lines)
        return {(word[1], word[2]) for word in words if len(word) == 3}

    def _ip_json(self, *arguments: str) -> list[dict[str, Any]]:
        text = run([self.ip, "-json", *arguments])
        found: list[dict[str, Any]] = json.loads(text or "[]")
        return found


def remember_settings(path: Path) -> None:
    """Note the kernel settings that the cluster changes, unless they are noted already.

    Parameters
    ----------
    path : Path
        JSON file; one that is there is from a start that was not ended, and holds the true values.
    """
    if path.is_file():
        return
    values = {name: _setting(name).read_text(encoding="ascii").strip() for name in SETTINGS}
    unfinished = path.with_suffix(".new")
    unfinished.write_text(json.dumps(values, indent=2), encoding="utf-8")
    unfinished.rename(path)


def restore_settings(path: Path) -> None:
    """Give the kernel settings their values back, and forget them.

    Parameters
    ----------
    path : Path
        Written by `remember_settings`; nothing happens when it is missing.
    """
    if not path.is_file():
        return
    for name, value in json.loads(path.read_text(encoding="utf-8")).items():
        setting = _setting(name)
        if setting.read_text(encoding="ascii").strip() != value:
            setting.write_text(value, encoding="ascii")
    path.unlink()


def _setting(name: str) -> Path:
    return _SYSCTL.joinpath(*name.split("."))
