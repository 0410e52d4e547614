"""How a training is named to those who may not know it: the setting that keeps names apart.

A name of another namespace gets into an object in a few ways only, all by the node that both use:
who holds it or goes first, whose pod quarantined it, who came before under `onBusyNode: Reject`.
"""

from __future__ import annotations

from trainyard.decide.facts import LeaseFacts

ANOTHER = "a training of another namespace"


def named(key: str, reader: str, *, hide: bool) -> str:
    """A process as it is named in objects of a namespace.

    Parameters
    ----------
    key
        `namespace/name` of the process.
    reader
        The namespace whose objects it is named in.
    hide
        The setting.
    """
    return ANOTHER if hide and key.partition("/")[0] != reader else key


def why_quarantined(lease: LeaseFacts, reader: str, *, hide: bool) -> str:
    """The sentence of a quarantined lock, as it is told in objects of a namespace.

    It was written for administrators, and names a pod or a process of whatever namespace.
    """
    if not hide or f" {reader}/" in lease.quarantined:
        return lease.quarantined
    return (
        f"nobody knows whether {ANOTHER} still runs on node {lease.node}: have an administrator "
        "look with trainyard nodes, or use another node"
    )
