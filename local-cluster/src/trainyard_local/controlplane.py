"""etcd and a real API server, with controllers and scheduler if wanted: no kubelet, no root."""

import datetime as dt
import os
import shutil
import socket
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from trainyard_local import commands, kubeconfig, processes
from trainyard_local.binaries import Binaries, expected, obtain
from trainyard_local.commands import Certificates, Endpoints
from trainyard_local.paths import cache
from trainyard_local.pki import Authority
from trainyard_local.processes import Service
from trainyard_local.progress import Reporter
from trainyard_local.web import Identity, ask

_Command = Callable[[Path, Path, Endpoints, Certificates], tuple[str, ...]]

READY_S = 120.0
"""How long to wait for a program of the control plane; a busy disk once took a minute."""


def loopback_endpoints() -> Endpoints:
    """Endpoints on free ports of loopback, for a control plane without nodes."""
    api, client, peer, controllers, scheduler = free_ports(5)
    return Endpoints(
        api_address="127.0.0.1",
        api_port=api,
        etcd_port=client,
        etcd_peer_port=peer,
        controllers_port=controllers,
        scheduler_port=scheduler,
        advertised=None,
        service_range="10.96.0.0/16",
        pod_range="10.244.0.0/16",
    )


def free_ports(count: int) -> list[int]:
    """Ports of loopback that are free now, all different.

    Parameters
    ----------
    count : int
        How many, above zero.
    """
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for opened in sockets:
            opened.bind(("127.0.0.1", 0))
        return [int(opened.getsockname()[1]) for opened in sockets]


