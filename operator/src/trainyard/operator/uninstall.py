"""`python -m trainyard.operator.uninstall`: leave nothing behind that only an operator can end.

Training pods carry a finalizer of ours, which the operator takes off when their end is on record.
Without an operator such a pod could never be deleted, nor could its namespace. So this runs before
the operator goes, with the operator's rights. It takes the lead first, so that no run starts
meanwhile. While runs live it changes nothing and fails; with `--force` it lets their pods go too,
and marks the locks of their nodes: an operator that is installed later starts nothing there before
a reboot or an administrator's word.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from trainyard.api.meta import LABEL_ATTEMPT, LABEL_PROCESS, Json
from trainyard.cluster import names, objects, parse
from trainyard.cluster.api_server import ApiServer, connect
from trainyard.cluster.errors import AlreadyExists, ApiError, Conflict
from trainyard.cluster.release import let_go
from trainyard.cluster.resources import JOB, LEASE, LOCK_NAMESPACE, NODE, POD
from trainyard.operator.leader import micro_time
from trainyard.operator.settings import (
    LeaderElectionSettings,
    Settings,
    SettingsError,
    load_settings,
)

TRIES = 5
"""How often a write is repeated that met another one."""
LEAD_SECONDS = 120
"""For so long nobody else takes the lead: by then the operator is deleted."""
STEP_BACK_SECONDS = 3.0
"""What a leader that was replaced needs to finish the pass that it is in."""

Say = Callable[[str], None]
Wait = Callable[[float], None]


@dataclass(frozen=True)
class Found:
    """What the uninstallation is about, by one look at Jobs and then at pods."""

    kept: tuple[Json, ...]
    """Pods with our finalizer."""
    live: tuple[Json, ...]
    """Pods that may run."""
    starting: tuple[Json, ...]
    """Jobs that may make a pod and have none yet."""

    def lines(self) -> list[str]:
        """One line for each run that lives."""
        running = [
            f"pod {parse.key_of(raw)} of TrainingProcess {_process(raw)} on node {_node(raw)}"
            for raw in self.live
        ]
        starting = [
            f"Job {parse.key_of(raw)} of TrainingProcess {_process(raw)}, which starts its pod"
            for raw in self.starting
        ]
        return sorted(running) + sorted(starting)


class RunsLive(Exception):
    """Runs live, so nothing was changed; one line for each of them, then what to do."""


def uninstall(
    api: ApiServer, settings: Settings, say: Say, *, force: bool = False, wait: Wait = time.sleep
) -> None:
    """Let all pods go that our finalizer keeps, and say what was done.

    Parameters
    ----------
    say
        Told one line at a time.
    force
        Let go also the pods that are not known to be over.
    wait
        Waits for some seconds.

    Raises
    ------
    RunsLive
        If runs live and `force` is false.
    """
    lead = _Lead(api, settings.leader_election)
    if lead.take():
        wait(settings.leader_election.retry_seconds + STEP_BACK_SECONDS)
    found = look(api, settings.namespaces)
    if found.lines() and not force:
        lead.give_back()
        raise RunsLive("\n".join([*found.lines(), _advice(len(found.lines()))]))
    for job in found.starting:
        _fence(api, job)
        say(f"suspended Job {parse.key_of(job)}: it had no pod yet")
    if found.starting:
        # What they made in between.
        found = look(api, settings.namespaces)
    for pod in found.live:
        _quarantine(api, pod)
        say(
            f"node {_node(pod)} is quarantined: pod {parse.key_of(pod)} goes on without an operator"
        )
    for pod in found.kept:
        _repeated(partial(let_go, api, parse.pod(pod)))
        say(f"pod {parse.key_of(pod)} can be deleted now")
    say("nothing waits for the operator any more; the locks of the nodes stay as they are")


def look(api: ApiServer, namespaces: Sequence[str] = ()) -> Found:
    """What is there of ours, in the namespaces that are served; none: in all.

    Jobs come first: one that is not live then makes no pod that the second LIST does not show.
    """
    jobs, pods = (
        [
            raw
            for raw in api.list(type_, label_selector=names.TRAINING_SELECTOR).items
            if not namespaces or parse.metadata(raw).get("namespace") in namespaces
        ]
        for type_ in (JOB, POD)
    )
    live = [raw for raw in pods if not parse.pod(raw).over]
    busy = {parse.owner_uid(raw) for raw in live}
    return Found(
        kept=tuple(raw for raw in pods if parse.pod(raw).kept),
        live=tuple(live),
        starting=tuple(
            raw for raw in jobs if parse.job(raw).live and parse.job(raw).uid not in busy
        ),
    )


class _Lead:
    """The Lease of the leader, taken from whoever has it: the operator notices and stands by."""

    def __init__(self, api: ApiServer, settings: LeaderElectionSettings) -> None:
        self._api = api
        self._settings = settings
        self._identity = f"uninstall-{socket.gethostname()}"

    def take(self) -> bool:
        """Whether somebody else may have led until now."""
        if not self._settings.enabled:
            return False
        return self._write(self._identity)

    def give_back(self) -> None:
        """Let the operator lead again."""
        if self._settings.enabled:
            self._write("")

    def _write(self, holder: str) -> bool:
        place = self._settings.lease_namespace()

        def write() -> bool:
            found = self._api.get(LEASE, self._settings.name, place)
            if found is None:
                return False
            spec = {
                **(found.get("spec") or {}),
                "holderIdentity": holder,
                "leaseDurationSeconds": LEAD_SECONDS,
                "renewTime": micro_time(),
            }
            self._api.replace(LEASE, {**found, "spec": spec})
            return True

        return bool(_repeated(write))


def _quarantine(api: ApiServer, pod: Json) -> None:
    """Mark the lock of the pod's node, before the pod is let go."""
    fact, node = parse.pod(pod), _node(pod)
    marks = {
        parse.ANNOTATION_QUARANTINED: (
            f"Trainyard was uninstalled while pod {parse.key_of(pod)} ran on node {node}, so "
            "nobody knows when it ended. Reboot the machine; or, when nothing of it runs any more, "
            f"say so with: trainyard nodes release {node}"
        )
    }

    def mark() -> None:
        raw = api.get(LEASE, names.node_lease(node), LOCK_NAMESPACE)
        if raw is None:
            machine = api.get(NODE, node)
            body = objects.node_lease(
                node,
                None if machine is None else parse.node(machine),
                job_uid=fact.job_uid,
                job=parse.owner_name(parse.metadata(pod), fact.namespace),
                holder=_process(pod),
                attempt=_labels(pod).get(LABEL_ATTEMPT, ""),
            )
            body["metadata"]["annotations"] |= {**marks, parse.ANNOTATION_BOOT_ID: ""}
            api.create(LEASE, body, LOCK_NAMESPACE)
            return
        lease = parse.lease(raw)
        if lease.quarantined:
            return
        # The boot in the lock counts only if the pod was seen running in it.
        boot = {} if lease.seen == fact.uid else {parse.ANNOTATION_BOOT_ID: ""}
        meta = {"resourceVersion": lease.resource_version, "annotations": {**marks, **boot}}
        api.merge_patch(LEASE, lease.name, {"metadata": meta}, LOCK_NAMESPACE)

    _repeated(mark)


