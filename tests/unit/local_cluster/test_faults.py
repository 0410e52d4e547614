"""What a fault of a node consists of, as far as it can be seen without a node."""

from pathlib import Path

import pytest

from trainyard_local import bootid, cgroups, freezer, nodeconfig, partition
from trainyard_local.containers import parse_container, with_pod_labels
from trainyard_local.errors import LocalClusterError
from trainyard_local.layout import NODES_MAX, plan_nodes

PLANS = plan_nodes([f"n{number}" for number in range(NODES_MAX)], Path("/cache"))
ONE, TWO, *_ = PLANS
ID = "0123456789abcdef" * 4


def test_every_kubelet_asks_the_api_server_at_a_port_of_its_own_that_is_translated() -> None:
    ports = {plan.api_port for plan in PLANS}

    assert len(ports) == NODES_MAX
    assert f"dport {min(ports)}-{max(ports)} dnat ip to 10.213.0.1:6443" in partition.translation()
    assert partition.translation() in nodeconfig.packet_filter()


def test_a_partition_names_one_node_and_accepts_nothing() -> None:
    rules = partition.rules(ONE)

    assert f"proto-dst {ONE.api_port} counter drop" in rules
    assert ONE.pods in rules
    for part in (TWO.pods, TWO.address, str(TWO.api_port)):
        assert part not in rules
    # What it does not drop is left to the filter of the cluster.
    assert " accept\n" not in rules
    assert partition.table(ONE) != partition.table(TWO)


def test_a_partition_that_is_repeated_replaces_itself() -> None:
    name = partition.table(ONE)

    assert partition.rules(ONE).splitlines()[:2] == [
        f"table inet {name} {{}}",
        f"delete table inet {name}",
    ]


def test_a_rebooted_kubelet_sees_another_boot_id_in_a_namespace_of_its_own() -> None:
    command = bootid.wrap(("/bin/kubelet", "--flag"), Path("/n/boot-id"))

    assert command[:4] == ("unshare", "--mount", "--propagation", "unchanged")
    assert command[-3:] == ("/n/boot-id", "/bin/kubelet", "--flag")
    # Else all of the machine would see the other boot ID where /proc is shared.
    assert command[6].startswith("mount --make-private /proc && ")


def test_a_boot_id_is_a_uuid_and_made_up_when_none_is_given() -> None:
    assert bootid.checked(None) != bootid.checked(None)
    with pytest.raises(LocalClusterError, match="'tuesday' cannot be a boot ID"):
        bootid.checked("tuesday")


def container_folders(root: Path, *processes: int) -> Path:
    for hierarchy in ("freezer", "memory", "cpuset"):
        folder = root / hierarchy / "node" / "kubepods" / "pod1" / ID
        folder.mkdir(parents=True)
        (folder / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in processes))
        (folder.parent / "cgroup.procs").write_text("")
    return root


def test_what_lives_is_read_from_the_kernel_without_containerd(tmp_path: Path) -> None:
    assert cgroups.containers("/node", container_folders(tmp_path, 11, 12)) == {ID: {11, 12}}


def test_a_container_without_processes_does_not_live(tmp_path: Path) -> None:
    assert cgroups.containers("/node", container_folders(tmp_path)) == {}


def test_freezing_is_refused_where_frozen_processes_can_be_killed(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").touch()

    with pytest.raises(LocalClusterError, match="cgroups v2, which kill frozen processes too"):
        freezer.freeze("/node", ID, tmp_path)


def test_a_container_that_is_gone_cannot_be_frozen(tmp_path: Path) -> None:
    with pytest.raises(LocalClusterError, match="it is gone"):
        freezer.freeze("/node", "f" * 64, container_folders(tmp_path, 11))


def test_thawing_what_is_not_frozen_changes_nothing(tmp_path: Path) -> None:
    freezer.thaw("/node", ID, container_folders(tmp_path, 11))
    freezer.thaw_all("/node", tmp_path)

    assert freezer.frozen("/node", tmp_path) == []


def test_a_container_has_the_labels_of_the_pod_that_its_holder_knows() -> None:
    own = '{"io.kubernetes.pod.uid": "u", "io.kubernetes.container.name": "main"}'
    holder = '{"io.kubernetes.pod.uid": "u", "io.cri-containerd.kind": "sandbox", "a": "b"}'
    found = with_pod_labels(
        [
            parse_container(f'{{"ID": "1", "Labels": {own}}}', {}),
            parse_container(f'{{"ID": "2", "Labels": {holder}}}', {}),
        ]
    )

    assert [item.pod_labels for item in found] == [{"a": "b"}, {"a": "b"}]
