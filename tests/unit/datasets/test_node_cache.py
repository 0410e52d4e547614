"""A node's cache on a real disk: bounded, verified, shared, and never in a run's way."""

from __future__ import annotations

import fcntl
import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from trainyard.api.manifest import StoredFile
from trainyard.datasets import cache_folder
from trainyard.datasets.node_cache import NodeCache

SIZE = 1000


def content(number: int, size: int = SIZE) -> bytes:
    return bytes([number]) * size


def stored(data: bytes) -> StoredFile:
    digest = hashlib.sha256(data).hexdigest()
    return StoredFile(name=f"shards/{digest}.tar", sha256=digest, size_bytes=len(data))


def add(cache: NodeCache, data: bytes) -> StoredFile:
    file = stored(data)
    with cache.adding(file) as addition:
        for start in range(0, len(data), 300):
            addition.write(data[start : start + 300])
        addition.keep()
    return file


def read(cache: NodeCache, file: StoredFile) -> bytes | None:
    opened = cache.open(file)
    if opened is None:
        return None
    with opened:
        return opened.read()


def entries(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if len(path.name) == 64}


def partials(folder: Path) -> list[Path]:
    return list(folder.glob(".*.partial"))


def used(folder: Path) -> int:
    total = 0
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


@pytest.fixture
def cache(tmp_path: Path) -> NodeCache:
    return NodeCache(tmp_path, 3 * SIZE)


