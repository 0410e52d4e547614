"""`trainyard datasets upload` to a real S3 server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.unit.cli.conftest import Run
from tests.unit.labelled import BUCKET, image_bytes, write_folder
from tests.unit.sources import snapshot_of
from trainyard.api.dataset import Dataset
from trainyard.datasets.reading import read_snapshot
from trainyard.stores import Store, join
from trainyard.stores.s3_upload import etag_of


def pets(count: int = 10) -> dict[str, bytes]:
    return {f"{'cat' if n % 2 else 'dog'}/{n}.png": image_bytes(n) for n in range(count)}


def there(store: Store, prefix: str) -> dict[str, bytes]:
    return {x.name: store.read_bytes(x.uri, 1 << 30) for x in store.list(f"s3://{BUCKET}/{prefix}")}


def test_what_is_printed_can_be_applied_and_makes_a_snapshot_of_the_folder(
    says: Run, store: Store, prefix: str, reach: dict[str, str], tmp_path: Path
) -> None:
    write_folder(tmp_path / "pets", pets() | {".cache/x": b"1", "cat/.DS_Store": b"2"})
    words = ["datasets", "upload", str(tmp_path / "pets"), f"s3://{BUCKET}/{prefix}/My Pets/"]
    said = says(*words, "--attribute", "animal", **reach)
    assert there(store, f"{prefix}/My Pets") == pets()
    dataset = Dataset.model_validate(yaml.safe_load(said.stdout))
    assert dataset.metadata.name == f"{prefix}-my-pets"
    location = snapshot_of(store, f"s3://{BUCKET}/{prefix}-out", *dataset.spec.selections).location
    made = read_snapshot(store, location)
    assert [(x.attribute, x.value, x.count) for x in made.classes] == [
        ("animal", "cat", 5),
        ("animal", "dog", 5),
    ]


def test_what_is_no_file_is_not_waited_for(
    says: Run, store: Store, prefix: str, reach: dict[str, str], tmp_path: Path
) -> None:
    write_folder(tmp_path / "pets", pets())
    os.mkfifo(tmp_path / "pets" / "cat" / "pipe")
    says("datasets", "upload", str(tmp_path / "pets"), f"s3://{BUCKET}/{prefix}", **reach)
    assert there(store, prefix) == pets()


def test_what_is_there_with_the_same_content_is_not_sent_again_and_what_differs_is(
    says: Run, store: Store, prefix: str, reach: dict[str, str], tmp_path: Path
) -> None:
    # Larger than a part, exactly one, and nothing at all.
    large = {"large.bin": os.urandom(17 << 20), "part.bin": os.urandom(16 << 20), "empty": b""}
    write_folder(tmp_path / "pets", pets() | large)
    words = ["datasets", "upload", str(tmp_path / "pets"), f"s3://{BUCKET}/{prefix}"]
    assert "13 files sent" in says(*words, **reach).stderr
    assert "0 files sent, 0 B; 13 files there already" in says(*words, **reach).stderr
    store.delete(f"s3://{BUCKET}/{prefix}/cat/1.png")
    store.write_bytes(f"s3://{BUCKET}/{prefix}/cat/3.png", pets()["cat/3.png"][:-1] + b"x")
    store.write_bytes(f"s3://{BUCKET}/{prefix}/cat/5.png", b"short")
    assert "3 files sent" in says(*words, **reach).stderr
    assert there(store, prefix) == pets() | large


def _begun(words: list[str], store: Store, place: str, **environ: str) -> subprocess.Popen[bytes]:
    """An upload that has sent something."""
    running = subprocess.Popen(
        [sys.executable, "-m", "trainyard.cli", *words],
        env=os.environ | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    give_up = time.monotonic() + 30
    while not any(True for _ in store.list(place)):
        assert time.monotonic() < give_up
        assert running.poll() is None
    return running


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_upload_that_is_told_to_end_leaves_no_temporary_file(
    number: signal.Signals,
    store: Store,
    prefix: str,
    reach: dict[str, str],
    tmp_path: Path,
) -> None:
    write_folder(tmp_path / "pets", pets(200))
    place, scratch = f"s3://{BUCKET}/{prefix}", tmp_path / "scratch"
    scratch.mkdir()
    words = ["datasets", "upload", str(tmp_path / "pets"), place, "--no-check"]
    running = _begun(words, store, place, TMPDIR=str(scratch), **reach)
    assert list(scratch.iterdir()), "else this test shows nothing"
    running.send_signal(number)
    _, told = running.communicate(timeout=30)
    assert running.returncode == 130
    assert told.decode().endswith("interrupted\n")
    assert list(scratch.iterdir()) == []


def test_a_killed_upload_is_completed_by_the_next(
    home: Path, says: Run, store: Store, prefix: str, reach: dict[str, str], tmp_path: Path
) -> None:
    files = pets(200)
    write_folder(tmp_path / "pets", files)
    place = f"s3://{BUCKET}/{prefix}"
    words = ["datasets", "upload", str(tmp_path / "pets"), place, "--no-check"]
    running = _begun(words, store, place, **reach)
    running.send_signal(signal.SIGKILL)
    out, _ = running.communicate(timeout=30)
    assert out == b""
    before = len(there(store, prefix))
    assert 0 < before < 200
    said = says(*words, **reach).stderr
    assert f"{200 - before} files sent" in said
    assert f"{before} files there already" in said or before == 1
    assert there(store, prefix) == files


def test_what_a_snapshot_would_refuse_is_not_uploaded_unless_one_says_so(
    says: Run, store: Store, prefix: str, reach: dict[str, str], tmp_path: Path
) -> None:
    files = pets(4) | {"data.yaml": b"names: [a]\n", "cat/1.txt": b"0 1 2\n", "cat/3.txt": b"9"}
    write_folder(tmp_path / "pets", files)
    words = ["datasets", "upload", str(tmp_path / "pets"), f"s3://{BUCKET}/{prefix}"]
    done = says(*words, code=1, **reach)
    assert done.stdout == ""
    assert "cat/1.txt:1: 3 columns" in done.stderr
    assert "CANNOT BE USED (2 places)" in done.stderr
    assert "nothing was uploaded" in done.stderr
    assert there(store, prefix) == {}
    says(*words, "--no-check", **reach)
    assert there(store, prefix) == files


def test_files_that_were_there_before_are_told(
    says: Run, store: Store, prefix: str, reach: dict[str, str], tmp_path: Path
) -> None:
    store.write_bytes(f"s3://{BUCKET}/{prefix}/cow/1.png", image_bytes(77))
    write_folder(tmp_path / "pets", pets())
    words = ["datasets", "upload", str(tmp_path / "pets"), f"s3://{BUCKET}/{prefix}"]
    said = says(*words, **reach).stderr
    assert "1 other file there, not in" in said
    assert "(cow/1.png): a Dataset of this prefix reads them too" in said


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("file:///tmp/x", "is no place in a bucket"),
        (f"s3://{BUCKET}/../x", "has a '..' segment"),
        ("s3://Large/x", "'s3://Large/x' cannot be used: bucket: "),
        ("s3://no-such-bucket/x", "does not exist; the endpoint came from your settings"),
    ],
)
def test_places_that_cannot_be_uploaded_to_are_told_in_a_sentence(
    says: Run, reach: dict[str, str], tmp_path: Path, place: str, sentence: str
) -> None:
    write_folder(tmp_path / "pets", pets(2))
    done = says("datasets", "upload", str(tmp_path / "pets"), place, code=1, **reach)
    assert sentence in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("size", [0, 1, (16 << 20) - 1, 16 << 20, (16 << 20) + 1, 40 << 20])
def test_the_etag_of_a_file_is_the_one_that_the_server_gives(
    store: Store, prefix: str, tmp_path: Path, size: int
) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(size))
    store.upload(path, join(f"s3://{BUCKET}", prefix, "file"))
    [entry] = store.list(f"s3://{BUCKET}/{prefix}")
    assert entry.version == etag_of(path)
