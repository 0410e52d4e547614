"""A namespace, its nodes and an operator that sees nothing else: many of them side by side."""

from __future__ import annotations

import itertools
import random
import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.fault_proxy import LABEL_WORLD, FaultProxy, ProxyLoop, Scope
from support.forked_operator import ForkedOperator, Nursery
from support.kubelet import SimulatedKubelet
from support.mirror import MIRRORED, Mirror
from support.trainer import Epochs
from support.waiting import eventually
from support.world import NAMESPACE, SERVICE_ACCOUNT, World
from trainyard.api.meta import LABEL_PROCESS
from trainyard.cluster import names
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.resources import (
    CAPABILITY,
    CONFIG_MAP,
    DATASET,
    JOB,
    LEASE,
    LOCK_NAMESPACE,
    POD,
    PROCESS,
    TEMPLATE,
    ResourceType,
)
from trainyard.stores import Store
from trainyard_local.s3 import S3Account

Json = dict[str, Any]
INPUTS = ((CAPABILITY, "animals"), (TEMPLATE, "small"), (DATASET, "train"), (DATASET, "dev"))
_ports = itertools.count(random.randrange(12_000, 26_000, 2))
_ports_lock = threading.Lock()


def own_ports(count: int) -> list[int]:
    """Free ports below those that connections take by themselves, so that they stay free.

    An operator that was killed needs its ports again a moment later.
    """
    found: list[int] = []
    with _ports_lock:
        while len(found) < count:
            port = 12_000 + next(_ports) % 20_000
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
            found.append(port)
    return found


@dataclass(frozen=True)
class Yard:
    """What all plots of a session share."""

    api: ApiServer
    kubelet: SimulatedKubelet
    mirror: Mirror
    loop: ProxyLoop
    nursery: Nursery
    account: S3Account
    store: Store
    folder: Path
    settings: Json
    """Of operators."""
    kubectl_program: Path
    kubeconfig: Path
    inputs: dict[str, Json] = field(default_factory=dict)
    """Inputs of a run as they are once they are Ready, by kind and name."""

    def plot(
        self, *, nodes: int = 1, scoped: bool = True, seed: bool = True, **settings: Any
    ) -> Plot:
        """A new namespace with nodes and an operator that does not run yet.

        Parameters
        ----------
        nodes
            How many, 1 or 2.
        scoped
            Whether the operator sees nothing else.
        seed
            Whether the inputs of a run are there and Ready.
        settings
            Of its operator, beside those of all.
        """
        made = Plot(
            api=self.api,
            kubelet=self.kubelet,
            operator=None,  # type: ignore[arg-type]
            account=self.account,
            store=self.store,
            kubectl_program=self.kubectl_program,
            kubeconfig=self.kubeconfig,
            yard=self,
        )
        made.nodes = (made.node, made.other_node)[:nodes]
        scope = Scope(made.namespace, frozenset(made.nodes)) if scoped else None
        folder = self.folder / made.namespace
        made.proxy = FaultProxy(self.loop, folder, scope)
        made.operator = self.operator(folder, made.proxy.kubeconfig, **settings)
        made.build()
        if seed:
            made.seed()
        return made

    def operator(self, folder: Path, kubeconfig: Path, **settings: Any) -> ForkedOperator:
        """An operator that does not run yet."""
        made = ForkedOperator(
            folder=folder,
            kubeconfig=kubeconfig,
            account=self.account,
            settings={**self.settings, **settings},
            nursery=self.nursery,
        )
        made.progress_port, made.health_port = own_ports(2)
        return made


@dataclass
class Plot(World):
    """A world of its own, whose operator is behind a fault proxy."""

    yard: Yard = field(kw_only=True)
    operator: ForkedOperator
    proxy: FaultProxy = field(init=False)
    trainer: Epochs = field(default_factory=Epochs, init=False)
    """What plays the trainer of the run that the plot is about."""
    nodes: tuple[str, ...] = field(default=(), init=False)

    def build(self) -> Plot:
        """Make the namespace, its Secret and the nodes."""
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        self.api.create(NAMESPACE, body)
        self.create_secret()
        for node in self.nodes:
            self.kubelet.add_node(node, labels={LABEL_WORLD: self.namespace})
        eventually(
            "the service account `default`",
            lambda: self.api.get(SERVICE_ACCOUNT, "default", self.namespace),
        )
        return self

    def demolish(self) -> None:
        """End the operator and let everything else go in its own time."""
        self.operator.stop()
        self.proxy.stop()
        raw = self.api.get(NAMESPACE, self.namespace)
        if raw is not None:
            self.api.delete(NAMESPACE, self.namespace, uid=raw["metadata"]["uid"])
        for node in self.nodes:
            self.kubelet.remove_node(node)
            self.kubelet.speak(node)

    def held(self, name: str = "cats", *, after: int = 2, **spec: Any) -> Epochs:
        """Apply a process and wait until its trainer waits after an epoch."""
        trainer = Epochs(hold_after=after)
        self.kubelet.script(self.namespace, name, trainer)
        self.process(name, **spec)
        eventually(f"{name} training", trainer.holding.is_set, seen=lambda: self.explain(name))
        self.wait_phase(PROCESS, name, "Running")
        return trainer

    def wait_gone(self, name: str, *, within: float = 60.0) -> None:
        """Wait until nothing of a process is left but its model and its files."""
        traces = lambda: {  # noqa: E731
            "process": self.get(PROCESS, name),
            "jobs": self.jobs(name),
            "pods": self.pods(name),
            "config maps": self.config_maps(name),
        }
        eventually(
            f"everything of {name} being gone",
            lambda: not any(traces().values()),
            within=within,
            seen=traces,
        )

    def seed(self) -> None:
        """Put the inputs of a run here as they were elsewhere once they were Ready."""
        for type_, name in INPUTS:
            raw = self.yard.inputs[f"{type_.kind} {name}"]
            self.apply(type_.kind, name, raw["spec"])
            status = {"status": raw["status"]}
            self.api.merge_patch(type_, name, status, self.namespace, subresource="status")

    def get(self, type_: ResourceType, name: str) -> Json | None:
        """An object of the namespace, a few milliseconds old for the types that are followed."""
        if type_ in MIRRORED:
            return self.yard.mirror.get(type_, name, self.namespace)
        return super().get(type_, name)

    def jobs(self, name: str | None = None) -> list[Json]:
        """Training Jobs of the namespace."""
        return [raw for raw in self._mine(JOB) if name is None or _process(raw) == name]

    def pods(self, name: str | None = None) -> list[Json]:
        """Training pods of the namespace."""
        return [raw for raw in self._mine(POD) if name is None or _process(raw) == name]

    def config_maps(self, name: str) -> list[Json]:
        """ConfigMaps of a process."""
        return [raw for raw in self._mine(CONFIG_MAP) if _process(raw) == name]

    def lease(self, node: str | None = None) -> Json | None:
        """The lock of a node, the first one by default."""
        return self.yard.mirror.get(LEASE, names.node_lease(node or self.node), LOCK_NAMESPACE)

    def _mine(self, type_: ResourceType) -> list[Json]:
        return [raw for raw in self.yard.mirror.all(type_, self.namespace) if _process(raw)]


def _process(raw: Json) -> str | None:
    return (raw["metadata"].get("labels") or {}).get(LABEL_PROCESS)
