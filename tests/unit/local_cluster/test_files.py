"""Archives, starters, shared images, locks: what is written to disk."""

import hashlib
import json
import multiprocessing
import tarfile
import time
from pathlib import Path

import pytest

from trainyard_local import debian, locks, pause
from trainyard_local.containers import parse_container
from trainyard_local.layout import PAUSE_IMAGE


def test_the_pause_image_is_a_whole_archive_and_the_same_each_time(tmp_path: Path) -> None:
    busybox = tmp_path / "busybox"
    busybox.write_bytes(b"program")
    first = pause.write_archive(busybox, tmp_path / "a.tar")
    second = pause.write_archive(busybox, tmp_path / "b.tar")

    assert first.read_bytes() == second.read_bytes()
    with tarfile.open(first) as archive:
        (image,) = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
        config = archive.extractfile(image["Config"]).read()  # type: ignore[union-attr]
        layer = archive.extractfile(image["Layers"][0]).read()  # type: ignore[union-attr]
    assert image["RepoTags"] == [PAUSE_IMAGE]
    assert image["Config"] == f"{hashlib.sha256(config).hexdigest()}.json"
    digest = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    assert json.loads(config)["rootfs"]["diff_ids"] == [digest]


def test_a_starter_finds_the_libraries_that_were_unpacked_beside_it() -> None:
    text = debian.starter("/p/usr/sbin/nft", ["/p/lib", "/p/usr/lib"])

    assert "export LD_LIBRARY_PATH='/p/lib:/p/usr/lib'" in text
    assert "exec '/p/usr/sbin/nft' \"$@\"" in text


def test_packages_of_another_release_go_to_another_folder() -> None:
    bookworm = debian.packages_key(debian.PACKAGES, "debian-12-x86_64")

    assert bookworm.startswith("debian-12-x86_64-")
    assert bookworm != debian.packages_key((*debian.PACKAGES, "iproute2"), "debian-12-x86_64")
    assert bookworm != debian.packages_key(debian.PACKAGES, "debian-13-x86_64")


INFO = {
    "ID": "abc",
    "Image": "localhost/x:1",
    "Labels": {
        "io.kubernetes.pod.namespace": "ns",
        "io.kubernetes.pod.name": "pod-1",
        "io.kubernetes.pod.uid": "uid-1",
        "io.kubernetes.container.name": "trainer",
    },
}


def test_a_container_is_told_with_its_pod_and_its_process() -> None:
    found = parse_container(json.dumps(INFO), {"abc": (12, "RUNNING")})

    assert (found.namespace, found.pod, found.pod_uid, found.name) == (
        "ns",
        "pod-1",
        "uid-1",
        "trainer",
    )
    assert found.running
    assert found.pid == 12
    assert not found.holds_pod


@pytest.mark.parametrize("tasks", [{}, {"abc": (12, "STOPPED")}])
def test_a_container_without_a_running_process_does_not_run(
    tasks: dict[str, tuple[int, str]],
) -> None:
    assert not parse_container(json.dumps(INFO), tasks).running


def hold(path: Path, entered: "multiprocessing.synchronize.Event") -> None:
    with locks.exclusive(path, lambda _: None):
        entered.set()
        multiprocessing.Event().wait(0.3)


def test_a_second_process_waits_for_the_first_and_says_so(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    entered = context.Event()
    other = context.Process(target=hold, args=(tmp_path / "lock", entered))
    other.start()
    assert entered.wait(10)
    said: list[str] = []

    start = time.monotonic()
    with locks.exclusive(tmp_path / "lock", said.append):
        assert time.monotonic() - start > 0.2
    other.join()

    assert said == [f"waiting for process {other.pid}, which holds {tmp_path / 'lock'}"]