@pytest.fixture(autouse=True)
def _log_is_captured(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level("INFO", "trainyard")
    yield


def age(folder: Path, file: StoredFile, seconds: int) -> None:
    """As if the entry had last been used so long ago."""
    path = folder / file.sha256
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


class TestEntry:
    def test_it_is_what_was_added(self, cache: NodeCache) -> None:
        file = add(cache, content(1))
        assert cache.has(file)
        assert read(cache, file) == content(1)

    def test_it_is_there_only_once_it_is_kept(self, cache: NodeCache, tmp_path: Path) -> None:
        file = stored(content(1))
        with cache.adding(file) as addition:
            addition.write(content(1))
            assert not cache.has(file)
            assert len(partials(tmp_path)) == 1
        assert not cache.has(file)
        assert partials(tmp_path) == []

    def test_an_error_while_it_comes_leaves_nothing(self, cache: NodeCache, tmp_path: Path) -> None:
        file = stored(content(1))
        with pytest.raises(ValueError, match="lost"), cache.adding(file) as addition:
            addition.write(content(1)[:500])
            raise ValueError("lost")
        assert entries(tmp_path) == set()
        assert partials(tmp_path) == []

    def test_only_the_same_user_can_read_it(self, cache: NodeCache, tmp_path: Path) -> None:
        file = add(cache, content(1))
        assert (tmp_path / file.sha256).stat().st_mode & 0o777 == 0o600

    def test_an_empty_file_is_an_entry_too(self, cache: NodeCache) -> None:
        assert read(cache, add(cache, b"")) == b""


DAMAGE = {
    "a changed byte": lambda path: path.write_bytes(content(2)),
    "a truncated file": lambda path: os.truncate(path, SIZE // 2),
    "an empty file": lambda path: os.truncate(path, 0),
    "a longer file": lambda path: path.write_bytes(content(1) + b"x"),
    "a link to another file": lambda path: (
        path.with_name("other").write_bytes(content(1)),
        path.unlink(),
        path.symlink_to("other"),
    ),
    "a pipe that would wait for ever": lambda path: (path.unlink(), os.mkfifo(path)),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_entry_is_said_once_and_replaced(
    damage: object, cache: NodeCache, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = add(cache, content(1))
    damage(tmp_path / file.sha256)  # type: ignore[operator]
    assert read(cache, file) is None
    assert read(cache, file) is None
    (line,) = caplog.messages
    assert line.startswith(f"the cached file {tmp_path / file.sha256} is damaged (")
    assert line.endswith("it is fetched again")
    add(cache, content(1))
    assert read(cache, file) == content(1)


def test_a_folder_in_the_place_of_an_entry_is_no_entry_and_ends_nothing(
    cache: NodeCache, tmp_path: Path
) -> None:
    file = stored(content(1))
    (tmp_path / file.sha256).mkdir()
    assert read(cache, file) is None
    add(cache, content(1))
    assert read(cache, file) is None
    assert partials(tmp_path) == []


class TestBound:
    def test_least_recently_used_goes_first(self, cache: NodeCache, tmp_path: Path) -> None:
        first, second, third = (add(cache, content(number)) for number in (1, 2, 3))
        for position, file in enumerate((first, second, third)):
            age(tmp_path, file, 100 - position)
        assert read(cache, first) == content(1)
        add(cache, content(4))
        assert read(cache, second) is None
        assert {read(cache, file) for file in (first, third)} == {content(1), content(3)}

    def test_room_is_made_before_the_new_one_comes(self, cache: NodeCache, tmp_path: Path) -> None:
        for number in (1, 2, 3):
            add(cache, content(number))
        with cache.adding(stored(content(4))):
            assert len(entries(tmp_path)) == 2
            assert used(tmp_path) <= 3 * SIZE

    def test_what_is_being_written_counts_with_its_full_size(
        self, cache: NodeCache, tmp_path: Path
    ) -> None:
        add(cache, content(9))
        with (
            cache.adding(stored(content(1))),
            cache.adding(stored(content(2))),
            cache.adding(stored(content(3))) as third,
        ):
            assert used(tmp_path) == 3 * SIZE
            assert entries(tmp_path) == set()
            # No room is left: it is not kept, and nobody else's work is lost for it.
            with cache.adding(stored(content(4))) as fourth:
                fourth.write(content(4))
                fourth.keep()
            third.write(content(3))
            third.keep()
        assert entries(tmp_path) == {stored(content(3)).sha256}

    def test_a_file_over_the_limit_is_not_kept_and_evicts_nothing(
        self, cache: NodeCache, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        kept = add(cache, content(1))
        add(cache, content(2, 4 * SIZE))
        add(cache, content(3, 5 * SIZE))
        small = add(cache, content(4))
        assert entries(tmp_path) == {kept.sha256, small.sha256}
        (line,) = caplog.messages
        assert f"has 4000 bytes, more than the 3000 of the cache {tmp_path}" in line

    def test_what_is_open_stays_readable_when_it_is_evicted(
        self, cache: NodeCache, tmp_path: Path
    ) -> None:
        file = add(cache, content(1))
        opened = cache.open(file)
        assert opened is not None
        with opened:
            for number in (2, 3, 4):
                add(cache, content(number))
            assert file.sha256 not in entries(tmp_path)
            assert opened.read() == content(1)

    def test_a_lower_limit_counts_from_the_next_run_on(
        self, cache: NodeCache, tmp_path: Path
    ) -> None:
        files = [add(cache, content(number)) for number in (1, 2, 3)]
        for position, file in enumerate(files):
            age(tmp_path, file, 100 - position)
        NodeCache(tmp_path, 2 * SIZE).tidy()
        assert entries(tmp_path) == {file.sha256 for file in files[1:]}

    def test_files_of_others_are_left_alone(self, cache: NodeCache, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_bytes(content(1, 5 * SIZE))
        for number in range(5):
            add(cache, content(number))
        cache.tidy()
        assert (tmp_path / "notes.txt").exists()
        assert len(entries(tmp_path)) == 3


def run_python(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments], stdout=subprocess.PIPE, text=True
    )


WRITER = """
    import sys, time
    from pathlib import Path
    from trainyard.api.manifest import StoredFile
    from trainyard.datasets.node_cache import NodeCache
    folder, digest = sys.argv[1:]
    file = StoredFile(name="shards/x.tar", sha256=digest, size_bytes=1000)
    with NodeCache(Path(folder), 3000).adding(file) as addition:
        addition.write(b"half of it")
        print("writing", flush=True)
        time.sleep(60)
"""


def test_what_a_killed_run_left_is_removed_by_the_next_and_what_a_live_one_writes_is_not(
    cache: NodeCache, tmp_path: Path
) -> None:
    file = stored(content(1))
    process = run_python(WRITER, str(tmp_path), file.sha256)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        cache.tidy()
        assert len(partials(tmp_path)) == 1
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert len(partials(tmp_path)) == 1
    cache.tidy()
    assert partials(tmp_path) == []
    assert add(cache, content(1)) == file
    assert read(cache, file) == content(1)


def use_at_random(folder: str, seed: int, limit: int) -> int:
    """Reads and adds in an order of its own; returns how many reads were of an entry."""
    cache, found = NodeCache(Path(folder), limit), 0
    for step in range(80):
        number = (step * (2 * seed + 1) + seed) % 12
        data = read(cache, stored(content(number, 4096)))
        if data is None:
            add(cache, content(number, 4096))
        else:
            assert data == content(number, 4096)
            found += 1
        # Under the lock, so that nothing moves while the sizes are added up.
        with (Path(folder) / ".lock").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            assert used(Path(folder)) <= limit
    return found


def test_several_processes_at_once_neither_collide_nor_pass_the_limit(tmp_path: Path) -> None:
    limit = 8 * 4096
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        found = pool.starmap(use_at_random, [(str(tmp_path), seed, limit) for seed in range(4)])
    assert sum(found) > 50
    assert partials(tmp_path) == []
    assert used(tmp_path) <= limit


def in_own_mounts(code: str, *arguments: str) -> list[str]:
    """Lines that a Python program prints which may mount, in a mount namespace of its own."""
    alone = ["unshare", "--mount", *(["--user", "--map-root-user"] if os.geteuid() else [])]
    ready = """
        import logging, subprocess, sys
        from pathlib import Path
        from tests.unit.datasets.test_node_cache import SIZE, NodeCache, add, content, entries, read
        from tests.unit.datasets.test_node_cache import partials
        logging.basicConfig(stream=sys.stdout, format="%(message)s")
        folder = Path(sys.argv[1])
    """
    command = [*alone, sys.executable, "-c", textwrap.dedent(ready) + textwrap.dedent(code)]
    done = subprocess.run([*command, *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.splitlines()


class TestOutOfOrder:
    def test_a_read_only_folder_is_said_once_and_what_is_there_is_used(
        self, tmp_path: Path
    ) -> None:
        # Mounted so: permission bits stop no root.
        code = """
            known = add(NodeCache(folder, 3 * SIZE), content(1))
            subprocess.run(["mount", "--bind", folder, folder], check=True)
            subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
            cache = NodeCache(folder, 3 * SIZE)
            cache.tidy()
            other, third = add(cache, content(2)), add(cache, content(3))
            assert read(cache, known) == content(1)
            assert (read(cache, other), read(cache, third)) == (None, None)
        """
        assert in_own_mounts(code, str(tmp_path)) == [
            f"the cache {tmp_path} cannot be written to (Read-only file system): "
            "nothing is added to it"
        ]

    def test_a_full_disk_is_said_once(self, tmp_path: Path) -> None:
        code = """
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "t", folder], check=True)
            cache = NodeCache(folder, 1 << 30)
            small = add(cache, content(1))
            add(cache, content(2, 1 << 20))
            add(cache, content(3))
            assert read(cache, small) == content(1)
            assert entries(folder) == {small.sha256}
            assert partials(folder) == []
        """
        assert in_own_mounts(code, str(tmp_path)) == [
            f"the cache {tmp_path} cannot be written to (No space left on device): "
            "nothing is added to it"
        ]

    def test_a_run_that_holds_the_lock_and_stands_still_is_not_waited_for_long(
        self,
        cache: NodeCache,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(cache_folder, "_LOCK_SECONDS", 0.1)
        file = add(cache, content(1))
        with (tmp_path / ".lock").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            add(cache, content(2))
            assert read(cache, file) == content(1)
        (line,) = caplog.messages
        assert "another run has held .lock for 0.1 s" in line

    def test_a_folder_that_vanishes_ends_nothing(self, tmp_path: Path) -> None:
        folder = tmp_path / "cache"
        folder.mkdir()
        cache = NodeCache(folder, 3 * SIZE)
        file = stored(content(1))
        with cache.adding(file) as addition:
            addition.write(content(1))
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()
            addition.keep()
        assert not cache.has(file)
        assert read(cache, file) is None


class TestEnvironment:
    def test_without_a_folder_there_is_no_cache(self, caplog: pytest.LogCaptureFixture) -> None:
        assert NodeCache.from_environment({}) is None
        assert NodeCache.from_environment({"TRAINYARD_NODE_CACHE": ""}) is None
        assert caplog.messages == []

    def test_a_folder_and_its_limit_make_one(self, tmp_path: Path) -> None:
        made = NodeCache.from_environment(
            {"TRAINYARD_NODE_CACHE": str(tmp_path), "TRAINYARD_NODE_CACHE_BYTES": "3000"}
        )
        assert made is not None
        assert cached(made, tmp_path)

    def test_a_missing_folder_is_said_and_not_made(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        missing = tmp_path / "none"
        environ = {"TRAINYARD_NODE_CACHE": str(missing), "TRAINYARD_NODE_CACHE_BYTES": "3000"}
        assert NodeCache.from_environment(environ) is None
        assert not missing.exists()
        assert caplog.messages == [f"the cache {missing} is no folder: it is not used"]

    @pytest.mark.parametrize("size", ["", "0", "-1", "1Gi", "1.5"])
    def test_a_size_that_is_none_is_said(
        self, size: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        environ = {"TRAINYARD_NODE_CACHE": str(tmp_path), "TRAINYARD_NODE_CACHE_BYTES": size}
        assert NodeCache.from_environment(environ) is None
        (line,) = caplog.messages
        assert line.startswith(f"TRAINYARD_NODE_CACHE_BYTES is {size!r}: give the bytes")


def cached(cache: NodeCache, folder: Path) -> bool:
    return add(cache, content(1)).sha256 in entries(folder)
