"""What the local cluster takes from the machine, tried on folders that only look like it."""

import os
import socket
from pathlib import Path

from trainyard_local import cgroups, mounts, traces
from trainyard_local.layout import plan_nodes

MOUNTINFO = """\
22 1 8:1 / / rw,relatime - ext4 /dev/vda rw
30 22 0:21 / /sys/fs/cgroup rw - tmpfs tmpfs rw
40 22 0:50 / /cache/cluster/nodes/gpu-1/kubelet/pods/1/volumes/a\\040b rw - tmpfs tmpfs rw
41 40 0:51 / /cache/cluster/nodes/gpu-1/kubelet/pods/1/volumes/a\\040b/inner rw - tmpfs tmpfs rw
42 22 0:52 / /cache/cluster/nodes/gpu-10/x rw - overlay overlay rw
"""


def v1(root: Path) -> Path:
    for controller in ("cpuset", "memory", "systemd"):
        (root / controller).mkdir(parents=True)
    (root / "cpuset" / "cpuset.cpus").write_text("0-1\n")
    (root / "cpuset" / "cpuset.mems").write_text("0\n")
    (root / "cpu").symlink_to("memory")
    return root


def test_mount_points_are_found_inner_first_and_only_below_the_folder() -> None:
    points = mounts.parse_mountinfo(MOUNTINFO)
    volume = Path("/cache/cluster/nodes/gpu-1/kubelet/pods/1/volumes/a b")

    assert mounts.below(Path("/cache/cluster/nodes/gpu-1"), points) == [volume / "inner", volume]


def test_a_folder_without_mounts_has_nothing_to_unmount(tmp_path: Path) -> None:
    assert mounts.unmount_below(tmp_path) == []


def test_the_version_of_cgroups_is_recognised(tmp_path: Path) -> None:
    assert cgroups.version(v1(tmp_path / "one")) == 1
    (tmp_path / "two").mkdir()
    assert cgroups.version(tmp_path / "two") is None
    (tmp_path / "two" / "cgroup.controllers").touch()
    assert cgroups.version(tmp_path / "two") == 2


def test_a_cgroup_is_made_in_every_hierarchy_once(tmp_path: Path) -> None:
    root = v1(tmp_path)

    assert [path.name for path in cgroups.hierarchies(root)] == ["cpuset", "memory", "systemd"]


def test_a_new_cpuset_gets_the_processors_of_its_parent(tmp_path: Path) -> None:
    root = v1(tmp_path)
    # The kernel makes these files with the folder.
    for hierarchy in cgroups.hierarchies(root):
        (hierarchy / "node").mkdir()
    (root / "cpuset" / "node" / "cpuset.cpus").write_text("\n")
    (root / "cpuset" / "node" / "cpuset.mems").write_text("\n")

    cgroups.make("/node", root)

    assert (root / "cpuset" / "node" / "cpuset.cpus").read_text() == "0-1\n"
    assert (root / "cpuset" / "node" / "cpuset.mems").read_text() == "0\n"


def test_members_are_counted_in_all_depths_of_all_hierarchies(tmp_path: Path) -> None:
    root = v1(tmp_path)
    (root / "memory" / "node" / "pods" / "one").mkdir(parents=True)
    (root / "memory" / "node" / "cgroup.procs").write_text("")
    (root / "memory" / "node" / "pods" / "one" / "cgroup.procs").write_text("12\n13\n")
    (root / "systemd" / "node").mkdir()
    (root / "systemd" / "node" / "cgroup.procs").write_text("13\n14\n")

    assert cgroups.members("/node", root) == {12, 13, 14}


def test_a_cgroup_goes_with_all_below_it(tmp_path: Path) -> None:
    root = v1(tmp_path)
    (root / "memory" / "node" / "pods" / "one").mkdir(parents=True)

    cgroups.remove("/node", root)
    cgroups.remove("/node", root)

    assert not (root / "memory" / "node").exists()
    assert (root / "memory").is_dir()


def test_a_note_of_the_network_library_is_known_by_network_or_by_namespace() -> None:
    one, ten = plan_nodes(("gpu-1", "gpu-10"), Path("/c/nodes"))
    ours = b'{"networkName":"trainyard-gpu-1"}'
    loopback = b'{"sandbox":"/c/nodes/gpu-1/containerd/state/netns/x"}'

    assert traces.is_network_trace(ours, one)
    assert traces.is_network_trace(loopback, one)
    assert not traces.is_network_trace(ours, ten)
    assert not traces.is_network_trace(loopback, ten)
    assert not traces.is_network_trace(b'{"networkName":"bridge"}', one)


def test_only_sockets_that_nobody_listens_on_are_dead(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("alive", "dead", "file", "missing")]
    paths[2].touch()
    with socket.socket(socket.AF_UNIX) as alive, socket.socket(socket.AF_UNIX) as dead:
        alive.bind(os.fspath(paths[0]))
        alive.listen()
        dead.bind(os.fspath(paths[1]))
        dead.close()

        listeners = Path("/proc/net/unix").read_text()
        assert traces.dead_sockets(paths, listeners) == [paths[1]]


def test_a_socket_below_run_is_alive_under_its_older_name_too() -> None:
    listeners = "0: 2 0 1 1 1 99 /var/run/containerd/s/abc\n"

    assert traces.dead_sockets([Path("/run/containerd/s/abc")], listeners) == []
