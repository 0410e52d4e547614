"""The target nodes: who holds each, and who waits for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from trainyard.api.meta import Json
from trainyard.api.process import TrainingProcess
from trainyard.cli.output import age
from trainyard.cluster import parse
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.errors import Forbidden
from trainyard.cluster.resources import LEASE, LOCK_NAMESPACE, NODE, PROCESS
from trainyard.decide.facts import LeaseFacts, NodeFacts, Rival
from trainyard.decide.queue import ACTIVE, as_rival, order, waits

TITLES = ("NODE", "STATE", "ENABLED", "GPUS", "HELD BY", "FOR", "WAITING", "QUEUE")
UNKNOWN = "?"
SHOWN = 3
"""Names of the queue that a row shows."""


@dataclass(frozen=True)
class Lock:
    """A node's lock and since when it is held."""

    facts: LeaseFacts
    since: datetime | None


@dataclass(frozen=True)
class Observed:
    """What the person may see.

    Attributes
    ----------
    nodes, locks
        None: the person may not read them.
    processes
        All that the person may list.
    gaps
        One sentence for each thing that could not be read.
    """

    nodes: tuple[NodeFacts, ...] | None
    locks: tuple[Lock, ...] | None
    processes: tuple[TrainingProcess, ...]
    gaps: tuple[str, ...] = ()


@dataclass(frozen=True)
class NodeRow:
    """One node, as people look at it.

    Attributes
    ----------
    state
        `Ready`, `NotReady`, `Ready,cordoned`, `missing`, or `?`.
    gpus
        Allocatable GPUs; None: unknown.
    holder
        `namespace/name`; empty: free.
    queue
        Keys of those that wait, the next one first.
    quarantined
        Why nobody knows whether the holder is over; empty: not in quarantine.
    """

    name: str
    state: str
    enabled: bool | None
    gpus: int | None
    holder: str | None
    since: datetime | None = None
    queue: tuple[str, ...] = ()
    quarantined: str = ""

    def cells(self, now: datetime) -> tuple[str, ...]:
        """Its columns, as `TITLES` names them."""
        more = len(self.queue) - SHOWN
        names = ", ".join(self.queue[:SHOWN]) + (f", {more} more" if more > 0 else "")
        holder = UNKNOWN if self.holder is None else self.holder or "-"
        return (
            self.name,
            f"{self.state},quarantined" if self.quarantined else self.state,
            UNKNOWN if self.enabled is None else "yes" if self.enabled else "no",
            UNKNOWN if self.gpus is None else str(self.gpus),
            holder,
            age(self.since, now),
            str(len(self.queue)),
            names,
        )

    def document(self) -> Json:
        """For programs; null is what the person may not see."""
        return {
            "node": self.name,
            "state": self.state,
            "enabled": self.enabled,
            "gpus": self.gpus,
            "holder": self.holder,
            "heldSince": self.since.isoformat() if self.since is not None else None,
            "queue": list(self.queue),
            "quarantined": self.quarantined,
        }


def observe(api: ApiServer, namespace: str) -> Observed:
    """Read nodes, locks and processes as far as the person may.

    Parameters
    ----------
    namespace
        Whose processes are read where those of all namespaces may not be.
    """
    gaps: list[str] = []
    nodes: tuple[NodeFacts, ...] | None = None
    locks: tuple[Lock, ...] | None = None
    try:
        nodes = tuple(map(parse.node, api.list(NODE).items))
    except Forbidden:
        gaps.append("You may not list nodes: only those that processes name are shown.")
    try:
        locks = tuple(map(lock_of, api.list(LEASE, LOCK_NAMESPACE).items))
    except Forbidden:
        gaps.append(
            f"You may not list the Leases of namespace {LOCK_NAMESPACE}: the holders are those "
            "that processes show, and a quarantine is not seen."
        )
    raw, gap = _processes(api, namespace)
    if gap:
        gaps.append(gap)
    return Observed(nodes, locks, tuple(_readable(raw)), tuple(gaps))


def _processes(api: ApiServer, namespace: str) -> tuple[tuple[Json, ...], str]:
    """The processes that the person may list, and a sentence if these are not all."""
    try:
        return api.list(PROCESS).items, ""
    except Forbidden:
        pass
    try:
        mine = api.list(PROCESS, namespace).items
    except Forbidden:
        return (), "You may not list processes: nobody is shown as waiting."
    return mine, (
        f"You may not list the processes of all namespaces: those of {namespace} are counted."
    )


def rows(seen: Observed) -> tuple[NodeRow, ...]:
    """The target nodes by name: those that are enabled, held, or waited for."""
    nodes = None if seen.nodes is None else {node.name: node for node in seen.nodes}
    locks = None if seen.locks is None else {lock.facts.node: lock for lock in seen.locks}
    unfinished = [
        process
        for process in seen.processes
        if process.status.phase is not None and not process.status.phase.terminal
    ]
    names = {process.spec.target_node for process in unfinished}
    names |= {node.name for node in seen.nodes or () if node.enabled}
    names |= {lock.facts.node for lock in seen.locks or ()}
    return tuple(_row(name, nodes, locks, unfinished) for name in sorted(names))


def _row(
    name: str,
    nodes: dict[str, NodeFacts] | None,
    locks: dict[str, Lock] | None,
    unfinished: Iterable[TrainingProcess],
) -> NodeRow:
    mine = [process for process in unfinished if process.spec.target_node == name]
    queue = tuple(rival.key for rival in sorted(_waiting(mine), key=order))
    lock = (locks or {}).get(name)
    if lock is not None:
        holder: str | None = lock.facts.holder
    else:
        on_node = [process.key for process in mine if process.status.phase in ACTIVE]
        holder = next(iter(on_node), "" if locks is not None else None)
    node = (nodes or {}).get(name)
    return NodeRow(
        name=name,
        state=_state(node, known=nodes is not None),
        enabled=None if node is None else node.enabled,
        gpus=None if node is None else gpus(node),
        holder=holder,
        since=None if lock is None else lock.since,
        queue=queue,
        quarantined="" if lock is None else lock.facts.quarantined,
    )


def _state(node: NodeFacts | None, *, known: bool) -> str:
    if node is None:
        return "missing" if known else UNKNOWN
    return ("Ready" if node.ready else "NotReady") + (",cordoned" if node.cordoned else "")


def gpus(node: NodeFacts) -> int:
    """Allocatable GPUs of any vendor: resources such as nvidia.com/gpu or amd.com/gpu."""
    return sum(
        count
        for name, count in node.allocatable.items()
        if "gpu" in name.rpartition("/")[2] or name.startswith("nvidia.com/mig-")
    )


def _waiting(processes: Iterable[TrainingProcess]) -> list[Rival]:
    """Those that stand in the queue, as the operator sees them."""
    rivals = [
        as_rival(process)
        for process in processes
        if process.metadata.creation_timestamp is not None
    ]
    return [rival for rival in rivals if waits(rival)]


def lock_of(raw: Json) -> Lock:
    """A lock of its Lease."""
    created = parse.metadata(raw).get("creationTimestamp")
    return Lock(parse.lease(raw), parse.time(created) if created else None)


def _readable(raw: Iterable[Json]) -> Iterable[TrainingProcess]:
    for item in raw:
        try:
            yield parse.typed(TrainingProcess, item)
        except parse.UnreadableObject:
            # Stored under other rules: the operator does not run it either.
            continue
