"""What is shown of a target node: who holds it and what is left for them, and who waits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from trainyard.api.meta import Json
from trainyard.api.process_status import ProcessPhase
from trainyard.cli.output import age
from trainyard.decide import display
from trainyard.decide.forecast import LEAST_TOLERANCE

TITLES = ("NODE", "STATE", "GPUS", "HELD BY", "FOR", "LEFT", "WAITING")
WIDE_TITLES = (*TITLES, "PHASE", "PROGRESS", "UNTIL", "ENABLED")
QUEUE_TITLES = ("NODE", "PLACE", "WAITS", "PRIORITY", "STARTS")
UNKNOWN = "?"
TRAINS = (ProcessPhase.STARTING, ProcessPhase.RUNNING)
"""Phases in which an estimate of the end is one of the node's being free."""
SHOWN = 5
"""Processes of a queue that are shown, unless all are asked for."""


@dataclass(frozen=True)
class Holder:
    """Who holds a node.

    Attributes
    ----------
    name
        `namespace/name`, or what the operator calls one whose name is not to be known.
    since
        When the lock was taken; None: the person may not read locks.
    phase, percent
        How far its process is; None: the person may not read it, or nothing is known.
    until
        When it will probably be done; None: nobody knows, as in a quarantine.
    """

    name: str
    since: datetime | None = None
    phase: ProcessPhase | None = None
    percent: int | None = None
    until: datetime | None = None

    def left(self, now: datetime) -> str:
        """`~42m`; the phase of a holder that does not train any more."""
        if self.phase is not None and self.phase not in TRAINS:
            return str(self.phase)
        if self.until is None:
            return UNKNOWN
        if self.until < now - LEAST_TOLERANCE:
            return "overdue"
        return f"~{display.duration((self.until - now).total_seconds())}"


@dataclass(frozen=True)
class Waiting:
    """A process that stands in the queue of a node.

    Attributes
    ----------
    position
        1 is the next to start; None: others may wait whom the person may not see.
    starts
        When it will probably start; None: nobody knows.
    reason
        Why it does not start, in one word; empty: because others go first.
    """

    process: str
    position: int | None
    priority: int
    starts: datetime | None
    reason: str = ""

    def start(self, now: datetime) -> str:
        """`Wed 14:35 UTC, in ~42m`, or what keeps it from starting."""
        if self.reason or self.starts is None:
            return self.reason or UNKNOWN
        left = display.duration((self.starts - now).total_seconds())
        return f"{display.moment(self.starts)}, in ~{left}"


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
        None: free, or unknown.
    held
        Whether somebody holds it; None: the person may not know.
    queue
        Those that wait, the next one first.
    quarantined
        Why nobody knows whether the holder is over, and what to do; empty: not in quarantine, as
        far as the person may know.
    """

    name: str
    state: str
    enabled: bool | None
    gpus: int | None
    held: bool | None
    holder: Holder | None = None
    queue: tuple[Waiting, ...] = ()
    quarantined: str = ""

    def cells(self, now: datetime, *, wide: bool = False) -> tuple[str, ...]:
        """Its columns, as `TITLES` or `WIDE_TITLES` name them."""
        holder = self.holder or Holder("-" if self.held is False else UNKNOWN)
        state = [self.state]
        state += ["not-enabled"] if self.enabled is False else []
        state += ["quarantined"] if self.quarantined else []
        cells = (
            self.name,
            ",".join(state),
            UNKNOWN if self.gpus is None else str(self.gpus),
            holder.name,
            age(holder.since, now),
            "" if self.holder is None else holder.left(now),
            str(len(self.queue)),
        )
        if not wide:
            return cells
        return (
            *cells,
            str(holder.phase or ""),
            "" if holder.percent is None else f"{holder.percent}%",
            "" if holder.until is None else display.moment(holder.until),
            UNKNOWN if self.enabled is None else "yes" if self.enabled else "no",
        )

    def queue_cells(self, now: datetime, *, wide: bool = False) -> list[tuple[str, ...]]:
        """One row for each that waits, as `QUEUE_TITLES` names its columns."""
        shown = self.queue if wide else self.queue[:SHOWN]
        found: list[tuple[str, ...]] = [
            (
                self.name,
                UNKNOWN if one.position is None else display.ordinal(one.position),
                one.process,
                str(one.priority),
                one.start(now),
            )
            for one in shown
        ]
        more = len(self.queue) - len(shown)
        return [*found, (self.name, "", f"{more} more", "", "")] if more else found

    def document(self) -> Json:
        """For programs; null is what is not known, or not for the person to know."""
        holder = self.holder
        return {
            "node": self.name,
            "state": self.state,
            "enabled": self.enabled,
            "gpus": self.gpus,
            "held": self.held,
            "holder": None if holder is None else holder.name,
            "heldSince": None if holder is None else _iso(holder.since),
            "heldUntil": None if holder is None else _iso(holder.until),
            "holderPhase": None if holder is None or not holder.phase else str(holder.phase),
            "holderPercent": None if holder is None else holder.percent,
            "quarantined": self.quarantined,
            "queue": [
                {
                    "process": one.process,
                    "position": one.position,
                    "priority": one.priority,
                    "estimatedStartTime": _iso(one.starts),
                    "reason": one.reason,
                }
                for one in self.queue
            ],
        }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
