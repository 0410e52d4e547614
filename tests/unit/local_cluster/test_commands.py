import time
from pathlib import Path

import pytest

from trainyard_local import commands, progress
from trainyard_local.cli import parser
from trainyard_local.commands import Certificates
from trainyard_local.controlplane import free_ports, loopback_endpoints
from trainyard_local.layout import ENDPOINTS, LOOPBACK_PORTS
from trainyard_local.pki import KeyPair
from trainyard_local.progress import Reporter
from trainyard_local.s3 import S3Account
from trainyard_local.status import ClusterStatus, NodeStatus

PAIR = KeyPair(Path("/p/x.crt"), Path("/p/x.key"))
CERTIFICATES = Certificates(Path("/p/ca.crt"), PAIR, PAIR, PAIR, PAIR)


def test_etcd_which_asks_nobody_who_he_is_listens_on_loopback_only() -> None:
    command = commands.etcd(Path("/etcd"), Path("/data"), ENDPOINTS)
    listening = [word for word in command if word.startswith("--listen")]

    assert len(listening) == 2
    assert all("=http://127.0.0.1:" in word for word in listening)


def test_a_control_plane_without_nodes_announces_no_address() -> None:
    alone = commands.api_server(Path("/a"), Path("/f"), loopback_endpoints(), CERTIFICATES)
    cluster = commands.api_server(Path("/a"), Path("/f"), ENDPOINTS, CERTIFICATES)

    assert "--endpoint-reconciler-type=none" in alone
    assert "--bind-address=127.0.0.1" in alone
    assert "--endpoint-reconciler-type=none" not in cluster
    assert "--advertise-address=10.213.0.1" in cluster


def test_the_api_server_authorises_nodes_and_verifies_kubelets() -> None:
    command = commands.api_server(Path("/a"), Path("/f"), ENDPOINTS, CERTIFICATES)

    assert "--authorization-mode=Node,RBAC" in command
    assert "--enable-admission-plugins=NodeRestriction" in command
    assert "--kubelet-certificate-authority=/p/ca.crt" in command


def test_controllers_write_nothing_outside_of_their_folder() -> None:
    command = commands.controller_manager(
        Path("/k"), Path("/state/kcm.kubeconfig"), ENDPOINTS, CERTIFICATES
    )

    assert "--flex-volume-plugin-dir=/state/volume-plugins" in command


def test_no_two_programs_of_the_cluster_share_a_port() -> None:
    assert len(set(LOOPBACK_PORTS.values())) == len(LOOPBACK_PORTS)


def test_free_ports_are_all_different() -> None:
    assert len(set(free_ports(20))) == 20


def test_the_secret_of_the_store_is_not_in_what_a_log_shows() -> None:
    account = S3Account("http://10.213.0.1:7070", "name", "very-secret")

    assert "very-secret" not in f"{account} {account!r}"


NODE = NodeStatus("gpu-1", True, "10.213.0.11", "10.213.11.0/24", kubelet=True, containerd=True)


@pytest.mark.parametrize(
    ("status", "healthy"),
    [
        (ClusterStatus("up", (NODE,), (("etcd", True),), ""), True),
        (ClusterStatus("starting", (NODE,), (("etcd", True),), ""), False),
        (ClusterStatus("up", (NODE,), (("etcd", False),), ""), False),
        (
            ClusterStatus("up", (NodeStatus("b", False, "", "", True, True),), (), ""),
            False,
        ),
    ],
)
def test_a_cluster_is_healthy_when_all_of_it_is(status: ClusterStatus, healthy: bool) -> None:
    assert status.healthy is healthy


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.4, "59 s"), (60, "1 min 00 s"), (365, "6 min 05 s")]
)
def test_durations_read_as_a_person_says_them(seconds: float, text: str) -> None:
    assert progress.duration(seconds) == text


def test_without_a_terminal_progress_is_plain_lines_on_standard_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "REPEAT_S", 0.02)
    with Reporter().step("building [etcd]", 60):
        time.sleep(0.1)

    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert lines[0] == "building [etcd] (about 1 min 00 s) ..."
    assert lines[1] == "  still building [etcd]: 0 s of about 1 min 00 s"
    assert lines[-1] == "building [etcd]: done in 0 s"


def test_a_step_that_fails_is_not_called_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError), Reporter().step("working"):
        raise RuntimeError

    assert "done" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "line", ["binaries", "up --nodes a,b", "down --purge", "status --output json", "env", "logs x"]
)
def test_every_command_is_understood(line: str) -> None:
    words = line.split()

    assert parser().parse_args(words).command == words[0]
