"""Layers out of folders."""

import hashlib
import io
import os
import tarfile
import tempfile
from pathlib import Path

import pytest

from trainyard_local.images.layers import link_tree, pack


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "venv"
    (root / "bin").mkdir(parents=True)
    (root / "bin/tool").write_text("#!/bin/sh\n")
    (root / "bin/tool").chmod(0o755)
    (root / "bin/python").symlink_to("/usr/bin/python3")
    (root / "lib64").symlink_to("lib")
    (root / "empty").mkdir(mode=0o700)
    return root


def members(archive: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return {member.name: member for member in opened}


def test_a_layer_has_the_digest_and_size_of_its_archive(folder: Path) -> None:
    target = io.BytesIO()
    layer = pack(folder, "opt/venv", target)
    assert layer.digest == f"sha256:{hashlib.sha256(target.getvalue()).hexdigest()}"
    assert layer.size == len(target.getvalue())


def test_the_digest_is_the_same_whether_the_archive_is_written_or_not(folder: Path) -> None:
    assert pack(folder, "opt/venv", None) == pack(folder, "opt/venv", io.BytesIO())


def test_a_layer_holds_the_folder_and_those_above_it_in_the_image(folder: Path) -> None:
    target = io.BytesIO()
    pack(folder, "opt/trainyard/venv", target)
    found = members(target.getvalue())
    assert list(found)[:3] == ["opt", "opt/trainyard", "opt/trainyard/venv"]
    assert found["opt/trainyard/venv/bin/python"].linkname == "/usr/bin/python3"
    assert found["opt/trainyard/venv/lib64"].issym()
    assert found["opt/trainyard/venv/bin/tool"].mode & 0o777 == 0o755
    assert found["opt/trainyard/venv/empty"].mode & 0o777 == 0o700


def test_a_layer_of_a_whole_root_has_no_entry_for_the_root(folder: Path) -> None:
    target = io.BytesIO()
    pack(folder, "", target)
    assert set(members(target.getvalue())) == {"bin", "bin/tool", "bin/python", "empty", "lib64"}


def test_a_changed_byte_changes_the_digest(folder: Path) -> None:
    before = pack(folder, "", None)
    status = (folder / "bin/tool").stat()
    (folder / "bin/tool").write_text("#!/bin/zh\n")
    os.utime(folder / "bin/tool", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert pack(folder, "", None).digest != before.digest


def test_a_linked_tree_shares_its_files_and_keeps_links_and_modes(
    folder: Path, tmp_path: Path
) -> None:
    target = tmp_path / "node/venv"
    assert link_tree(folder, target) == 3
    assert (target / "bin/tool").stat().st_ino == (folder / "bin/tool").stat().st_ino
    assert (target / "bin/python").readlink() == Path("/usr/bin/python3")
    assert (target / "empty").stat().st_mode & 0o777 == 0o700
    assert pack(target, "x", None) == pack(folder, "x", None)


def test_a_tree_is_copied_where_links_cannot_reach(folder: Path) -> None:
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == folder.stat().st_dev:
        memory = Path(tempfile.gettempdir())
    with tempfile.TemporaryDirectory(dir=memory) as other:
        target = Path(other) / "venv"
        assert link_tree(folder, target) == 3
        assert pack(target, "x", None) == pack(folder, "x", None)
