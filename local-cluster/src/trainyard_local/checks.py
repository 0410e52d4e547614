"""What the machine must offer before a cluster starts, one sentence for each thing it does not."""

import os
import platform
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from trainyard_local import cgroups
from trainyard_local.layout import HOST_BRIDGE, LOOPBACK_PORTS, NETWORK, SERVICES, overlaps
from trainyard_local.network import PROXY_TABLES, Network
from trainyard_local.paths import Cache

CLUSTER_DISK_BYTES = 3 * 10**9
"""Free disk that the cluster itself needs, beside what images need: kubelets evict below 1 GiB."""


@dataclass(frozen=True)
class Basics:
    """What is asked before anything is built.

    Attributes
    ----------
    system, architecture : str
        As Python's platform module names them.
    user_id : int
        0 for root.
    free_bytes : int
        On the disk of the cache.
    cgroup_version : int or None
        1, 2, or None.
    """

    system: str
    architecture: str
    user_id: int
    free_bytes: int
    cgroup_version: int | None


@dataclass(frozen=True)
class Surroundings:
    """What else is on the machine, asked before a fresh start.

    Attributes
    ----------
    routes : tuple of (str, str)
        Destination and link of each route.
    links : frozenset of str
        Names of the links.
    tables : frozenset of (str, str)
        Family and name of each nftables table.
    busy_ports : Mapping of str to int
        What of ours finds its port of loopback taken.
    """

    routes: tuple[tuple[str, str], ...]
    links: frozenset[str]
    tables: frozenset[tuple[str, str]]
    busy_ports: Mapping[str, int]


def basics(place: Cache) -> Basics:
    """Look at the machine.

    Parameters
    ----------
    place : Cache
        On whose disk everything will lie.
    """
    folder = next(path for path in (place.root, *place.root.parents) if path.exists())
    linux = platform.system() == "Linux"
    return Basics(
        system=platform.system(),
        architecture=platform.machine(),
        user_id=os.geteuid(),
        free_bytes=shutil.disk_usage(folder).free,
        cgroup_version=cgroups.version() if linux else None,
    )


def surroundings(network: Network) -> Surroundings:
    """Look at the machine's networks and ports.

    Parameters
    ----------
    network : Network
        Asks them.
    """
    return Surroundings(
        routes=tuple(network.networks()),
        links=frozenset(network.links()),
        tables=frozenset(network.tables()),
        busy_ports={what: port for what, port in LOOPBACK_PORTS.items() if _busy(port)},
    )


def basic_problems(found: Basics) -> list[str]:
    """Sentences about what the machine lacks.

    Parameters
    ----------
    found : Basics
        The machine.
    """
    if found.system != "Linux":
        return [
            f"the local cluster needs Linux, this is {found.system}: run it in a Linux machine "
            "or virtual machine"
        ]
    problems = []
    if found.user_id != 0:
        problems.append(
            "the local cluster must be started as root, for it makes cgroups, mounts and network "
            f"links (you are user {found.user_id}): repeat with sudo -E"
        )
    if found.cgroup_version is None:
        problems.append(
            "no cgroups are mounted below /sys/fs/cgroup: mount them, or leave the container that "
            "hides them"
        )
    if found.free_bytes < CLUSTER_DISK_BYTES:
        problems.append(
            f"the disk of the cache has {found.free_bytes / 1e9:.1f} GB free, the cluster needs "
            f"{CLUSTER_DISK_BYTES / 1e9:.0f} GB: free some, or point TRAINYARD_CACHE elsewhere"
        )
    return problems


def warnings(found: Basics) -> list[str]:
    """Sentences about what may not work.

    Parameters
    ----------
    found : Basics
        The machine.
    """
    said = []
    if found.cgroup_version == cgroups.V2:
        said.append("this machine has cgroups v2, on which the local cluster is untested: trying")
    if found.architecture != "x86_64":
        said.append(f"the local cluster is untested on {found.architecture}: trying")
    return said


def surrounding_problems(found: Surroundings) -> list[str]:
    """Sentences about what stands in the way of a fresh start.

    Parameters
    ----------
    found : Surroundings
        What else is on the machine.
    """
    problems = []
    if HOST_BRIDGE in found.links:
        problems.append(
            f"the link {HOST_BRIDGE} is there but this cache knows of no cluster: take down the "
            "one of the other cache (TRAINYARD_CACHE=FOLDER ... down), or, if it is gone, "
            f"`ip link delete {HOST_BRIDGE}`"
        )
    problems += [
        f"the route to {destination} over {link} collides with the cluster's networks {NETWORK} "
        f"and {SERVICES}: take it away while the cluster is up"
        for destination, link in found.routes
        if link != HOST_BRIDGE and overlaps(destination)
    ]
    problems += [
        f"port {port} of 127.0.0.1, needed for {what}, is taken: `ss -ltnp 'sport = :{port}'` "
        "names the program that has it; stop that"
        for what, port in found.busy_ports.items()
    ]
    problems += [
        f"the nftables table `{family} {name}` belongs to a kube-proxy of another cluster on this "
        "machine: stop that cluster, two cannot share the table"
        for family, name in PROXY_TABLES
        if (family, name) in found.tables
    ]
    return problems


def _busy(port: int) -> bool:
    with socket.socket() as probe:
        # A connection that was closed a moment ago is no listener.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False
