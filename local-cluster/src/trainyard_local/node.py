"""One node: a containerd and a kubelet of its own, and everything that they leave behind."""

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from trainyard_local import (
    bootid,
    cgroups,
    freezer,
    kubeconfig,
    mounts,
    nodeconfig,
    pause,
    processes,
    traces,
)
from trainyard_local.containers import (
    Container,
    parse_container,
    shims,
    task_states,
    with_pod_labels,
)
from trainyard_local.debian import NodePrograms
from trainyard_local.errors import LocalClusterError
from trainyard_local.layout import HOST_ADDRESS, KUBELET_HEALTH_PORT, PAUSE_IMAGE, NodePlan
from trainyard_local.network import Network
from trainyard_local.pki import Authority
from trainyard_local.processes import Service
from trainyard_local.progress import Reporter
from trainyard_local.shell import run, succeeds
from trainyard_local.web import ask

NAMESPACE = "k8s.io"
"""Namespace of containerd in which the kubelet finds images and containers."""

READY_S = 90.0


@dataclass(frozen=True)
class NodeTools:
    """What all nodes share.

    Attributes
    ----------
    kubelet : Path
        The program.
    programs : NodePrograms
        containerd, runc and the network plugins.
    authority : Authority
        Signs the nodes' certificates.
    network : Network
        The machine's network.
    reporter : Reporter
        Told about long work.
    """

    kubelet: Path
    programs: NodePrograms
    authority: Authority
    network: Network
    reporter: Reporter


