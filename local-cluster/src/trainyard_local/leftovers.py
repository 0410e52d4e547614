"""What of a cluster is still on the machine: asked after it was taken down."""

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from trainyard_local import cgroups, mounts
from trainyard_local.layout import HOST_BRIDGE, NodePlan
from trainyard_local.network import Network
from trainyard_local.paths import Cache

CLIENTS = frozenset({"kubectl", "helm", "ctr"})
"""Programs of the cache that a person runs: they are nobody's leftovers."""


@dataclass(frozen=True)
class Leftovers:
    """Everything of ours that is on the machine.

    Attributes
    ----------
    processes : tuple of (int, str)
        Process ID and program.
    mounts : tuple of Path
        Mount points.
    links : tuple of str
        Network links.
    tables : tuple of (str, str)
        Family and name of nftables tables.
    cgroups : tuple of Path
        Folders.
    """

    processes: tuple[tuple[int, str], ...] = ()
    mounts: tuple[Path, ...] = ()
    links: tuple[str, ...] = ()
    tables: tuple[tuple[str, str], ...] = ()
    cgroups: tuple[Path, ...] = ()

    def sentences(self) -> list[str]:
        """One sentence for each kind of which something is left."""
        kinds = (
            ("processes", [f"{pid} ({name})" for pid, name in self.processes]),
            ("mounts", [str(path) for path in self.mounts]),
            ("network links", list(self.links)),
            ("nftables tables", [" ".join(table) for table in self.tables]),
            ("cgroups", [str(path) for path in self.cgroups]),
        )
        return [
            f"{kind} of the cluster are still there: {', '.join(found)}; repeat `down`"
            for kind, found in kinds
            if found
        ]


def find(place: Cache, network: Network, plans: Iterable[NodePlan]) -> Leftovers:
    """Look for everything of a cluster.

    Parameters
    ----------
    place : Cache
        Where its programs and its state lie.
    network : Network
        The machine's network.
    plans : iterable of NodePlan
        Its nodes.
    """
    folder = place.cluster.resolve()
    info = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    groups = [
        hierarchy / plan.cgroup.lstrip("/") for plan in plans for hierarchy in cgroups.hierarchies()
    ]
    bridge = [name for name in network.links() if name == HOST_BRIDGE]
    return Leftovers(
        processes=tuple(_processes(place)),
        mounts=tuple(mounts.below(folder, mounts.parse_mountinfo(info))),
        links=(*bridge, *network.pod_links()),
        tables=tuple(sorted(network.own_tables())),
        cgroups=tuple(path for path in groups if path.is_dir()),
    )


def _processes(place: Cache) -> Iterable[tuple[int, str]]:
    state = os.fsencode(place.cluster)
    homes = (place.binaries.resolve(), place.packages.resolve())
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        # Most of the machine's processes end or begin while one looks.
        with contextlib.suppress(OSError):
            program = (entry / "exe").readlink()
            ours = any(home in program.parents for home in homes)
            # Tests run the same programs on state of their own.
            if ours and program.name not in CLIENTS and state in (entry / "cmdline").read_bytes():
                yield int(entry.name), program.name
