"""The operator as it runs in the cluster: a process of its own, with the chart's permissions."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from support.waiting import eventually
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.resources import LOCK_NAMESPACE, ResourceType
from trainyard_local import processes
from trainyard_local.controlplane import free_ports
from trainyard_local.processes import Service
from trainyard_local.s3 import S3Account
from trainyard_local.web import ask

USER = "trainyard-operator"
RULES = Path(__file__).resolve().parents[2] / "unit" / "helm" / "rbac.golden.yaml"
RBAC = "rbac.authorization.k8s.io"
NAMESPACE = ResourceType("", "v1", "namespaces", "Namespace", namespaced=False)


@dataclass
class OperatorProcess:
    """`python -m trainyard.operator`, started and ended in every way a process can end.

    Attributes
    ----------
    folder
        Settings, record and log.
    kubeconfig
        Of the user whose permissions it has.
    settings
        Its settings but for the ports.
    """

    folder: Path
    kubeconfig: Path
    account: S3Account
    settings: dict[str, Any]
    shared_url: str = field(default="", init=False)
    progress_port: int = field(init=False)
    health_port: int = field(init=False)

    def __post_init__(self) -> None:
        self.progress_port, self.health_port = free_ports(2)

    @property
    def url(self) -> str:
        """Of the service that pods report to; operators of one installation share one."""
        if self.shared_url:
            return self.shared_url
        return f"http://127.0.0.1:{self.progress_port}"

    def start(self) -> OperatorProcess:
        """Start it unless it runs, and wait until it is ready."""
        self.launch()
        probe = f"http://127.0.0.1:{self.health_port}/readyz"
        processes.wait_until(lambda: ask(probe).ok, [self._service()], "the operator", 40)
        return self

    def launch(self) -> None:
        """Start it unless it runs; do not wait."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.write_settings()
        processes.start(self._service(), dies_with_parent=True)

    def write_settings(self) -> None:
        """Write the settings file."""
        whole = {
            # One that was killed would be waited for; tests of the lead turn it on.
            "leaderElection": {"enabled": False},
            "log": {"level": "DEBUG" if os.environ.get("TRAINYARD_TEST_DEBUG") else "INFO"},
            **self.settings,
            "progress": {"url": self.url, "port": self.progress_port},
            "health_port": self.health_port,
        }
        self._settings_file.write_text(yaml.safe_dump(whole))

    def stop(self) -> None:
        """End it as Kubernetes does: SIGTERM, and time to leave."""
        processes.stop(self._service())

    def terminate(self) -> int:
        """Send SIGTERM and wait; gives the exit code."""
        record = processes.read_record(self._service())
        assert record is not None
        os.kill(record.pid, signal.SIGTERM)
        _, status = eventually(
            "the end of the operator",
            lambda: found if (found := os.waitpid(record.pid, os.WNOHANG))[0] else None,
            within=30,
        )
        return os.waitstatus_to_exitcode(status)

    def kill(self) -> None:
        """End it at once: kill -9."""
        record = processes.read_record(self._service())
        assert record is not None
        assert record.alive(), "the operator ended by itself: " + self.log()[-2000:]
        os.kill(record.pid, signal.SIGKILL)
        eventually("the death of the operator", lambda: not record.alive(), within=5, every=0.01)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(record.pid, os.WNOHANG)

    def running(self) -> bool:
        """Whether it lives."""
        return processes.is_running(self._service())

    def log(self) -> str:
        """All that it has printed."""
        return self._service().log.read_text(encoding="utf-8", errors="replace")

    def settings_text(self) -> str:
        """The settings file as it was written at the last start."""
        return self._settings_file.read_text()

    @property
    def _settings_file(self) -> Path:
        return self.folder / "settings.yaml"

    def environment(self) -> dict[str, str]:
        """Its whole environment."""
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.folder),
            "TMPDIR": tempfile.gettempdir(),
            "NO_PROXY": "*",
            "TRAINYARD_SETTINGS": str(self._settings_file),
            "KUBECONFIG": str(self.kubeconfig),
            "AWS_ACCESS_KEY_ID": self.account.access_key,
            "AWS_SECRET_ACCESS_KEY": self.account.secret_key,
        }
        if "PYTHONPATH" in os.environ:
            environment["PYTHONPATH"] = os.environ["PYTHONPATH"]
        return environment

    def _service(self) -> Service:
        command = (sys.executable, "-m", "trainyard.operator")
        return Service("operator", command, self.folder, self.environment(), (self._settings_file,))


def grant(api: ApiServer) -> None:
    """Give the operator's user what the chart's roles give, and nothing more."""
    subject = {"kind": "User", "name": USER, "apiGroup": RBAC}
    rules: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())
    for where in {rule["where"] for rule in rules}:
        if where != "everywhere" and api.get(NAMESPACE, where) is None:
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": where}}
            api.create(NAMESPACE, body)
        kind = "ClusterRole" if where == "everywhere" else "Role"
        namespace = None if where == "everywhere" else where
        body = {
            "apiVersion": f"{RBAC}/v1",
            "kind": kind,
            "metadata": {"name": USER},
            "rules": [
                {key: value for key, value in rule.items() if key != "where"}
                for rule in rules
                if rule["where"] == where
            ],
        }
        plural = f"{kind.lower()}s"
        api.create(ResourceType(RBAC, "v1", plural, kind), body, namespace)
        binding = {
            "apiVersion": f"{RBAC}/v1",
            "kind": f"{kind}Binding",
            "metadata": {"name": USER},
            "roleRef": {"apiGroup": RBAC, "kind": kind, "name": USER},
            "subjects": [subject],
        }
        bindings = f"{kind.lower()}bindings"
        api.create(ResourceType(RBAC, "v1", bindings, f"{kind}Binding"), binding, namespace)
    assert any(rule["where"] == LOCK_NAMESPACE for rule in rules)