class Node:
    """One node of the cluster.

    Parameters
    ----------
    plan : NodePlan
        Its names, addresses and folders.
    tools : NodeTools
        What all nodes share.
    """

    def __init__(self, plan: NodePlan, tools: NodeTools) -> None:
        self.plan = plan
        self._tools = tools

    @property
    def name(self) -> str:
        """Name in Kubernetes."""
        return self.plan.name

    @property
    def containerd_root(self) -> Path:
        """Folder of containerd's images and metadata."""
        return self.plan.containerd_root

    @property
    def ctr(self) -> list[str]:
        """Command line that speaks to this node's containerd about Kubernetes' containers."""
        program = self._tools.programs["ctr"]
        return [str(program), "--address", str(self.plan.socket), "--namespace", NAMESPACE]

    def start(self) -> None:
        """Start containerd and kubelet, whichever does not run."""
        self.start_containerd()
        self.start_kubelet()

    def start_containerd(self) -> None:
        """Start containerd and wait until it answers; a running one is left alone."""
        plan = self.plan
        for folder in (plan.containerd_root, plan.containerd_state, plan.containerd / "cni"):
            folder.mkdir(parents=True, exist_ok=True)
        programs = self._tools.programs
        config = nodeconfig.containerd_config(
            plan, runc=programs["runc"], cni_plugins=programs.cni_plugins
        )
        (plan.containerd / "config.toml").write_text(config, encoding="utf-8")
        network = plan.containerd / "cni" / "10-trainyard.conflist"
        network.write_text(nodeconfig.cni_config(plan), encoding="utf-8")
        service = self.containerd_service()
        processes.start(service)
        processes.wait_until(
            self.containerd_answers, [service], f"containerd of {self.name}", READY_S
        )
        if PAUSE_IMAGE not in self.images():
            archive = pause.write_archive(programs.busybox, plan.folder / "pause.tar")
            self.import_image(archive)
            archive.unlink()

    def start_kubelet(self) -> None:
        """Start the kubelet; a running one is left alone."""
        plan = self.plan
        cgroups.make(plan.cgroup)
        for folder in (plan.kubelet, plan.pod_logs):
            folder.mkdir(parents=True, exist_ok=True)
        sign = self._tools.authority
        server = sign.server(f"kubelet-{self.name}", [plan.address, self.name])
        user = f"system:node:{self.name}"
        client = sign.client(f"node-{self.name}", user, ["system:nodes"])
        url = f"https://{HOST_ADDRESS}:{plan.api_port}"
        access = kubeconfig.render(url, sign.pair.certificate, client)
        kubeconfig.write(self._access, access)
        resolver = plan.folder / "resolv.conf"
        resolver.write_text("# The cluster has no DNS: pods are told addresses.\n", "utf-8")
        config = nodeconfig.kubelet_config(
            plan, authority=sign.pair.certificate, server=server, resolver=resolver
        )
        (plan.folder / "kubelet.yaml").write_text(config, encoding="utf-8")
        if plan.boot_id.is_file():
            # Its volumes are mounted in a namespace of its own and must be seen in containerd's.
            bootid.share(plan.kubelet)
        processes.start(self.kubelet_service())

    def stop_kubelet(self) -> None:
        """Stop the kubelet; its pods go on."""
        processes.stop(self.kubelet_service())

    def stop_containerd(self) -> None:
        """Stop containerd; its containers go on."""
        processes.stop(self.containerd_service())

    def stop(self) -> None:
        """Stop kubelet and containerd, as when a node is lost: its containers go on unseen."""
        self.stop_kubelet()
        self.stop_containerd()

    def kill_kubelet(self) -> None:
        """Kill the kubelet (SIGKILL); its pods go on. `start_kubelet` undoes it."""
        processes.kill(self.kubelet_service())

    def kill_containerd(self) -> None:
        """Kill containerd (SIGKILL); its containers go on. `start_containerd` undoes it."""
        processes.kill(self.containerd_service())

    def kill(self) -> None:
        """Kill kubelet and containerd, as when a node is lost; `start` undoes it."""
        self.kill_kubelet()
        self.kill_containerd()

    def partition(self) -> None:
        """Cut the node off: its kubelet does not reach the API server, its pods nothing outside.

        Nothing of the node is stopped, and Kubernetes finds it not ready after 40 s. Repeating is
        harmless; `heal` undoes it, and so do `up` and `down`.
        """
        self._tools.network.cut(self.plan)

    def heal(self) -> None:
        """Undo `partition`; nothing happens when the node is not cut off."""
        self._tools.network.mend(self.plan)

    @property
    def is_partitioned(self) -> bool:
        """Whether the node is cut off."""
        return self._tools.network.is_cut(self.plan)

    @property
    def boot_id(self) -> str:
        """Boot ID that its kubelet reports: the machine's, or that of its last `reboot`."""
        path = self.plan.boot_id
        return path.read_text("ascii").strip() if path.is_file() else processes.current_boot()

    def reboot(self, boot_id: str | None = None) -> str:
        """Reboot the node: every process of it dies, kubelet and containerd start again.

        What a disk keeps over a reboot stays: images, and what containerd and kubelet know of their
        pods. The machine's own boot ID stays; `down` undoes it.

        Parameters
        ----------
        boot_id : str or None
            A UUID that the kubelet reports from now on; None makes one up.

        Returns
        -------
        str
            That boot ID.

        Raises
        ------
        LocalClusterError
            When `boot_id` is no UUID, or a program does not start again.
        """
        chosen = bootid.checked(boot_id)
        self.kill()
        self._end_processes()
        shutil.rmtree(self.plan.containerd_state, ignore_errors=True)
        shutil.rmtree(self.plan.containerd / "runc", ignore_errors=True)
        self.plan.boot_id.write_text(f"{chosen}\n", encoding="ascii")
        self.start()
        return chosen

    def freeze(self, container: Container) -> int:
        """Hold a container's processes alive although they are being killed; `thaw` undoes it.

        What is sent to them, SIGKILL too, reaches them when they are thawed. Needs cgroups v1.

        Parameters
        ----------
        container : Container
            One of `containers` that runs.

        Returns
        -------
        int
            How many processes are held.

        Raises
        ------
        LocalClusterError
            When it has no process, or on cgroups v2, which kill frozen processes too.
        """
        return freezer.freeze(self.plan.cgroup, container.identity)

    def thaw(self, container: Container) -> None:
        """Undo `freeze`: what was sent to the processes meanwhile reaches them now.

        Parameters
        ----------
        container : Container
            The container; nothing happens when it is not frozen.
        """
        freezer.thaw(self.plan.cgroup, container.identity)

    def containerd_answers(self) -> bool:
        """Whether containerd serves requests."""
        # A socket file may be left of a containerd that was killed.
        return self.plan.socket.exists() and succeeds([*self.ctr, "version"], timeout_s=10)

    def kubelet_answers(self) -> bool:
        """Whether the kubelet finds itself healthy: its state in Kubernetes may be a minute old."""
        return ask(f"http://{self.plan.address}:{KUBELET_HEALTH_PORT}/healthz").ok

    def images(self) -> set[str]:
        """Names of the node's images."""
        return set(run([*self.ctr, "images", "list", "--quiet"]).split())

    def import_image(self, archive: Path) -> None:
        """Import an archive (OCI or docker) into the node; containerd must run.

        Parameters
        ----------
        archive : Path
            The archive; its image names become the node's.
        """
        size = archive.stat().st_size
        # What was measured: the disk takes about 55 MB of an archive a second.
        estimate = size / 55e6
        what = f"importing {archive.name} ({size / 1e6:.0f} MB) into {self.name}"
        context = self._tools.reporter.step(what, estimate) if estimate > 2 else _silent()
        with context:
            run([*self.ctr, "images", "import", str(archive)], timeout_s=1800)

    def containers(self) -> list[Container]:
        """Containers of pods that containerd knows, running or not; those that hold a pod too.

        Raises
        ------
        LocalClusterError
            When containerd does not run: `live_containers` knows what runs all the same.
        """
        tasks = task_states(run([*self.ctr, "tasks", "list"]))
        found = []
        for identity in run([*self.ctr, "containers", "list", "--quiet"]).split():
            # A container may go between the two questions.
            info = run([*self.ctr, "containers", "info", identity], check=False)
            if info:
                found.append(parse_container(info, tasks))
        return with_pod_labels(found)

    def live_containers(self) -> dict[str, set[int]]:
        """Process IDs of each container that has a process, by its ID, as the kernel tells it.

        It needs no containerd, and counts frozen processes and those that hold a pod.
        """
        return cgroups.containers(self.plan.cgroup)

    def remove_containers(self) -> None:
        """Kill and remove all containers, so that only images are left; containerd must run."""
        for _ in range(3):
            identities = run([*self.ctr, "containers", "list", "--quiet"]).split()
            if not identities:
                return
            for identity in identities:
                run([*self.ctr, "tasks", "delete", "--force", identity], check=False)
                run([*self.ctr, "containers", "delete", identity], check=False)
        left = run([*self.ctr, "containers", "list", "--quiet"]).split()
        if left:
            raise LocalClusterError(
                f"containers of {self.name} cannot be removed ({', '.join(left)}): "
                f"read {self.containerd_service().log}"
            )

    def down(self) -> None:
        """Stop everything and remove all traces but images and logs of the programs.

        Works from any half-way state: with or without a living containerd.
        """
        self.stop_kubelet()
        # What is frozen cannot be killed.
        freezer.thaw_all(self.plan.cgroup)
        if processes.is_running(self.containerd_service()) and self.containerd_answers():
            with contextlib.suppress(LocalClusterError):
                # What this cannot remove is killed by its cgroup below.
                self.remove_containers()
        self.stop_containerd()
        self._end_processes()
        self.heal()
        for path in (
            self.plan.kubelet,
            self.plan.pod_logs,
            self.plan.addresses_in_use,
            self.plan.containerd_state,
            self.plan.containerd / "runc",
        ):
            shutil.rmtree(path, ignore_errors=True)
        for path in (self.plan.socket, Path(f"{self.plan.socket}.ttrpc"), self.plan.boot_id):
            path.unlink(missing_ok=True)
        traces.remove(self.plan)

    def containerd_service(self) -> Service:
        """The program containerd of this node."""
        config = self.plan.containerd / "config.toml"
        command = (str(self._tools.programs["containerd"]), "--config", str(config))
        environment = self._environment()
        return Service("containerd", command, self.plan.folder, environment, (config,))

    def kubelet_service(self) -> Service:
        """The program kubelet of this node."""
        config = self.plan.folder / "kubelet.yaml"
        command = nodeconfig.kubelet_command(self._tools.kubelet, self.plan, config, self._access)
        inputs: tuple[Path, ...] = (config, self._access)
        if self.plan.boot_id.is_file():
            command = bootid.wrap(command, self.plan.boot_id)
            inputs = (*inputs, self.plan.boot_id)
        return Service("kubelet", command, self.plan.folder, self._environment(), inputs)

    @property
    def _access(self) -> Path:
        return self.plan.folder / "kubelet.kubeconfig"

    def _environment(self) -> Mapping[str, str]:
        path = os.environ.get("PATH", os.defpath)
        return {
            "PATH": f"{self._tools.programs.commands}:{path}:/usr/sbin:/sbin",
            "HOME": str(self.plan.folder),
            "NO_PROXY": "*",
        }

    def _end_processes(self) -> None:
        """Kill all that runs on the node but kubelet and containerd, and what it has mounted."""
        freezer.thaw_all(self.plan.cgroup)
        self._kill_shims()
        cgroups.kill(self.plan.cgroup)
        mounts.unmount_below(self.plan.folder)
        cgroups.remove(self.plan.cgroup)

    def _kill_shims(self) -> None:
        # A shim is no child of containerd, and it sits in containerd's cgroup, not in the node's.
        deadline = time.monotonic() + 10
        while (found := shims(self.plan.socket)) and time.monotonic() < deadline:
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    yield
