"""The record of the cluster, and the decision of what `up` does with what it finds."""

import json
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
    """

    phase: Phase
    nodes: tuple[str, ...]
    boot_id: str
    clone: str
    programs: str

    def at(self, phase: Phase) -> "ClusterRecord":
        """The same at another phase.

        Parameters
        ----------
        phase : Phase
            The other phase.
        """
        return replace(self, phase=phase)


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


def decide(record: ClusterRecord | None, wanted: ClusterRecord) -> Decision:
    """Decide how to come from what the record tells to a running cluster.

    Parameters
    ----------
    record : ClusterRecord or None
        What the last command left; None when there is no cluster.
    wanted : ClusterRecord
        What is asked for, in this boot.

    Returns
    -------
    Decision
        Continuing starts what is dead and leaves alone what lives.

    Raises
    ------
    LocalClusterError
        When a cluster with other nodes is up: taking nodes away would take their pods too.
    """
    if record is None:
        return Decision(Action.FRESH)
    if record.phase is Phase.STOPPING:
        return Decision(Action.CLEAN_FIRST, "the last `down` was interrupted")
    if record.boot_id != wanted.boot_id:
        # etcd does not wait for the disk: what a power cut left of its data may not be whole.
        return Decision(Action.CLEAN_FIRST, "the machine was restarted since")
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
