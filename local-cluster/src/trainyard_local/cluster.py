"""The cluster of this machine: two real nodes, started, repaired, looked at and taken down."""

import datetime as dt
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from trainyard_local import checks, kubeconfig, leftovers, mounts, nodeconfig, processes, records
from trainyard_local.binaries import Binaries, expected, module_folder, obtain
from trainyard_local.components import MODULES
from trainyard_local.controlplane import ControlPlane
from trainyard_local.debian import NodePrograms, node_programs
from trainyard_local.errors import LocalClusterError
from trainyard_local.layout import (
    ENDPOINTS,
    HOST_ADDRESS,
    NODE_NAMES,
    PROXY_HEALTH_PORT,
    S3_PORT,
    plan_nodes,
)
from trainyard_local.locks import exclusive
from trainyard_local.network import Network, remember_settings, restore_settings
from trainyard_local.node import Node, NodeTools
from trainyard_local.paths import REPOSITORY, Cache, cache
from trainyard_local.processes import Service
from trainyard_local.progress import Reporter
from trainyard_local.records import Action, ClusterRecord, Holder, Phase
from trainyard_local.s3 import S3Account, S3Server
from trainyard_local.status import ClusterStatus, NodeStatus
from trainyard_local.web import ask

NODES_READY_S = 120.0
PROXY_READY_S = 60.0