def _fence(api: ApiServer, job: Json) -> None:
    def suspend() -> None:
        found = api.get(JOB, job["metadata"]["name"], job["metadata"]["namespace"])
        if found is None or not parse.job(found).live:
            return
        fact = parse.job(found)
        patch = {
            "metadata": {"uid": fact.uid, "resourceVersion": fact.resource_version},
            "spec": {"suspend": True},
        }
        api.merge_patch(JOB, fact.name, patch, fact.namespace)

    _repeated(suspend)


def _repeated(write: Callable[[], bool | None]) -> bool | None:
    """Read and write again for as long as somebody else writes in between."""
    for _ in range(TRIES - 1):
        try:
            return write()
        except (AlreadyExists, Conflict):
            time.sleep(0.2)
    return write()


def _labels(raw: Json) -> dict[str, str]:
    return parse.metadata(raw).get("labels") or {}


def _process(raw: Json) -> str:
    return f"{parse.metadata(raw).get('namespace')}/{_labels(raw).get(LABEL_PROCESS, '?')}"


def _node(pod: Json) -> str:
    fact = parse.pod(pod)
    return fact.node or fact.target_node


def _advice(count: int) -> str:
    runs = "1 run lives" if count == 1 else f"{count} runs live"
    return (
        f"{runs}, so Trainyard is not uninstalled: wait for the end, or stop or delete each of "
        "them, and try again; or let them go on without an operator, with their nodes quarantined: "
        "run this in the operator's pod with --force, then helm uninstall --no-hooks; to keep "
        "Trainyard: helm rollback"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 if nothing is kept any more, 3 if runs live, 78 for bad settings, else 1."""
    parser = argparse.ArgumentParser(
        prog="trainyard.operator.uninstall",
        description="Take the operator's finalizer off the pods of trainings before it goes.",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="also off pods that still run; their nodes are quarantined",
    )
    options = parser.parse_args(arguments)
    try:
        settings = load_settings()
        api = connect(os.environ.get("KUBECONFIG"), connections=1)
        uninstall(api, settings, _out, force=options.force)
    except RunsLive as error:
        return _failed(str(error), 3)
    except SettingsError as error:
        return _failed(f"trainyard: {error}", 78)
    except ApiError as error:
        return _failed(
            f"trainyard: the API server refused or did not answer ({error}): run this again, it "
            "goes on where it stopped",
            1,
        )
    return 0


def _out(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _failed(message: str, code: int) -> int:
    sys.stderr.write(f"{message}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
