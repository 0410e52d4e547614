"""A snapshot that is killed goes on, and ends as if nothing had happened."""

import gzip
import json
import re
import shutil
import threading
import tomllib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import trainyard
from tests.bench import one_snapshot
from tests.bench.fill import fill
from tests.unit.datasets.test_snapshot import read
from tests.unit.labelled import BUCKET, image_bytes, put
from tests.unit.sources import selection, snapshot_run
from trainyard.api.report import Stage
from trainyard.api.run import SnapshotRunFile, StoreLocation
from trainyard.datasets import parts
from trainyard.datasets.errors import BadData
from trainyard.datasets.parts import parts_key
from trainyard.datasets.reading import download_samples, read_snapshot
from trainyard.datasets.snapshot import MadeSnapshot, make_snapshot
from trainyard.stores import Store, join
from trainyard_local.s3 import S3Server

SHARD_LIMIT = 30_000
"""Six of the small images of `image_bytes` fill a shard of this size."""


class Killed(BaseException):
    """The process is gone: nothing catches this but the test."""


class Fragile:
    """The store; remembers the images that were read, and dies when `dies` says so."""

    def __init__(self, store: Any, dies: Callable[[str, str], bool] = lambda *_: False) -> None:
        self._store, self._dies = store, dies
        self.read: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def read_bytes(self, uri: str, *rest: Any) -> bytes:
        if uri.endswith(".png"):
            self.read.append(uri.rpartition("/")[2])
        data: bytes = self._store.read_bytes(uri, *rest)
        return data

    def upload(self, path: Path, uri: str) -> Any:
        self._die("upload", uri)
        return self._store.upload(path, uri)

    def write_bytes(self, uri: str, data: bytes, **options: Any) -> Any:
        self._die("write", uri)
        return self._store.write_bytes(uri, data, **options)

    def delete(self, uri: str) -> None:
        self._die("delete", uri)
        self._store.delete(uri)

    def _die(self, what: str, uri: str) -> None:
        if self._dies(what, uri):
            raise Killed


def run_file(prefix: str, output: str, *selections: Any, **more: Any) -> SnapshotRunFile:
    chosen = selections or (selection(prefix),)
    return snapshot_run(f"s3://{BUCKET}/{output}", *chosen, **more)


def make(store: Any, run: SnapshotRunFile, told: list[str] | None = None) -> MadeSnapshot:
    def say(stage: Stage, percent: float, message: str) -> None:
        if told is not None:
            told.append(message)

    return make_snapshot(store, run, say, shard_limit=SHARD_LIMIT)


def many(store: Store, prefix: str, count: int = 60) -> None:
    """Images, some of them copies, and one that is broken."""
    files = {f"{'ab'[n % 2]}/{n:03}.png": image_bytes(n) for n in range(count)}
    files |= {"a/copy.png": image_bytes(30), "b/clash.png": image_bytes(2), "a/bad.png": b"?"}
    put(store, prefix, files)


@pytest.fixture(scope="module")
def source(store: Store) -> str:
    """A prefix with `many` images, which no test changes."""
    many(store, "resume-source")
    return "resume-source"


def partial(store: Store, output: str) -> list[str]:
    return [entry.uri for entry in store.list(f"s3://{BUCKET}/{output}/partial")]


def at(what: str, text: str) -> Callable[[str, str], bool]:
    return lambda operation, uri: operation == what and text in uri


DEATHS: dict[str, Callable[[str, str], bool]] = {
    "before the first shard is stored": at("upload", "/shards/"),
    "between a shard and its part": at("upload", "/00000000.jsonl.gz"),
    "after some parts": at("upload", "/00000004.jsonl.gz"),
    "before the last part": at("upload", "/00000010.jsonl.gz"),
    "before manifest.parquet": at("upload", "/manifest-"),
    "between manifest.parquet and snapshot.json": at("write", "/snapshot.json"),
    "before the parts are removed": at("delete", "/partial/"),
    "while the parts are removed": at("delete", "/00000006.jsonl.gz"),
}


@pytest.mark.parametrize("death", DEATHS)
def test_a_snapshot_killed_anywhere_ends_as_an_undisturbed_one(
    store: Store, source: str, prefix: str, tmp_path: Path, death: str
) -> None:
    undisturbed = make(store, run_file(source, f"{prefix}-calm"))
    run = run_file(source, f"{prefix}-out")
    dying = Fragile(store, DEATHS[death])
    with pytest.raises(Killed):
        make(dying, run)
    again = Fragile(store)
    made = make(again, run)
    assert read(store, made, tmp_path)[1] == read(store, undisturbed, tmp_path)[1]
    described, expected = (read_snapshot(store, x.location) for x in (made, undisturbed))
    assert described.digest == expected.digest
    assert described.shards == expected.shards
    assert described.refused == expected.refused
    assert described.classes == expected.classes
    assert partial(store, f"{prefix}-out") == []


