"""Images in a real containerd: the heavy layer is linked in, not imported."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from trainyard_local.debian import NodePrograms, node_programs
from trainyard_local.errors import LocalClusterError
from trainyard_local.images.build import BuiltImage
from trainyard_local.images.containerd import Containerd
from trainyard_local.images.layers import Layer, pack
from trainyard_local.images.layout import (
    CONFIG_TYPE,
    LAYER_TYPE,
    MANIFEST_TYPE,
    Layout,
    with_lowest_layer,
)
from trainyard_local.images.load import load
from trainyard_local.paths import cache
from trainyard_local.progress import Reporter

PREFIX = "opt/trainyard/venv"
REPORTER = Reporter(quiet=True)


class Daemon:
    """A containerd of our own, with all it writes below one folder."""

    def __init__(self, folder: Path, programs: NodePrograms) -> None:
        self.root = folder / "root"
        self.node = Containerd(folder / "c.sock", str(programs["ctr"]))
        self._programs = programs
        self._log = folder / "log"
        self._config = folder / "config.toml"
        folder.mkdir(parents=True)
        self._config.write_text(
            f'version = 2\nroot = "{self.root}"\nstate = "{folder}/state"\n'
            'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
            f'[grpc]\naddress = "{self.node.socket}"\n[ttrpc]\naddress = "{folder}/t.sock"\n'
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs["containerd"], "--config", self._config],
                stdout=log,
                stderr=log,
                env={"PATH": f"{self._programs.commands}:/usr/sbin:/usr/bin:/sbin:/bin"},
            )
        deadline = time.monotonic() + 60
        while self.node.attempt("version").returncode != 0:
            assert time.monotonic() < deadline, self._log.read_text()[-2000:]
            time.sleep(0.1)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=60)


@pytest.fixture(scope="module")
def programs() -> NodePrograms:
    return node_programs(cache(), REPORTER)


@pytest.fixture
def daemon(tmp_path: Path, programs: NodePrograms) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path / "containerd", programs)
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.stop()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "layout")
    layout.write_index([])
    return layout


Maker = Callable[..., BuiltImage]


@pytest.fixture
def make(tmp_path: Path, layout: Layout, programs: NodePrograms) -> Maker:
    """Make images as the build leaves them: tag, content of the source, content of the venv."""

    def made(tag: str, source: str = "source", heavy: str = "heavy") -> BuiltImage:
        venv = tmp_path / f"heavy-{heavy}/venv"
        if not venv.exists():
            (venv / "bin").mkdir(parents=True)
            shutil.copy2(programs.busybox, venv / "bin/busybox")
            (venv / "name").write_text(heavy)
        app = tmp_path / f"source-{tag}"
        (app / "app").mkdir(parents=True)
        (app / "app/name").write_text(source)
        blob = tmp_path / "layer.tar"
        with blob.open("wb") as target:
            layer = pack(app, "", target)
        layout.blob(layer.digest).parent.mkdir(parents=True, exist_ok=True)
        blob.rename(layout.blob(layer.digest))
        descriptor = {"mediaType": LAYER_TYPE, "digest": layer.digest, "size": layer.size}
        config = {
            "created": "1970-01-01T00:00:00Z",
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": [f"/{PREFIX}/bin/busybox"]},
            "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
        }
        bottom = pack(venv, PREFIX, None)
        config, layers = with_lowest_layer(config, {"layers": [descriptor]}, bottom, "the venv")
        described = layout.write(config, CONFIG_TYPE)
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": described}
        digest = layout.write({**manifest, "layers": layers}, MANIFEST_TYPE)["digest"]
        return BuiltImage("x", f"localhost/trainyard-x:{tag}", digest, bottom, str(venv))

    return made


def output(node: Containerd, image: BuiltImage, *command: str) -> str:
    return node.call("run", "--rm", "--read-only", image.reference, "test", *command)


def busybox(*arguments: str) -> tuple[str, ...]:
    return (f"/{PREFIX}/bin/busybox", *arguments)


def snapshots(daemon: Daemon) -> list[Path]:
    return list(daemon.root.glob(f"io.containerd.snapshotter.v1.overlayfs/snapshots/*/fs/{PREFIX}"))


def blob(daemon: Daemon, layer: Layer) -> Path:
    name = layer.digest.removeprefix("sha256:")
    return daemon.root / "io.containerd.content.v1.content/blobs/sha256" / name


def is_complete(daemon: Daemon, image: BuiltImage) -> bool:
    lines = daemon.node.call("images", "check").splitlines()
    return any(
        line.startswith(f"{image.reference} ") and "complete (" in line and line.endswith("true")
        for line in (line.rstrip() for line in lines)
    )


def test_a_container_runs_from_the_linked_layer_and_the_sources(
    daemon: Daemon, layout: Layout, make: Maker
) -> None:
    image = make("one", source="the source", heavy="the venv")
    load(image, [daemon.node], layout, REPORTER)
    assert is_complete(daemon, image)
    seen = output(daemon.node, image, *busybox("cat", "/app/name", f"/{PREFIX}/name"))
    assert seen == "the sourcethe venv"


def test_the_heavy_layer_takes_no_disk_of_its_own(
    daemon: Daemon, layout: Layout, make: Maker
) -> None:
    image = make("one")
    load(image, [daemon.node], layout, REPORTER)
    (linked,) = snapshots(daemon)
    built = Path(image.heavy_folder) / "bin/busybox"
    assert (linked / "bin/busybox").stat().st_ino == built.stat().st_ino
    assert blob(daemon, image.heavy).stat().st_size == image.heavy.size
    assert blob(daemon, image.heavy).stat().st_blocks == 0


def test_an_image_is_found_under_its_digest_and_after_a_restart(
    daemon: Daemon, layout: Layout, make: Maker
) -> None:
    image = make("one", source="kept")
    load(image, [daemon.node], layout, REPORTER)
    daemon.stop()
    daemon.start()
    assert is_complete(daemon, image)
    assert daemon.node.images()[image.pinned] == image.manifest
    assert output(daemon.node, image, *busybox("cat", "/app/name")) == "kept"


def test_loading_again_changes_nothing(daemon: Daemon, layout: Layout, make: Maker) -> None:
    image = make("one")
    load(image, [daemon.node], layout, REPORTER)
    before = _held(daemon)
    load(image, [daemon.node], layout, REPORTER)
    # containerd may collect what earlier images left meanwhile; nothing is added.
    assert _held(daemon) <= before
    assert is_complete(daemon, image)


def _held(daemon: Daemon) -> set[str]:
    """Names of all content and snapshots; the other columns are sizes and ages."""
    listed = (daemon.node.call("content", "ls"), daemon.node.call(*daemon.node.snapshots("ls")))
    return {line.split()[0] for text in listed for line in text.splitlines()}


def test_a_load_killed_half_way_is_mended_by_the_next(
    daemon: Daemon, layout: Layout, make: Maker
) -> None:
    image = make("one", source="mended")
    node = daemon.node
    node.call(*node.snapshots("prepare", "trainyard-x"))
    blob(daemon, image.heavy).parent.mkdir(parents=True, exist_ok=True)
    blob(daemon, image.heavy).write_bytes(b"")
    load(image, [node], layout, REPORTER)
    assert is_complete(daemon, image)
    assert output(node, image, *busybox("cat", "/app/name")) == "mended"


def test_a_change_of_the_sources_links_nothing_again(
    daemon: Daemon, layout: Layout, make: Maker
) -> None:
    load(make("one", source="first"), [daemon.node], layout, REPORTER)
    (before,) = snapshots(daemon)
    second = make("two", source="second")
    load(second, [daemon.node], layout, REPORTER)
    assert snapshots(daemon) == [before]
    assert output(daemon.node, second, *busybox("cat", "/app/name")) == "second"


def test_the_oldest_image_goes_with_its_layers_and_earlier_ones_stay(
    daemon: Daemon, layout: Layout, make: Maker
) -> None:
    old = make("old", source="a", heavy="old venv")
    load(old, [daemon.node], layout, REPORTER)
    before = make("before", source="b", heavy="new venv")
    load(replace(before, earlier=(old.reference,)), [daemon.node], layout, REPORTER)
    assert {old.reference, before.reference} <= daemon.node.images().keys()
    new = replace(make("new", source="c", heavy="new venv"), earlier=(before.reference,))
    load(new, [daemon.node], layout, REPORTER)
    names = (before.reference, before.pinned, new.reference, new.pinned)
    assert sorted(daemon.node.images()) == sorted(names)
    assert output(daemon.node, before, *busybox("cat", "/app/name")) == "b"
    assert not blob(daemon, old.heavy).exists()
    (left,) = snapshots(daemon)
    assert (left / "name").read_text() == "new venv"


def test_several_nodes_get_an_image_at_once(
    tmp_path: Path, programs: NodePrograms, daemon: Daemon, layout: Layout, make: Maker
) -> None:
    other = Daemon(tmp_path / "other", programs)
    other.start()
    try:
        image = make("one", source="everywhere")
        load(image, [daemon.node, other.node], layout, REPORTER)
        for node in (daemon.node, other.node):
            assert output(node, image, *busybox("cat", "/app/name")) == "everywhere"
    finally:
        other.stop()


def test_containerd_never_takes_the_hole_for_the_layer(
    daemon: Daemon, layout: Layout, make: Maker
) -> None:
    image = make("one")
    load(image, [daemon.node], layout, REPORTER)
    done = daemon.node.attempt("run", "--rm", "--snapshotter", "native", image.reference, "test")
    assert done.returncode != 0
    assert "wrong diff id" in done.stderr


def test_a_containerd_that_does_not_run_is_told(
    tmp_path: Path, programs: NodePrograms, layout: Layout, make: Maker
) -> None:
    node = Containerd(tmp_path / "none.sock", str(programs["ctr"]))
    with pytest.raises(LocalClusterError, match=r"`ctr images ls` on .*none\.sock failed"):
        load(make("one"), [node], layout, REPORTER)