class ControlPlane:
    """A control plane; as a context manager it starts and stops.

    Parameters
    ----------
    folder : Path
        Its certificates, data, logs and records. Data that is there is served again.
    controller_manager, scheduler : bool
        Whether kube-controller-manager and kube-scheduler run too.
    endpoints : Endpoints or None
        Addresses and ports; None takes free ports of loopback.
    binaries : Binaries or None
        The programs; None finds or builds them.
    extra_hosts : tuple of str
        More names and addresses in the API server's certificate.
    dies_with_parent : bool
        Whether the kernel kills it when the calling process ends; right for tests.
    reporter : Reporter or None
        Told about builds.

    Attributes
    ----------
    kubeconfig : Path
        Of a cluster administrator.
    authority : Authority
        Signs further clients.
    endpoints : Endpoints
        Where it listens.
    """

    def __init__(
        self,
        folder: Path,
        *,
        controller_manager: bool = False,
        scheduler: bool = False,
        endpoints: Endpoints | None = None,
        binaries: Binaries | None = None,
        extra_hosts: tuple[str, ...] = (),
        dies_with_parent: bool = True,
        reporter: Reporter | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self.endpoints = endpoints or loopback_endpoints()
        self.kubeconfig = self.folder / "admin.kubeconfig"
        self._with_controllers = controller_manager
        self._with_scheduler = scheduler
        self._binaries = binaries
        self._extra_hosts = extra_hosts
        self._dies_with_parent = dies_with_parent
        self._reporter = reporter or Reporter()
        self.authority = Authority(self.folder / "pki", dt.datetime.now(dt.UTC))

    @property
    def url(self) -> str:
        """URL of the API server."""
        return self.endpoints.api_url

    @property
    def identity(self) -> Identity:
        """A cluster administrator."""
        admin = self.authority.client("admin", "trainyard-admin", ["system:masters"])
        return Identity(self.authority.pair.certificate, admin)

    @property
    def data(self) -> Path:
        """Data folder of etcd: all objects of the cluster."""
        return self.folder / "etcd"

    def start(self) -> Self:
        """Start what does not run yet, and wait until all of it is ready.

        Returns
        -------
        ControlPlane
            Itself.

        Raises
        ------
        LocalClusterError
            When a program ends or does not become ready, with its last line and its log.
        """
        self._obtain()
        self.user_kubeconfig("admin", "trainyard-admin", ["system:masters"])
        etcd, api_server, *others = self.services()
        # On a busy disk an API server gives up on an etcd that does not listen yet.
        self._launch(etcd)
        health = f"{self.endpoints.etcd_url}/health"
        processes.wait_until(lambda: ask(health).ok, [etcd], "etcd", READY_S)
        self._launch(api_server)
        processes.wait_until(self._api_ready, [etcd, api_server], "the API server", READY_S)
        for service in others:
            self._launch(service)
        for service, (_, _, port) in zip(others, self._optional(), strict=True):
            healthy = partial(self._healthy, port)
            processes.wait_until(healthy, [service], service.name, READY_S)
        if self._with_controllers:
            account = f"{self.url}/api/v1/namespaces/default/serviceaccounts/default"
            processes.wait_until(
                lambda: ask(account, self.identity).ok,
                [api_server, *others],
                "the service account `default`",
                READY_S,
            )
        return self

    def stop(self) -> None:
        """Stop all of it; data and logs stay in the folder."""
        for service in reversed(self.services()):
            processes.stop(service)

    def forget(self) -> None:
        """Delete all objects of the cluster; only while it is stopped."""
        shutil.rmtree(self.data, ignore_errors=True)

    def user_kubeconfig(self, name: str, user: str, groups: list[str]) -> Path:
        """Kubeconfig of a user.

        Parameters
        ----------
        name : str
            Stem of its files.
        user : str
            Name that Kubernetes sees.
        groups : list of str
            Groups that Kubernetes sees.

        Returns
        -------
        Path
            The file.
        """
        pair = self.authority.client(name, user, groups)
        text = kubeconfig.render(self.url, self.authority.pair.certificate, pair)
        return kubeconfig.write(self.folder / f"{name}.kubeconfig", text)

    def services(self) -> list[Service]:
        """Its programs in the order of their start: etcd, the API server, the optional ones."""
        certificates = self._certificates()
        # To stop what was started, no program need be there any more.
        programs = self._binaries or expected(cache(), os.environ)
        made = [
            self._service("etcd", commands.etcd(programs["etcd"], self.data, self.endpoints)),
            self._service(
                "kube-apiserver",
                commands.api_server(
                    programs["kube-apiserver"], self.folder, self.endpoints, certificates
                ),
                certificates.api_server.certificate,
            ),
        ]
        for name, command, _ in self._optional():
            config = self.user_kubeconfig(name, f"system:{name}", [])
            line = command(programs[name], config, self.endpoints, certificates)
            made.append(self._service(name, line, config))
        return made

    def _obtain(self) -> None:
        if self._binaries is None:
            names = {"etcd", "kube-apiserver", *(name for name, _, _ in self._optional())}
            self._binaries = obtain(names, self._reporter)

    def _certificates(self) -> Certificates:
        first = self.endpoints.service_range.split("/")[0].rsplit(".", 1)[0] + ".1"
        hosts = dict.fromkeys(
            (
                self.endpoints.api_address,
                "127.0.0.1",
                "localhost",
                first,
                "kubernetes",
                "kubernetes.default",
                "kubernetes.default.svc",
                "kubernetes.default.svc.cluster.local",
                *self._extra_hosts,
            )
        )
        sign = self.authority
        return Certificates(
            authority=sign.pair.certificate,
            api_server=sign.server("kube-apiserver", hosts),
            loopback=sign.server("loopback", ["127.0.0.1", "localhost"]),
            kubelet_client=sign.client("kubelet-client", "kubelet-client", ["system:masters"]),
            tokens=sign.signing_key("service-accounts"),
        )

    def _service(self, name: str, command: tuple[str, ...], *inputs: Path) -> Service:
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.folder),
            # The machine's proxy must never see what goes to our own API server.
            "NO_PROXY": "*",
        }
        return Service(name, command, self.folder, environment, inputs)

    def _launch(self, service: Service) -> None:
        processes.start(service, dies_with_parent=self._dies_with_parent)

    def _optional(self) -> list[tuple[str, _Command, int]]:
        chosen: list[tuple[str, _Command, int]] = []
        if self._with_controllers:
            port = self.endpoints.controllers_port
            chosen.append(("kube-controller-manager", commands.controller_manager, port))
        if self._with_scheduler:
            chosen.append(("kube-scheduler", commands.scheduler, self.endpoints.scheduler_port))
        return chosen

    def _healthy(self, port: int) -> bool:
        return ask(f"https://127.0.0.1:{port}/healthz", self.identity).ok

    def _api_ready(self) -> bool:
        identity = self.identity
        default = f"{self.url}/api/v1/namespaces/default"
        return ask(f"{self.url}/readyz", identity).ok and ask(default, identity).ok

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