def test_images_of_finished_shards_are_not_read_again(
    store: Store, source: str, prefix: str
) -> None:
    run = run_file(source, f"{prefix}-out")
    with pytest.raises(Killed):
        make(Fragile(store, DEATHS["after some parts"]), run)
    again, told = Fragile(store), []
    make(again, run, told)
    taken_over = re.search(r"63 images, (\d+) of them by an earlier attempt; now s3", told[-2])
    assert taken_over
    assert int(taken_over[1]) > 10
    assert len(again.read) == 63 - int(taken_over[1])
    assert f"took over {taken_over[1]} of 63 images of an earlier attempt" in told


def test_once_all_is_packed_no_image_is_read_again(store: Store, source: str, prefix: str) -> None:
    run = run_file(source, f"{prefix}-out")
    with pytest.raises(Killed):
        make(Fragile(store, DEATHS["between manifest.parquet and snapshot.json"]), run)
    again = Fragile(store)
    make(again, run)
    assert again.read == []


def test_a_choice_of_a_few_is_the_same_after_a_kill(store: Store, source: str, prefix: str) -> None:
    wanted = selection(source, filter={"limit": 30, "seed": 3})
    undisturbed = Fragile(store)
    calm = make(undisturbed, run_file(source, f"{prefix}-calm", wanted))
    run = run_file(source, f"{prefix}-out", wanted)
    with pytest.raises(Killed):
        make(Fragile(store, at("upload", "/00000002.jsonl.gz")), run)
    again = Fragile(store)
    made = make(again, run)
    assert made.location.rpartition("/")[2] == calm.location.rpartition("/")[2]
    assert len(again.read) < len(undisturbed.read)


def test_several_selections_go_on_in_the_one_that_was_being_read(store: Store, prefix: str) -> None:
    for name, count in (("one", 20), ("two", 40)):
        put(store, f"{prefix}/{name}", {f"a/{n}.png": image_bytes(n) for n in range(count)})
    both = [selection(f"{prefix}/one"), selection(f"{prefix}/two", attribute="other")]
    calm = make(store, run_file(prefix, f"{prefix}-calm", *both))
    run = run_file(prefix, f"{prefix}-out", *both)
    with pytest.raises(Killed):
        make(Fragile(store, at("upload", "/00000004.jsonl.gz")), run)
    made = make(store, run)
    assert made.location.rpartition("/")[2] == calm.location.rpartition("/")[2]


def test_a_changed_source_starts_anew(store: Store, prefix: str) -> None:
    many(store, prefix)
    run = run_file(prefix, f"{prefix}-out")
    with pytest.raises(Killed):
        make(Fragile(store, DEATHS["after some parts"]), run)
    put(store, prefix, {"a/000.png": image_bytes(999)})
    again = Fragile(store)
    made = make(again, run)
    assert len(again.read) == 63
    assert read_snapshot(store, made.location).samples == 59


def test_other_labels_or_groups_of_the_same_files_start_anew(
    store: Store, source: str, prefix: str
) -> None:
    with pytest.raises(Killed):
        make(Fragile(store, DEATHS["after some parts"]), run_file(source, f"{prefix}-out"))
    for run in (
        run_file(source, f"{prefix}-out", selection(source, attribute="kind")),
        run_file(source, f"{prefix}-out", group_by="^(.)/"),
    ):
        again = Fragile(store)
        make(again, run)
        assert len(again.read) == 63


@pytest.mark.parametrize("what", ["our own reading", "the API's types", "a library"])
def test_another_version_of_what_reads_the_data_starts_anew(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "trainyard"
    for folder in ("api", "datasets"):
        shutil.copytree(Path(trainyard.__path__[0]) / folder, package / folder)
    monkeypatch.setattr(parts, "_PACKAGE", package)

    def key() -> str:
        parts._code_digest.cache_clear()
        parts._versions.cache_clear()
        return parts_key(run_file("p", "o"), ["listing"])

    before = key()
    assert key() == before
    if what == "a library":
        monkeypatch.setattr(parts, "version", lambda name: name == "pillow" or version(name))
    else:
        changed = {"our own reading": "datasets/formats/yolo.py", "the API's types": "api/_base.py"}
        with (package / changed[what]).open("a") as file:
            file.write("# Another version.\n")
    assert key() != before


def test_every_library_that_reads_images_or_labels_is_part_of_the_key() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["datasets"]]
    names = {re.split(r"[<>=]", line)[0] for line in needed}
    # The stores' clients bring bytes and know nothing of their content.
    assert set(parts.LIBRARIES) == names - {"boto3", "obstore"}


def spoil_part(store: Store, uri: str) -> None:
    store.write_bytes(uri, store.read_bytes(uri)[:-20])


