"""The target nodes: who holds each, and who waits for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from trainyard.api.meta import Condition, Json
from trainyard.api.process import TrainingProcess
from trainyard.api.process_status import QueueStatus
from trainyard.api.reasons import ConditionType, Reason
from trainyard.cli.node_rows import TRAINS, UNKNOWN, Holder, NodeRow, Waiting
from trainyard.cluster import parse
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.errors import Forbidden
from trainyard.cluster.resources import LEASE, LOCK_NAMESPACE, NODE, PROCESS
from trainyard.decide.conditions import find
from trainyard.decide.expectation import done_at
from trainyard.decide.facts import LeaseFacts, NodeFacts
from trainyard.decide.naming import ANOTHER
from trainyard.decide.queue import ACTIVE, as_rival, order, waits


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
    all_processes
        Whether these are all that there are.
    gaps
        One sentence for each thing that could not be read.
    """

    nodes: tuple[NodeFacts, ...] | None
    locks: tuple[Lock, ...] | None
    processes: tuple[TrainingProcess, ...]
    all_processes: bool = True
    gaps: tuple[str, ...] = ()


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
            f"You may not list the Leases of namespace {LOCK_NAMESPACE}: holders and quarantines "
            "are those that processes tell of."
        )
    raw, gap = _processes(api, namespace)
    if gap:
        gaps.append(gap)
    return Observed(nodes, locks, tuple(_readable(raw)), not gap, tuple(gaps))


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
    unfinished = [
        process
        for process in seen.processes
        if process.status.phase is not None and not process.status.phase.terminal
    ]
    names = {process.spec.target_node for process in unfinished}
    names |= {node.name for node in seen.nodes or () if node.enabled}
    names |= {lock.facts.node for lock in seen.locks or ()}
    return tuple(_row(name, seen) for name in sorted(names))


def _row(name: str, seen: Observed) -> NodeRow:
    mine = [process for process in seen.processes if process.spec.target_node == name]
    waiting = _waiting(mine)
    lock = next((lock for lock in seen.locks or () if lock.facts.node == name), None)
    node = next((node for node in seen.nodes or () if node.name == name), None)
    holder = _holder(lock, mine, waiting, locks_known=seen.locks is not None)
    quarantined = _quarantine(seen.locks, lock, waiting)
    if holder is not None and quarantined:
        holder = replace(holder, until=None)
    return NodeRow(
        name=name,
        state=_state(node, known=seen.nodes is not None),
        enabled=None if node is None else node.enabled,
        gpus=None if node is None else gpus(node),
        held=True if holder is not None else False if seen.locks is not None else None,
        holder=holder,
        queue=tuple(
            _place(process, number if seen.all_processes else None)
            for number, process in enumerate(waiting, start=1)
        ),
        quarantined=quarantined,
    )


def _holder(
    lock: Lock | None,
    on_node: Sequence[TrainingProcess],
    waiting: Sequence[TrainingProcess],
    *,
    locks_known: bool,
) -> Holder | None:
    """Who holds a node: by its lock, by its own process, or as those say who wait for it."""
    told, told_until = _told_holder(waiting)
    if lock is not None:
        name, since = lock.facts.holder, lock.since
        process = next((process for process in on_node if process.key == name), None)
    else:
        process = next((one for one in on_node if one.status.phase in ACTIVE), None)
        name = process.key if process is not None else "" if locks_known else told or ""
        since = None
    if not name:
        return None
    until = told_until if told in (name, ANOTHER) else None
    if process is None:
        return Holder(name, since, until=until)
    progress, phase = process.status.progress, process.status.phase
    return Holder(
        name=name,
        since=since,
        phase=phase,
        percent=None if progress is None else progress.percent,
        until=(done_at(process.status, None) or until) if phase in TRAINS else None,
    )


def _told_holder(waiting: Iterable[TrainingProcess]) -> tuple[str | None, datetime | None]:
    """Who holds the node and until when, as the operator told those who wait.

    Of one who is not the next it may tell who goes first; until when is told of a holder only.
    """
    for process in waiting:
        queue = process.status.queue
        if queue is not None and (queue.position == 1 or queue.held_until is not None):
            return queue.waiting_for, queue.held_until
    return None, None


def _place(process: TrainingProcess, position: int | None) -> Waiting:
    queue, reserved = process.status.queue or QueueStatus(), _reserved(process)
    reason = Reason.WAITING_FOR_NODE if reserved is None else reserved.reason
    return Waiting(
        process=process.key,
        position=position or queue.position,
        priority=process.spec.priority,
        starts=queue.estimated_start_time,
        reason="" if reason == Reason.WAITING_FOR_NODE else reason,
    )


def _reserved(process: TrainingProcess) -> Condition | None:
    return find(process.status.conditions, ConditionType.NODE_RESERVED)


def _quarantine(
    locks: Sequence[Lock] | None, lock: Lock | None, waiting: Iterable[TrainingProcess]
) -> str:
    """Why the node is in quarantine: as its lock says, or those who wait for it."""
    if locks is not None:
        return "" if lock is None else lock.facts.quarantined
    told = (
        reserved.message
        for reserved in map(_reserved, waiting)
        if reserved is not None and reserved.reason == Reason.QUARANTINED
    )
    return next(told, "")


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


def _waiting(processes: Iterable[TrainingProcess]) -> list[TrainingProcess]:
    """Those that stand in the queue, as the operator sees them, the next one first."""
    known = [
        (as_rival(process), process)
        for process in processes
        if process.metadata.creation_timestamp is not None
    ]
    queue = [(order(rival), process) for rival, process in known if waits(rival)]
    return [process for _, process in sorted(queue, key=lambda item: item[0])]


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
