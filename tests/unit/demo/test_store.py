"""The demo's bucket, on a real S3 server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from trainyard_demo.data.prepare import Prepared
from trainyard_demo.errors import DemoError
from trainyard_demo.store import BUCKET, MARKER, ensure_bucket, upload
from trainyard_local.s3 import S3Account, S3Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3")) as running:
        yield running


def prepared(folder: Path, digest: str, **files: str) -> Prepared:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return Prepared(folder, tuple(sorted(files)), digest)


def keys(server: S3Server) -> set[str]:
    listing = server.client().list_objects_v2(Bucket=BUCKET)
    return {item["Key"] for item in listing.get("Contents", [])}


def test_data_is_uploaded_once_and_replaced_when_it_changed(
    server: S3Server, tmp_path: Path
) -> None:
    client, told = server.client(), []
    ensure_bucket(client)
    ensure_bucket(client)
    first = prepared(tmp_path / "one", "1" * 64, a="A", b="B")
    assert upload(client, first, told.append) is True
    assert told == [1, 2]
    assert keys(server) == {"examples/a", "examples/b", MARKER}
    assert upload(client, first, told.append) is False
    second = prepared(tmp_path / "two", "2" * 64, b="BB", c="C")
    assert upload(client, second, told.append) is True
    assert keys(server) == {"examples/b", "examples/c", MARKER}
    assert client.get_object(Bucket=BUCKET, Key="examples/b")["Body"].read() == b"BB"


def test_interrupted_upload_is_done_again(server: S3Server, tmp_path: Path) -> None:
    client = server.client()
    ensure_bucket(client)
    data = prepared(tmp_path / "data", "3" * 64, a="A")

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upload(client, data, interrupt)
    assert MARKER not in keys(server)
    assert upload(client, data, lambda _: None) is True


def test_store_that_refuses_is_one_sentence(server: S3Server) -> None:
    stranger = S3Account(server.endpoint_url, "nobody", "nothing-nothing").client()
    with pytest.raises(DemoError, match="the bucket trainyard cannot be made: "):
        ensure_bucket(stranger)