class Cluster:
    """The one cluster of a cache.

    Parameters
    ----------
    names : sequence of str
        Names of its nodes.
    place : Cache or None
        Where its programs and its state lie; None for the user's cache.
    reporter : Reporter or None
        Told what goes on.
    """

    def __init__(
        self,
        names: Sequence[str] = NODE_NAMES,
        place: Cache | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        self.place = place or cache()
        self.folder = self.place.cluster
        self._names = tuple(names)
        self.plans = plan_nodes(self._names, self.folder / "nodes")
        self._reporter = reporter or Reporter()

    @classmethod
    def open(
        cls, place: Cache | None = None, reporter: Reporter | None = None, *, own: bool = False
    ) -> Self:
        """The cluster that is up.

        Parameters
        ----------
        place : Cache or None
            Where its state lies; None for the user's cache.
        reporter : Reporter or None
            Told what goes on.
        own : bool
            Whether one that another clone holds will not do: for what changes it.

        Raises
        ------
        LocalClusterError
            When none is up, or `own` and another clone holds it.
        """
        place = place or cache()
        record = records.read(place.cluster / "cluster.json")
        if record is None or record.phase is not Phase.UP:
            raise LocalClusterError("no local cluster is up: start it with `make up`")
        found = cls(record.nodes, place, reporter)
        if own:
            holder = found._holder(record)
            records.refuse_other(record, str(REPOSITORY), holder, take_over=False, command="up")
        return found

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of a cluster administrator."""
        return self.control_plane.kubeconfig

    @property
    def s3(self) -> S3Account:
        """Address and administrator of the S3 server; pods reach it under the same address."""
        return self.s3_server.account

    @cached_property
    def binaries(self) -> Binaries:
        """The programs from Go modules; only `up` builds what is missing."""
        return expected(self.place, os.environ)

    @cached_property
    def programs(self) -> NodePrograms:
        """The programs from Debian packages, downloaded when they are missing."""
        return node_programs(self.place, self._reporter)

    @cached_property
    def network(self) -> Network:
        """The machine's network."""
        own = shutil.which("ip", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
        return Network(Path(own) if own else self.programs["ip"], self.programs["nft"])

    @cached_property
    def control_plane(self) -> ControlPlane:
        """etcd, API server, controllers and scheduler."""
        return ControlPlane(
            self.folder / "control-plane",
            controller_manager=True,
            scheduler=True,
            endpoints=ENDPOINTS,
            binaries=self.binaries,
            dies_with_parent=False,
            reporter=self._reporter,
        )

    @cached_property
    def s3_server(self) -> S3Server:
        """The S3 server."""
        return S3Server(
            self.folder / "s3",
            address=HOST_ADDRESS,
            port=S3_PORT,
            binaries=self.binaries,
            dies_with_parent=False,
        )

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Its nodes, in their order."""
        tools = NodeTools(
            kubelet=self.binaries["kubelet"],
            programs=self.programs,
            authority=self.control_plane.authority,
            network=self.network,
            reporter=self._reporter,
        )
        return tuple(Node(plan, tools) for plan in self.plans)

    def node(self, name: str) -> Node:
        """One of its nodes.

        Parameters
        ----------
        name : str
            Its name.

        Raises
        ------
        LocalClusterError
            When there is none of that name.
        """
        for node in self.nodes:
            if node.name == name:
                return node
        raise LocalClusterError(f"no node is called {name}: there are {', '.join(self._names)}")

    def up(self, *, take_over: bool = False) -> None:
        """Start what does not run, repair what is half, and wait until every node is ready.

        Parameters
        ----------
        take_over : bool
            Whether a cluster that another clone holds is taken down first, with all that runs on
            it.

        Raises
        ------
        LocalClusterError
            When the machine lacks something, another clone holds the cluster, or a program ends or
            does not become ready.
        """
        self._check_basics()
        with exclusive(self.place.locks / "cluster.lock", self._reporter.say):
            record = records.read(self._record)
            wanted = self._wanted()
            holder = self._holder(record)
            decision = records.decide(record, wanted, holder, take_over=take_over)
            if decision.action is Action.CLEAN_FIRST:
                self._reporter.say(f"cleaning up first: {decision.reason}")
                self._remove(record.nodes if record else self._names)
            elif decision.action is Action.CONTINUE:
                self._reporter.say(f"{decision.reason}: starting what does not run")
            # Programs first: without them there is nothing to clean up after either.
            obtain(reporter=self._reporter)
            fresh = decision.action is not Action.CONTINUE
            if fresh:
                _refuse(checks.surrounding_problems(checks.surroundings(self.network)))
                record = wanted
                records.write(self._record, record)
                for log in self.logs().values():
                    log.unlink(missing_ok=True)
            remember_settings(self._settings)
            self._start(fresh=fresh)
            records.write(self._record, (record or wanted).at(Phase.UP))

    def down(self, *, purge: bool = False, take_over: bool = False) -> None:
        """Stop everything and leave nothing on the machine but images and S3 objects in the cache.

        Parameters
        ----------
        purge : bool
            Whether images and S3 objects go too.
        take_over : bool
            Whether a cluster that another clone holds is taken down too.

        Raises
        ------
        LocalClusterError
            When another clone holds the cluster, or something of it does not go.
        """
        _refuse(checks.basic_problems(checks.basics(self.place))[:1])
        with exclusive(self.place.locks / "cluster.lock", self._reporter.say):
            record = records.read(self._record)
            if record is not None:
                if other := self._foreign(record, take_over=take_over):
                    self._reporter.say(f"{other}: taking it down")
                records.write(self._record, record.at(Phase.STOPPING))
                self._remove(record.nodes)
            if purge:
                mounts.unmount_below(self.folder)
                shutil.rmtree(self.folder, ignore_errors=True)

    def status(self) -> ClusterStatus:
        """Look at all of it without changing anything."""
        record = records.read(self._record)
        if record is None:
            return ClusterStatus("down", (), (), "")
        ready = self._ready_nodes()
        nodes = tuple(
            NodeStatus(
                name=node.name,
                ready=node.name in ready,
                address=node.plan.address,
                pods=node.plan.pods,
                kubelet=processes.is_running(node.kubelet_service()),
                containerd=processes.is_running(node.containerd_service()),
            )
            for node in self.nodes
        )
        others = (*self.control_plane.services(), self._proxy(), self.s3_server.service())
        programs = tuple((service.name, processes.is_running(service)) for service in others)
        return ClusterStatus(record.phase.value, nodes, programs, record.clone)

    def logs(self) -> dict[str, Path]:
        """Log file of every program, by its name."""
        return {name: service.log for name, service in self._services().items()}

    def _services(self) -> dict[str, Service]:
        others = (*self.control_plane.services(), self._proxy(), self.s3_server.service())
        found = {service.name: service for service in others}
        for node in self.nodes:
            for service in (node.kubelet_service(), node.containerd_service()):
                found[f"{node.name}/{service.name}"] = service
        return found

    @property
    def _record(self) -> Path:
        return self.folder / "cluster.json"

    @property
    def _settings(self) -> Path:
        return self.folder / "kernel-settings.json"

    def _wanted(self) -> ClusterRecord:
        keys = (module_folder(self.place, module).name for module in MODULES)
        return ClusterRecord(
            phase=Phase.STARTING,
            nodes=self._names,
            boot_id=processes.current_boot(),
            clone=str(REPOSITORY),
            programs=" ".join(keys),
            since=dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        )

    def _foreign(self, record: ClusterRecord, *, take_over: bool) -> str:
        if record.phase is Phase.STOPPING or record.boot_id != processes.current_boot():
            # A `down` that was killed is finished by whoever comes next.
            return ""
        return records.refuse_other(
            record,
            str(REPOSITORY),
            self._holder(record),
            take_over=take_over,
            command="down",
        )

    def _holder(self, record: ClusterRecord | None) -> Holder:
        if record is None:
            return Holder({}, clone_exists=False)
        there = Cluster(record.nodes, self.place, self._reporter)
        found = {name: processes.read_record(item) for name, item in there._services().items()}
        pids = {name: item.pid for name, item in found.items() if item and item.alive()}
        return Holder(pids, Path(record.clone).is_dir())

    def _check_basics(self) -> None:
        found = checks.basics(self.place)
        _refuse(checks.basic_problems(found))
        for warning in checks.warnings(found):
            self._reporter.say(warning)

    def _start(self, *, fresh: bool) -> None:
        say = self._reporter
        self.network.up([plan.address for plan in self.plans])
        with say.step("starting etcd, API server, controllers and scheduler", 8):
            if fresh:
                self.control_plane.forget()
            self.control_plane.start()
        with say.step("starting the S3 server", 1):
            self.s3_server.start()
        with say.step(f"starting {len(self.nodes)} nodes and waiting until they are ready", 15):
            for node in self.nodes:
                node.heal()
                node.start_containerd()
                if fresh:
                    node.remove_containers()
                node.start_kubelet()
            self._start_proxy()
            kubelets = [node.kubelet_service() for node in self.nodes]
            processes.wait_until(
                self._all_ready,
                kubelets,
                f"one of the nodes {', '.join(self._names)}",
                NODES_READY_S,
            )

    def _start_proxy(self) -> None:
        plane = self.control_plane
        access = plane.user_kubeconfig("kube-proxy", "system:kube-proxy", [])
        config = nodeconfig.proxy_config(access, self._names[0])
        kubeconfig.write(self._proxy_config, config)
        service = self._proxy()
        processes.start(service)
        health = f"http://127.0.0.1:{PROXY_HEALTH_PORT}/livez"
        processes.wait_until(lambda: ask(health).ok, [service], "kube-proxy", PROXY_READY_S)

    @property
    def _proxy_config(self) -> Path:
        return self.folder / "kube-proxy" / "config.yaml"

    def _proxy(self) -> Service:
        config = self._proxy_config
        environment = {
            "PATH": f"{self.programs.commands}:{os.environ.get('PATH', os.defpath)}",
            "HOME": str(config.parent),
            "NO_PROXY": "*",
        }
        command = (str(self.binaries["kube-proxy"]), f"--config={config}")
        # It serves both nodes but is told that it is on the first, and ends when that is deleted.
        lasting = processes.restarted(command)
        return Service("kube-proxy", lasting, config.parent, environment, (config,))

    def _all_ready(self) -> bool:
        return all(node.kubelet_answers() for node in self.nodes) and (
            set(self._names) <= self._ready_nodes()
        )

    def _ready_nodes(self) -> set[str]:
        plane = self.control_plane
        answer = ask(f"{plane.url}/api/v1/nodes", plane.identity)
        if not answer.ok:
            return set()
        return {node["metadata"]["name"] for node in answer.json()["items"] if _is_ready(node)}

    def _unmount(self) -> None:
        mounts.unmount_below(self.folder)

    def _remove(self, names: Sequence[str]) -> None:
        """Remove every trace on the machine, whatever state it is in."""
        others = Cluster(names, self.place, self._reporter)
        steps: Iterable[Callable[[], None]] = (
            *(node.down for node in others.nodes),
            lambda: processes.stop(self._proxy()),
            self.control_plane.stop,
            self.s3_server.stop,
            self._unmount,
            self.network.down,
            lambda: restore_settings(self._settings),
            self.control_plane.forget,
        )
        problems = []
        with self._reporter.step("stopping everything and removing its traces", 8):
            for step in steps:
                # One thing that hangs must not keep the others on the machine.
                try:
                    step()
                except (LocalClusterError, OSError) as error:
                    problems.append(str(error))
        left = leftovers.find(self.place, self.network, others.plans)
        _refuse([*problems, *left.sentences()])
        self._record.unlink(missing_ok=True)


def _is_ready(node: dict[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions", [])
    return any(found["type"] == "Ready" and found["status"] == "True" for found in conditions)


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise LocalClusterError("\n".join(problems))
