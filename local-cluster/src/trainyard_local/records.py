"""The record of the cluster, and the decision of what `up` does with what it finds."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path

from trainyard_local.errors import LocalClusterError


class Phase(StrEnum):
    """How far the last command came."""

    STARTING = "starting"
    UP = "up"
    STOPPING = "stopping"


class Action(StrEnum):
    """What `up` does first."""

    FRESH = "fresh"
    CONTINUE = "continue"
    CLEAN_FIRST = "clean first"


@dataclass(frozen=True)
class ClusterRecord:
    """What is known about the cluster of this cache.

    Attributes
    ----------
    phase : Phase
        How far the last command came.
    nodes : tuple of str
        Node names in order.
    boot_id : str
        Boot of the machine in which it was started.
    clone : str
        Folder of the clone that started it.
    programs : str
        Version keys of its programs.
    since : str
        When it was started fresh, as a person reads it; empty in a record that does not tell.
    """

    phase: Phase
    nodes: tuple[str, ...]
    boot_id: str
    clone: str
    programs: str
    since: str = ""

    def at(self, phase: Phase) -> "ClusterRecord":
        """The same at another phase.

        Parameters
        ----------
        phase : Phase
            The other phase.
        """
        return replace(self, phase=phase)


@dataclass(frozen=True)
class Holder:
    """What there is of the cluster that a record tells of, and of the clone that started it.

    Attributes
    ----------
    pids : Mapping of str to int
        Programs of it that run, with their process IDs.
    clone_exists : bool
        Whether the folder of the clone is still there.
    """

    pids: Mapping[str, int]
    clone_exists: bool


@dataclass(frozen=True)
class Decision:
    """What `up` does first, and why.

    Attributes
    ----------
    action : Action
        What.
    reason : str
        Why: a part of a sentence; empty for a fresh start.
    """

    action: Action
    reason: str = ""


def refuse_other(
    record: ClusterRecord, clone: str, holder: Holder, *, take_over: bool, command: str
) -> str:
    """Refuse to touch a cluster that another clone holds.

    A cluster is never of two clones: the programs and images of the one under the objects and runs
    of the other would be a cluster that nobody asked for.

    Parameters
    ----------
    record : ClusterRecord
        The cluster.
    clone : str
        Folder of the clone that asks.
    holder : Holder
        What there is of it.
    take_over : bool
        Whether the person who asks wants it all the same.
    command : str
        What was asked for, as in ``up``.

    Returns
    -------
    str
        Why the cluster of another clone may be touched, as a part of a sentence; empty when it is
        this clone's own.

    Raises
    ------
    LocalClusterError
        When another clone holds it: with its folder, its programs and what can be done.
    """
    if record.clone == clone:
        return ""
    if take_over:
        return f"it is taken over from {record.clone}"
    if not holder.clone_exists:
        return f"the clone {record.clone} that started it is gone"
    if not holder.pids:
        return f"nothing runs any more of the cluster that {record.clone} started"
    name, pid = next(iter(holder.pids.items()))
    since = f" at {record.since}" if record.since else ""
    raise LocalClusterError(
        f"the cluster of this machine belongs to the clone {record.clone}, which started it{since} "
        f"({len(holder.pids)} of its programs run; {name} is process {pid}). Stop it there "
        f"(make -C {record.clone} down), or end it and all that runs on it from here: "
        f"python -m trainyard_local {command} --take-over"
    )


def decide(
    record: ClusterRecord | None, wanted: ClusterRecord, holder: Holder, *, take_over: bool = False
) -> Decision:
    """Decide how to come from what the record tells to a running cluster.

    Parameters
    ----------
    record : ClusterRecord or None
        What the last command left; None when there is no cluster.
    wanted : ClusterRecord
        What is asked for, in this boot.
    holder : Holder
        What there is of the recorded cluster.
    take_over : bool
        Whether a cluster that another clone holds is to be ended.

    Returns
    -------
    Decision
        Continuing starts what is dead and leaves alone what lives.

    Raises
    ------
    LocalClusterError
        When another clone holds the cluster, or one with other nodes is up: taking nodes away would
        take their pods too.
    """
    if record is None:
        return Decision(Action.FRESH)
    if record.phase is Phase.STOPPING:
        return Decision(Action.CLEAN_FIRST, "the last `down` was interrupted")
    if record.boot_id != wanted.boot_id:
        # etcd does not wait for the disk: what a power cut left of its data may not be whole.
        return Decision(Action.CLEAN_FIRST, "the machine was restarted since")
    if other := refuse_other(record, wanted.clone, holder, take_over=take_over, command="up"):
        return Decision(Action.CLEAN_FIRST, other)
    if record.nodes != wanted.nodes:
        raise LocalClusterError(
            f"a cluster with the nodes {', '.join(record.nodes)} is up, started from "
            f"{record.clone}; {', '.join(wanted.nodes)} was asked for: take it down first"
        )
    if record.programs != wanted.programs:
        return Decision(Action.CLEAN_FIRST, "its programs are of other versions")
    return Decision(
        Action.CONTINUE,
        "it is there already" if record.phase is Phase.UP else "the last `up` was interrupted",
    )


def read(path: Path) -> ClusterRecord | None:
    """Read the record.

    Parameters
    ----------
    path : Path
        Its file.

    Returns
    -------
    ClusterRecord or None
        None when there is none.

    Raises
    ------
    LocalClusterError
        When the file is no record.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return ClusterRecord(
            phase=Phase(found["phase"]),
            nodes=tuple(found["nodes"]),
            boot_id=found["boot_id"],
            clone=found["clone"],
            programs=found["programs"],
            since=found.get("since", ""),
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise LocalClusterError(
            f"{path} is not the record of a cluster ({error}): delete it, and repeat `down`"
        ) from None


def write(path: Path, record: ClusterRecord) -> None:
    """Write the record, whole or not at all.

    Parameters
    ----------
    path : Path
        Its file.
    record : ClusterRecord
        The record.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".new")
    unfinished.write_text(json.dumps(asdict(record), indent=2) + "\n", encoding="utf-8")
    unfinished.rename(path)


def node_names(text: str) -> tuple[str, ...]:
    """Node names of a comma-separated list.

    Parameters
    ----------
    text : str
        As in ``gpu-1,gpu-2``.
    """
    return tuple(part.strip() for part in text.split(",") if part.strip())