def spoil_shard(store: Store, uri: str) -> None:
    last = gzip.decompress(store.read_bytes(uri)).splitlines()[-1]
    name = json.loads(last)["shard"]["name"]
    store.write_bytes(uri.partition("/partial/")[0] + f"/{name}", b"cut off")


@pytest.mark.parametrize("spoil", [spoil_part, spoil_shard, Store.delete])
def test_a_part_counts_only_if_it_is_whole_and_its_shard_is_there(
    store: Store, source: str, prefix: str, tmp_path: Path, spoil: Callable[[Store, str], None]
) -> None:
    calm = make(store, run_file(source, f"{prefix}-calm"))
    run = run_file(source, f"{prefix}-out")
    with pytest.raises(Killed):
        make(Fragile(store, DEATHS["after some parts"]), run)
    uri = partial(store, f"{prefix}-out")[1]
    if spoil is Store.delete:
        store.delete(uri)
    else:
        spoil(store, uri)
    again = Fragile(store)
    made = make(again, run)
    assert min(again.read) < "020.png"
    assert read(store, made, tmp_path)[1] == read(store, calm, tmp_path)[1]
    for shard in read_snapshot(store, made.location).shards:
        store.download(join(run.output, shard.name), tmp_path / "shard", shard.sha256)


def test_bad_data_leaves_no_parts(store: Store, prefix: str) -> None:
    files = {f"{n:03}.png": image_bytes(n) for n in range(30)}
    labels = {f"{n:03}.txt": "0 0.5 0.5 0.1 0.1" for n in range(30)} | {"029.txt": "0 nan 0 1 1"}
    put(store, prefix, {**files, **labels, "data.yaml": "names: [a]"})
    with pytest.raises(BadData, match=r"029.txt:1: 'nan' is not a finite number"):
        make(store, run_file(prefix, f"{prefix}-out", selection(prefix, "yolo")))
    assert partial(store, f"{prefix}-out") == []


def test_two_jobs_with_the_same_input_at_once_do_not_hurt_each_other(
    store: Store, source: str, prefix: str, tmp_path: Path
) -> None:
    run = run_file(source, f"{prefix}-out")
    made: list[MadeSnapshot] = []
    jobs = [threading.Thread(target=lambda: made.append(make(store, run))) for _ in range(3)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert len(made) == 3
    assert len(set(made)) == 1
    assert read(store, made[0], tmp_path)[0].samples == 59


def test_the_same_snapshot_from_other_files_at_once_leaves_one_that_is_whole(
    store: Store, prefix: str, tmp_path: Path
) -> None:
    many(store, f"{prefix}/one")
    names = {f"{'ab'[n % 2]}/z{60 - n:03}.png": image_bytes(n) for n in range(60) if n != 2}
    put(store, f"{prefix}/two", names)
    first = run_file(f"{prefix}/one", f"{prefix}-out")
    other = run_file(f"{prefix}/two", f"{prefix}-out")
    made: list[MadeSnapshot] = []

    class Slow(Fragile):
        """Another job is done between this one's manifest and its snapshot.json."""

        def write_bytes(self, uri: str, data: bytes, **options: Any) -> Any:
            if uri.endswith("/snapshot.json"):
                made.append(make(store, other))
            return super().write_bytes(uri, data, **options)

    made.append(make(Slow(store), first))
    assert made[0] == made[1]
    described = download_samples(store, made[0].location, tmp_path / "samples")
    for shard in described.shards:
        store.download(join(first.output, shard.name), tmp_path / "shard", shard.sha256)


def test_three_thousand_images_and_three_sigkills_give_the_digest_of_an_undisturbed_run(
    s3_server: S3Server, store: Store, prefix: str, tmp_path: Path
) -> None:
    # Written into the server's folder: three thousand requests would take longer than the test.
    files = ((f"{'ab'[n % 2]}/{n:05}.png", image_bytes(n, (8, 8))) for n in range(3000))
    fill(s3_server, BUCKET, prefix, files)

    def document(output: str) -> dict[str, Any]:
        where = StoreLocation(endpoint_url=s3_server.endpoint_url)
        run = run_file(prefix, output, store=where)
        return {"run": run.to_wire(), "shard_limit": 200_000}

    calm = one_snapshot.start(s3_server, tmp_path / "calm.json", document(f"{prefix}-calm"))
    expected = json.loads(calm.communicate()[0])
    killed = document(f"{prefix}-out")
    for count in (2, 5, 9):
        one_snapshot.kill_at(
            s3_server, tmp_path / "run.json", killed, BUCKET, f"{prefix}-out", count
        )
    last = one_snapshot.start(s3_server, tmp_path / "run.json", killed)
    found = json.loads(last.communicate()[0])
    assert found["samples"] == expected["samples"] == 3000
    assert found["digest"] == expected["digest"]
    assert any("images of an earlier attempt" in line for line in found["told"])
    assert partial(store, f"{prefix}-out") == []
    assert found["peak_mib"] < 400
