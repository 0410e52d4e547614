import json
import tomllib
from pathlib import Path

import pytest
import yaml

from trainyard_local import layout, nodeconfig
from trainyard_local.errors import LocalClusterError
from trainyard_local.pki import KeyPair

FOLDER = Path("/cache/cluster/nodes")
PLAN, OTHER = layout.plan_nodes(("gpu-1", "gpu-2"), FOLDER)
SERVER = KeyPair(Path("/pki/kubelet.crt"), Path("/pki/kubelet.key"))


def kubelet() -> dict[str, object]:
    text = nodeconfig.kubelet_config(
        PLAN, authority=Path("/pki/ca.crt"), server=SERVER, resolver=Path("/resolv.conf")
    )
    config: dict[str, object] = yaml.safe_load(text)
    return config


def test_two_nodes_share_no_address_subnet_cgroup_or_folder() -> None:
    for part in ("address", "pods", "cgroup", "network_name", "folder", "socket"):
        assert getattr(PLAN, part) != getattr(OTHER, part)


def test_all_addresses_of_nodes_and_pods_lie_in_the_guarded_network() -> None:
    plans = layout.plan_nodes([f"n{number}" for number in range(layout.NODES_MAX)], FOLDER)

    for plan in plans:
        assert layout.overlaps(plan.pods)
        assert layout.overlaps(f"{plan.address}/32")
        assert not plan.pods.startswith(plan.address.rsplit(".", 1)[0] + ".")


@pytest.mark.parametrize("name", ["GPU-1", "gpu_1", "-a", "a-", "", "a" * 41, "a/b", "a.b"])
def test_a_name_that_cannot_be_a_nodes_is_refused(name: str) -> None:
    with pytest.raises(LocalClusterError, match="cannot be the name of a node"):
        layout.plan_nodes([name], FOLDER)


@pytest.mark.parametrize("names", [[], ["a", "a"], [f"n{number}" for number in range(10)]])
def test_no_node_a_node_twice_or_too_many_are_refused(names: list[str]) -> None:
    with pytest.raises(LocalClusterError, match="name 1 to 9 nodes, each once"):
        layout.plan_nodes(names, FOLDER)


def test_a_cache_too_deep_for_sockets_is_refused_before_anything_starts() -> None:
    with pytest.raises(LocalClusterError, match="too long for the sockets"):
        layout.plan_nodes(["gpu-1"], Path("/" + "x" * 80))


@pytest.mark.parametrize(
    ("network", "collides"),
    [
        ("0.0.0.0/0", False),
        ("192.168.0.0/16", False),
        ("10.213.4.0/24", True),
        ("10.0.0.0/8", True),
        ("10.214.1.1", True),
        ("fe80::/64", False),
    ],
)
def test_a_network_of_the_machine_collides_when_it_shares_an_address(
    network: str, collides: bool
) -> None:
    assert layout.overlaps(network) is collides


def test_containerd_keeps_everything_below_the_nodes_folder() -> None:
    text = nodeconfig.containerd_config(PLAN, runc=Path("/p/runc"), cni_plugins=Path("/p/cni"))
    config = tomllib.loads(text)
    cri = config["plugins"]["io.containerd.grpc.v1.cri"]

    for path in (
        config["root"],
        config["state"],
        config["grpc"]["address"],
        config["plugins"]["io.containerd.internal.v1.opt"]["path"],
        cri["containerd"]["runtimes"]["runc"]["options"]["Root"],
        cri["cni"]["conf_dir"],
    ):
        assert Path(path).is_relative_to(PLAN.folder)
    assert cri["netns_mounts_under_state_dir"] is True
    assert cri["restrict_oom_score_adj"] is True
    assert cri["containerd"]["runtimes"]["runc"]["options"]["BinaryName"] == "/p/runc"


def test_a_path_with_quotes_stays_one_toml_string() -> None:
    (plan,) = layout.plan_nodes(["n"], Path('/a "b" \\c'))
    text = nodeconfig.containerd_config(plan, runc=Path("/r"), cni_plugins=Path("/c"))

    assert tomllib.loads(text)["root"] == str(plan.containerd_root)


def test_pods_are_never_masqueraded_and_their_addresses_are_noted_in_the_nodes_folder() -> None:
    (plugin,) = json.loads(nodeconfig.cni_config(PLAN))["plugins"]

    assert plugin["ipMasq"] is False
    assert plugin["ipam"]["ranges"] == [[{"subnet": PLAN.pods}]]
    assert Path(plugin["ipam"]["dataDir"]).is_relative_to(PLAN.folder)


def test_the_kubelet_never_evicts_for_a_disk_that_is_merely_full_by_percent() -> None:
    config = kubelet()

    assert config["imageGCHighThresholdPercent"] == 100
    assert config["evictionHard"] == {
        "memory.available": "100Mi",
        "nodefs.available": "1Gi",
        "imagefs.available": "1Gi",
    }


def test_the_kubelet_listens_on_its_own_address_and_lets_nobody_in_unknown() -> None:
    config = kubelet()

    assert config["address"] == config["healthzBindAddress"] == PLAN.address
    assert config["readOnlyPort"] == 0
    assert config["authentication"] == {
        "anonymous": {"enabled": False},
        "webhook": {"enabled": True},
        "x509": {"clientCAFile": "/pki/ca.crt"},
    }
    assert config["authorization"] == {"mode": "Webhook"}
    assert config["failCgroupV1"] is False
    assert config["cgroupRoot"] == PLAN.cgroup


def test_nodes_carry_the_label_of_targets() -> None:
    command = nodeconfig.kubelet_command(Path("/k"), PLAN, Path("/c"), Path("/a"))

    assert "--node-labels=trainyard.dev/target=true" in command
    assert f"--root-dir={PLAN.kubelet}" in command


def test_kube_proxy_uses_nftables_and_leaves_the_machines_connection_limits_alone() -> None:
    config = yaml.safe_load(nodeconfig.proxy_config(Path("/a"), "gpu-1"))

    assert config["mode"] == "nftables"
    assert config["conntrack"]["maxPerCore"] == config["conntrack"]["min"] == 0
    assert config["healthzBindAddress"].startswith("127.0.0.1:")


def test_the_filter_refuses_whatever_would_leave_or_enter_the_machine() -> None:
    lines = [line.strip() for line in nodeconfig.packet_filter().splitlines()]
    allowed = lines.index("ip saddr 10.213.0.0/16 ip daddr 10.213.0.0/16 accept")
    refused = next(n for n, line in enumerate(lines) if 'comment "pods stay inside"' in line)

    assert "reject" in lines[refused]
    # What is accepted first is only what stays among pods and nodes.
    assert allowed < refused
    assert [line for line in lines if line.endswith(" accept")] == [lines[allowed]]
    assert sum(" drop " in line for line in lines) == 4


def test_loading_the_filter_again_replaces_it() -> None:
    lines = nodeconfig.packet_filter().splitlines()

    assert lines[0] == "table inet trainyard_local {}"
    assert lines[1] == "delete table inet trainyard_local"
