"""`trainyard nodes release`: an administrator's word that the holder of a node's lock is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from trainyard.api.meta import ANNOTATION_RELEASE
from trainyard.cli.errors import CommandError, of_refused_change
from trainyard.cli.node_overview import Lock, lock_of
from trainyard.cli.output import age
from trainyard.cluster import names, parse
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.errors import Forbidden, Invalid
from trainyard.cluster.resources import LEASE, LOCK_NAMESPACE, NODE, POD
from trainyard.decide.facts import NodeFacts, PodFacts

POLL_SECONDS = 0.5
WAIT_SECONDS = 60.0
"""How long a release is waited for."""


@dataclass(frozen=True)
class Holding:
    """What is known about the lock of a node and its holder.

    Attributes
    ----------
    pods
        Training pods of the node; None: the person may not read them.
    """

    node: NodeFacts
    lock: Lock
    pods: tuple[PodFacts, ...] | None

    @property
    def live_pods(self) -> tuple[PodFacts, ...]:
        """Pods without evidence of their end."""
        return tuple(pod for pod in self.pods or () if not pod.over)


def look(api: ApiServer, name: str) -> Holding:
    """Read the node, its lock and its pods.

    Raises
    ------
    CommandError
        If there is no such node, or it holds no lock, or the person may not read that.
    """
    try:
        raw_lease = api.get(LEASE, names.node_lease(name), LOCK_NAMESPACE)
        raw_node = api.get(NODE, name)
    except Forbidden as error:
        raise CommandError(
            f"you may not read the node or its lock ({error}): this takes the rights of the "
            "chart's role node-admin"
        ) from None
    if raw_lease is None:
        exists = "" if raw_node is not None else ", and there is no node of that name"
        raise CommandError(f"node {name} holds no lock{exists}: there is nothing to release")
    if raw_node is None:
        raise CommandError(
            f"node {name} is not in the cluster, so that its lock (of "
            f"{parse.lease(raw_lease).holder}) cannot be released by a word on it: let the machine "
            "join again first"
        )
    lock = lock_of(raw_lease)
    return Holding(parse.node(raw_node), lock, _pods(api, lock))


def _pods(api: ApiServer, lock: Lock) -> tuple[PodFacts, ...] | None:
    """Training pods of the node: of all namespaces, else of the holder's, else unknown."""
    for namespace in (None, lock.facts.holder.partition("/")[0]):
        try:
            found = api.list(POD, namespace, label_selector=names.TRAINING_SELECTOR).items
        except Forbidden:
            continue
        pods = map(parse.pod, found)
        return tuple(pod for pod in pods if lock.facts.node in (pod.node, pod.target_node))
    return None


def why_not(holding: Holding) -> str | None:
    """Why the lock should not be released, or None: its holder plainly runs, or may well."""
    name, lock = holding.node.name, holding.lock.facts
    if lock.quarantined:
        return None
    running = next((pod for pod in holding.live_pods if pod.phase == "Running"), None)
    if running is not None and holding.node.ready:
        return (
            f"node {name} is Ready and pod {running.namespace}/{running.name} runs on it, so that "
            f"its lock is in use: stop the process first (trainyard stop "
            f"{lock.holder.partition('/')[2]} -n {lock.holder.partition('/')[0]})"
        )
    if holding.pods is None:
        return (
            f"node {name} is not in quarantine, and you may not read pods, so that nothing says "
            f"that {lock.holder} does not run"
        )
    return None


def description(holding: Holding, now: datetime) -> tuple[str, ...]:
    """What is known, a line each."""
    lock, node = holding.lock, holding.node
    since = f", for {age(lock.since, now)}" if lock.since is not None else ""
    lines = [
        f"Node:       {node.name}, {'Ready' if node.ready else 'not Ready'}",
        f"Held by:    TrainingProcess {lock.facts.holder or '?'}{since}",
        f"Quarantine: {lock.facts.quarantined or 'no'}",
    ]
    if lock.facts.boot_id and node.boot_id and lock.facts.boot_id != node.boot_id:
        lines.append("Machine:    was started anew since the lock was taken")
    if holding.pods is None:
        lines.append("Pod:        unknown, you may not read pods")
    elif not holding.pods:
        lines.append("Pod:        none is left in the API; a process of it may still live")
    for pod in holding.pods or ():
        over = "its end is certain" if pod.over else "whether it has ended is not certain"
        lines.append(f"Pod:        {pod.namespace}/{pod.name}, {pod.phase}, {over}")
    return tuple(lines)


def release(api: ApiServer, holding: Holding) -> None:
    """Put the word on the node: the UID of this one lock, so that it frees no later one."""
    patch = {
        "metadata": {
            "uid": holding.node.uid,
            "annotations": {ANNOTATION_RELEASE: holding.lock.facts.uid},
        }
    }
    try:
        api.merge_patch(NODE, holding.node.name, patch)
    except Forbidden as error:
        raise CommandError(
            f"you may not annotate node {holding.node.name} ({error}): this takes the rights of "
            "the chart's role node-admin"
        ) from None
    except Invalid as error:
        raise of_refused_change(f"node {holding.node.name}", error) from None


def wait_released(
    api: ApiServer, holding: Holding, say: Callable[[str], None], within: float = WAIT_SECONDS
) -> None:
    """Wait until the operator has freed this lock; another one taken since is no matter.

    Parameters
    ----------
    within
        Seconds.

    Raises
    ------
    CommandError
        If it is still there after that.
    """
    lock, name = holding.lock.facts, holding.node.name
    say(f"node {name} is marked: waiting up to {within:.0f} s for the operator to free its lock")
    deadline = time.monotonic() + within
    while True:
        raw = api.get(LEASE, lock.name, LOCK_NAMESPACE)
        if raw is None or parse.metadata(raw)["uid"] != lock.uid:
            return
        if time.monotonic() >= deadline:
            raise CommandError(
                f"the lock of node {name} is still there after {within:.0f} s; the mark stays and "
                "counts as soon as the operator sees it: is it running (kubectl get pods -A -l "
                "app.kubernetes.io/name=trainyard)?"
            )
        time.sleep(POLL_SECONDS)
