"""From a snapshot in a real S3 server to its images, with and without a node's cache."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from io import BufferedReader
from pathlib import Path

import pytest

from tests.unit.labelled import BUCKET, image_bytes, put
from tests.unit.sources import selection, snapshot_of
from trainyard.api.manifest import SnapshotManifest, StoredFile
from trainyard.datasets.node_cache import NodeCache
from trainyard.datasets.reading import read_snapshot
from trainyard.datasets.samples import Sample, read_samples
from trainyard.datasets.staging import Shard, Staging, shards_of
from trainyard.stores import DigestMismatch, ObjectNotFound, Store, StoreError, join
from trainyard.stores.base import CHUNK_BYTES
from trainyard_local.s3 import S3Server

LIMIT = 1 << 30


@dataclass(frozen=True)
class Packed:
    """A snapshot, and the images that it was made of, by the raw SHA-256 of each."""

    uri: str
    source: str
    images: dict[bytes, bytes]


@pytest.fixture
def packed(store: Store, prefix: str) -> Packed:
    """Three images of about 2 MiB, so that a shard has several chunks, and some small ones."""
    return pack(store, prefix, images())


@cache
def images() -> list[bytes]:
    large = [image_bytes(seed, (900, 800)) for seed in range(3)]
    return large + [image_bytes(seed) for seed in range(3, 8)]


def pack(store: Store, prefix: str, made: list[bytes]) -> Packed:
    source = put(store, prefix, {f"a/{n}.png": data for n, data in enumerate(made)})
    words = snapshot_of(store, f"s3://{BUCKET}/{prefix}-out", selection(prefix))
    images = {hashlib.sha256(data).digest(): data for data in made}
    return Packed(words.location, source, images)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def _log_is_captured(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level("INFO", "trainyard")
    yield


def described(staging: Staging, uri: str, path: Path) -> tuple[SnapshotManifest, list[Sample]]:
    snapshot = staging.samples(uri, path)
    return snapshot, list(read_samples(path))


def stage(
    store: Store, packed: Packed, tmp_path: Path, cache: NodeCache | None = None
) -> dict[bytes, bytes]:
    """As a run does: the description, the rows, every image."""
    staging = Staging(store, cache)
    snapshot, samples = described(staging, packed.uri, tmp_path / "rows.parquet")
    shards = shards_of(packed.uri, snapshot)
    wanted: dict[Shard, list[Sample]] = {}
    for sample in samples:
        wanted.setdefault(shards[sample.shard], []).append(sample)
    return {sample.digest: data for _, sample, data in staging.images(wanted)}


@pytest.fixture
def requests(s3_server: S3Server) -> Callable[[], list[str]]:
    """What the server was asked since the last call, as it says itself."""
    log, seen = s3_server.folder / "versitygw.log", [0]

    def since() -> list[str]:
        time.sleep(0.1)  # The line is written after the reply.
        lines = [line for line in log.read_text().splitlines() if "| vgw |" in line]
        new, seen[0] = lines[seen[0] :], len(lines)
        return new

    since()
    return since


def test_every_image_comes_as_it_was_packed(store: Store, packed: Packed, tmp_path: Path) -> None:
    assert stage(store, packed, tmp_path) == packed.images


def test_some_images_can_be_wanted_alone(store: Store, packed: Packed, tmp_path: Path) -> None:
    staging = Staging(store)
    snapshot, samples = described(staging, packed.uri, tmp_path / "rows.parquet")
    (shard,) = shards_of(packed.uri, snapshot)
    some = samples[1::3]
    found = {sample.digest: data for _, sample, data in staging.images({shard: some})}
    assert found == {sample.digest: packed.images[sample.digest] for sample in some}


def test_without_a_cache_no_shard_lies_on_this_machines_disk(
    store: Store, packed: Packed, tmp_path: Path
) -> None:
    stage(store, packed, tmp_path)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["rows.parquet"]


def test_a_warm_restage_asks_the_store_for_the_description_alone(
    store: Store,
    packed: Packed,
    tmp_path: Path,
    folder: Path,
    requests: Callable[[], list[str]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    cold = stage(store, packed, tmp_path, NodeCache(folder, LIMIT))
    assert len(requests()) == 3
    assert "staging: 2 files, 0 of them from the node's cache; " in caplog.messages[-1]
    warm = stage(store, packed, tmp_path, NodeCache(folder, LIMIT))
    (only,) = requests()
    assert "| GET |" in only
    assert only.split("|")[6].strip().endswith("/snapshot.json")
    assert warm == cold == packed.images
    assert caplog.messages[-1] == (
        "staging: 2 files, 2 of them from the node's cache; 0.0 MB came from the store"
    )


def test_a_run_that_may_not_read_the_description_gets_nothing_from_the_cache(
    store: Store, packed: Packed, tmp_path: Path, folder: Path
) -> None:
    stage(store, packed, tmp_path, NodeCache(folder, LIMIT))
    store.delete(join(packed.uri, "snapshot.json"))
    with pytest.raises(ObjectNotFound):
        stage(store, packed, tmp_path, NodeCache(folder, LIMIT))


@pytest.mark.parametrize("damage", ["another byte", "cut off"])
def test_a_damaged_entry_is_fetched_again_and_said_once(
    damage: str,
    store: Store,
    packed: Packed,
    tmp_path: Path,
    folder: Path,
    requests: Callable[[], list[str]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    stage(store, packed, tmp_path, NodeCache(folder, LIMIT))
    shard = max(folder.iterdir(), key=lambda path: path.stat().st_size)
    if damage == "cut off":
        os.truncate(shard, shard.stat().st_size // 2)
    else:
        with shard.open("r+b") as file:
            file.seek(shard.stat().st_size // 2)
            byte = file.read(1)[0]
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte ^ 1]))
    requests()
    assert stage(store, packed, tmp_path, NodeCache(folder, LIMIT)) == packed.images
    assert len(requests()) == 2
    assert len([line for line in caplog.messages if "is damaged" in line]) == 1
    assert stage(store, packed, tmp_path, NodeCache(folder, LIMIT)) == packed.images
    assert len(requests()) == 1


def unreadable(opened: BufferedReader, _: Path) -> None:
    """From here on the kernel answers each read with EIO, as it does for a broken disk."""
    memory = os.open("/proc/self/mem", os.O_RDONLY)
    os.dup2(memory, opened.fileno())
    os.close(memory)


def cut_off(_: BufferedReader, path: Path) -> None:
    os.truncate(path, 0)


class Breaking(NodeCache):
    """Its entries are whole when they are verified, and break after `good` bytes of use."""

    def __init__(self, folder: Path, good: int, breaks: Callable[[BufferedReader, Path], None]):
        super().__init__(folder, LIMIT)
        self._at, self._good, self._breaks = folder, good, breaks

    def open(self, file: StoredFile) -> BufferedReader | None:
        opened = super().open(file)
        if opened is None or not file.name.endswith(".tar"):
            return opened
        if self._good:
            opened = BufferedReader(opened.detach(), self._good)
            opened.peek()
        self._breaks(opened, self._at / file.sha256)
        return opened


@pytest.mark.parametrize("good", [0, 2 * CHUNK_BYTES])
@pytest.mark.parametrize(
    ("breaks", "said"),
    [
        (unreadable, "Input/output error"),
        (cut_off, "it was cut off while it was read"),
    ],
)
def test_an_entry_that_breaks_while_it_is_used_is_fetched_from_where_it_broke(
    breaks: Callable[[BufferedReader, Path], None],
    said: str,
    good: int,
    store: Store,
    packed: Packed,
    tmp_path: Path,
    folder: Path,
    requests: Callable[[], list[str]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    stage(store, packed, tmp_path, NodeCache(folder, LIMIT))
    requests()
    caplog.clear()
    assert stage(store, packed, tmp_path, Breaking(folder, good, breaks)) == packed.images
    assert len(requests()) == 2
    (line,) = [line for line in caplog.messages if "is damaged" in line]
    assert f"({said}): it is fetched again" in line
    assert stage(store, packed, tmp_path, NodeCache(folder, LIMIT)) == packed.images
    assert len(requests()) == 1


def test_a_cache_that_is_too_small_for_a_shard_changes_nothing(
    store: Store, packed: Packed, tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        assert stage(store, packed, tmp_path, NodeCache(folder, 100_000)) == packed.images
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 100_000
    assert len([line for line in caplog.messages if "such files are not kept" in line]) == 2


def test_a_dataset_that_is_larger_than_the_cache_still_finds_most_of_it_there(
    store: Store, prefix: str, tmp_path: Path, folder: Path, requests: Callable[[], list[str]]
) -> None:
    wanted: dict[Shard, list[Sample]] = {}
    for n in range(6):
        made = pack(store, f"{prefix}-{n}", [image_bytes(n, (200, 200))])
        snapshot, samples = described(Staging(store), made.uri, tmp_path / "rows.parquet")
        (shard,) = shards_of(made.uri, snapshot)
        wanted[shard] = samples
    limit = 5 * shard.file.size_bytes + shard.file.size_bytes // 2
    fetched = []
    for _ in range(3):
        requests()
        assert len(list(Staging(store, NodeCache(folder, limit)).images(wanted))) == 6
        fetched.append(len(requests()))
    # In the order of their names, each would push out the one that is wanted next.
    assert fetched == [6, 1, 1]


def test_a_run_that_stops_early_leaves_nothing_behind(
    store: Store, packed: Packed, tmp_path: Path, folder: Path
) -> None:
    staging = Staging(store, NodeCache(folder, LIMIT))
    snapshot, samples = described(staging, packed.uri, tmp_path / "rows.parquet")
    (shard,) = shards_of(packed.uri, snapshot)
    with closing(staging.images({shard: samples})) as images:
        next(images)
    assert not [thread for thread in threading.enumerate() if thread.name == "ahead"]
    assert not list(folder.glob(".*.partial"))


@pytest.mark.parametrize("change", ["deleted", "changed"])
def test_a_source_that_is_deleted_or_changed_changes_nothing(
    store: Store, packed: Packed, tmp_path: Path, change: str
) -> None:
    for number, entry in enumerate(list(store.list(packed.source))):
        if change == "deleted":
            store.delete(entry.uri)
        else:
            store.write_bytes(entry.uri, image_bytes(100 + number))
    assert stage(store, packed, tmp_path) == packed.images


def test_a_source_is_never_asked_for_so_that_nobody_need_be_able_to_read_it(
    store: Store, packed: Packed, tmp_path: Path, requests: Callable[[], list[str]]
) -> None:
    place = packed.source.removeprefix("s3:/") + "/"
    list(store.list(packed.source))
    store.read_bytes(f"{packed.source}/a/7.png")
    assert any(place in line for line in requests())
    stage(store, packed, tmp_path)
    assert not any(place in line for line in requests())


def replace_shard(store: Store, packed: Packed, change: Callable[[bytes], bytes]) -> str:
    (uri,) = (x.uri for x in store.list(packed.uri.rpartition("/")[0]) if x.uri.endswith(".tar"))
    store.write_bytes(uri, change(store.read_bytes(uri, LIMIT)))
    return uri


CHANGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "a byte of an image": (
        lambda data: data[:1000] + bytes([data[1000] ^ 1]) + data[1001:],
        r"does not hold the image 'a/\d.png' \(\d+ bytes at \d+\) that manifest.parquet names",
    ),
    # The owner's name in the first header: no image has it.
    "a byte of no image": (
        lambda data: data[:265] + b"x" + data[266:],
        r"has the SHA-256 \w{64}, expected \w{64}: it was damaged or changed",
    ),
    "its end": (lambda data: data[:-20_000], r"was damaged or changed"),
    "something after its end": (lambda data: data + b"x", r"has more than the \d+ bytes expected"),
}


@pytest.mark.parametrize(("change", "sentence"), CHANGES.values(), ids=CHANGES)
def test_a_shard_that_was_changed_in_the_store_ends_the_run_and_is_not_kept(
    change: Callable[[bytes], bytes],
    sentence: str,
    store: Store,
    packed: Packed,
    tmp_path: Path,
    folder: Path,
) -> None:
    uri = replace_shard(store, packed, change)
    with pytest.raises(DigestMismatch, match=sentence) as caught:
        stage(store, packed, tmp_path, NodeCache(folder, LIMIT))
    assert uri in str(caught.value)
    assert len([path for path in folder.iterdir() if path.name != ".lock"]) == 1


def test_a_changed_list_of_samples_ends_the_run_and_nothing_of_it_is_left(
    store: Store, packed: Packed, tmp_path: Path, folder: Path
) -> None:
    uri = join(packed.uri, read_snapshot(store, packed.uri).manifest.name)
    store.write_bytes(uri, store.read_bytes(uri, LIMIT)[:-1] + b"x")
    with pytest.raises(StoreError, match=r"manifest-\w+\.parquet has the SHA-256"):
        stage(store, packed, tmp_path, NodeCache(folder, LIMIT))
    assert [path for path in tmp_path.iterdir() if path != folder] == []
    assert [path.name for path in folder.iterdir()] == [".lock"]


STAGER = """
    import sys
    from pathlib import Path
    from tests.unit.datasets.test_staging import LIMIT, Packed, stage
    from trainyard.api.run import StoreLocation
    from trainyard.datasets.node_cache import NodeCache
    from trainyard.stores import open_store
    endpoint, uri, work, folder = sys.argv[1:]
    Path(work).mkdir()
    store = open_store(StoreLocation(endpoint_url=endpoint))
    for _ in range(3):
        found = stage(store, Packed(uri, "", {}), Path(work), NodeCache(Path(folder), LIMIT))
    print(*sorted(digest.hex() for digest in found))
"""


def test_two_runs_that_stage_at_once_get_the_same_and_leave_a_whole_cache(
    packed: Packed, s3_server: S3Server, store: Store, tmp_path: Path, folder: Path
) -> None:
    keys = {
        "AWS_ACCESS_KEY_ID": s3_server.access_key,
        "AWS_SECRET_ACCESS_KEY": s3_server.secret_key,
    }
    runs = [
        subprocess.Popen(
            [
                *(sys.executable, "-c", textwrap.dedent(STAGER)),
                *(s3_server.endpoint_url, packed.uri, str(tmp_path / name), str(folder)),
            ],
            env={**os.environ, **keys},
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    expected = sorted(digest.hex() for digest in packed.images)
    for run in runs:
        assert run.communicate(timeout=60)[0].split() == expected
        assert run.returncode == 0
    assert len([path for path in folder.iterdir() if len(path.name) == 64]) == 2
    assert not list(folder.glob(".*.partial"))
    assert stage(store, packed, tmp_path, NodeCache(folder, LIMIT)) == packed.images
