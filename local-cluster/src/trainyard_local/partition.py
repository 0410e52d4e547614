"""Cutting a node off: rules that keep its kubelet and its pods from everything but themselves.

All kubelets share the machine's network and talk from one address. So that one of them can be cut
off, each asks the API server at a port of its own, which the packet filter translates.
"""

from trainyard_local.layout import (
    API_PORT,
    HOST_ADDRESS,
    KUBELET_API_PORT,
    KUBELET_PORT,
    NFT_TABLE,
    NODES_MAX,
    NodePlan,
)

PREFIX = f"{NFT_TABLE}_cut_"
"""How the names of all tables begin that cut a node off."""


def table(plan: NodePlan) -> str:
    """Name of the nftables table (family inet) that cuts a node off while it is there.

    Parameters
    ----------
    plan : NodePlan
        The node.
    """
    return f"{PREFIX}{plan.number}"


def translation() -> str:
    """Rule of an output chain of type nat: the kubelets' ports lead to the API server."""
    ports = f"{KUBELET_API_PORT + 1}-{KUBELET_API_PORT + NODES_MAX}"
    return f"ip daddr {HOST_ADDRESS} tcp dport {ports} dnat ip to {HOST_ADDRESS}:{API_PORT}"


def rules(plan: NodePlan) -> str:
    """Rules that cut a node off, for ``nft -f``; repeating is harmless.

    Packets are dropped, not refused, and connections that stand hang: as when a cable is pulled.
    What stays inside a node stays possible: its pods reach one another, and its kubelet probes
    them.

    Parameters
    ----------
    plan : NodePlan
        The node.
    """
    name = table(plan)
    return f"""table inet {name} {{}}
delete table inet {name}
table inet {name} {{
  chain output {{
    type filter hook output priority filter - 20; policy accept;
    {_asked(HOST_ADDRESS, plan.api_port)} counter drop
    {_asked(plan.address, KUBELET_PORT)} counter drop
    ip daddr {plan.pods} ct direction reply counter drop
  }}
  chain input {{
    type filter hook input priority filter - 20; policy accept;
    ip saddr {plan.pods} ct direction original counter drop
  }}
  chain forward {{
    type filter hook forward priority filter - 20; policy accept;
    ip saddr {plan.pods} ip daddr != {plan.pods} counter drop
    ip daddr {plan.pods} ip saddr != {plan.pods} counter drop
  }}
}}
"""


def _asked(address: str, port: int) -> str:
    # Whom the connection was opened to, whichever way the packet goes and whatever translated it.
    return f"meta l4proto tcp ct original ip daddr {address} ct original proto-dst {port}"
