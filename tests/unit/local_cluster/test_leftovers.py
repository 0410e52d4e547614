import shutil
import subprocess
from pathlib import Path

from trainyard_local import leftovers
from trainyard_local.leftovers import Leftovers
from trainyard_local.paths import Cache


def test_nothing_left_is_nothing_to_say() -> None:
    assert Leftovers().sentences() == []


def test_what_is_left_is_named() -> None:
    left = Leftovers(processes=((12, "etcd"),), tables=(("ip", "kube-proxy"),))

    assert left.sentences() == [
        "processes of the cluster are still there: 12 (etcd); repeat `down`",
        "nftables tables of the cluster are still there: ip kube-proxy; repeat `down`",
    ]


def run(program: Path, state: Path) -> "subprocess.Popen[bytes]":
    # Only the words matter; `sh` waits for its input and looks at no more than the first.
    return subprocess.Popen([program, "-s", str(state)], stdin=subprocess.PIPE)


def test_only_programs_of_the_cache_that_serve_the_clusters_state_are_leftovers(
    tmp_path: Path,
) -> None:
    place = Cache(tmp_path)
    folder = place.binaries / "kubernetes"
    folder.mkdir(parents=True)
    for name in ("etcd", "kubectl"):
        shutil.copy("/bin/sh", folder / name)
    state = place.cluster / "etcd"
    started = [
        run(folder / "etcd", state),
        run(folder / "etcd", tmp_path / "state-of-a-test"),
        run(folder / "kubectl", state),
        run(Path("/bin/sh"), state),
    ]
    try:
        assert list(leftovers._processes(place)) == [(started[0].pid, "etcd")]
    finally:
        for process in started:
            process.kill()
            process.communicate()
    assert list(leftovers._processes(place)) == []
