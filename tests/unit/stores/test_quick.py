"""Source files are read through obstore where that works, and say what is wrong through boto3."""

from typing import Any

import pytest

from tests.unit.labelled import BUCKET
from trainyard.api.run import StoreLocation
from trainyard.stores import (
    AccessDenied,
    BucketNotFound,
    Credentials,
    ObjectChanged,
    ObjectInfo,
    ObjectNotFound,
    ObjectTooLarge,
    StoreUnavailable,
    Uri,
)
from trainyard.stores.quick import QuickReader
from trainyard.stores.s3 import S3Store
from trainyard_local.controlplane import free_ports
from trainyard_local.s3 import S3Server

NAMES = [
    "plain.png",
    "with a space.png",
    "plus+and&and=.png",
    "100%.png",
    "100%25.png",
    "äöü-写真.png",
    "hash#question?.png",
    "deep/er/than.png",
    "[brackets]{braces}~'quote'.png",
]


@pytest.fixture
def s3(s3_server: S3Server) -> S3Store:
    return S3Store(
        StoreLocation(endpoint_url=s3_server.endpoint_url),
        Credentials(s3_server.access_key, s3_server.secret_key),
    )


def stored(s3: S3Store, prefix: str, name: str, data: bytes = b"content") -> ObjectInfo:
    folder = f"s3://{BUCKET}/{prefix}"
    # As other tools may name it: what we write ourselves has plain names.
    s3._client.put_object(Bucket=BUCKET, Key=f"{prefix}/{name}", Body=data)
    return next(entry for entry in s3.list(folder) if entry.name == name)


@pytest.mark.parametrize("name", NAMES)
def test_a_listed_object_is_read_whatever_its_name(s3: S3Store, prefix: str, name: str) -> None:
    entry = stored(s3, prefix, name, name.encode())
    assert s3.read_bytes(entry.uri, 100, entry.version) == name.encode()


def test_a_listed_object_takes_the_quick_way(s3_server: S3Server, s3: S3Store, prefix: str) -> None:
    entry = stored(s3, prefix, "a.png", b"x" * 3_000_000)
    quick = QuickReader(
        StoreLocation(endpoint_url=s3_server.endpoint_url),
        Credentials(s3_server.access_key, s3_server.secret_key),
    )
    assert quick.read(Uri.parse(entry.uri), 3_000_000, entry.version) == b"x" * 3_000_000


def test_an_empty_object_is_an_object(s3: S3Store, prefix: str) -> None:
    entry = stored(s3, prefix, "a.png", b"")
    assert s3.read_bytes(entry.uri, 100, entry.version) == b""


def test_an_object_that_changed_or_vanished_or_is_too_large_is_refused(
    s3: S3Store, prefix: str
) -> None:
    entry = stored(s3, prefix, "a.png")
    with pytest.raises(ObjectTooLarge, match=f"{entry.uri} is larger than the 3 bytes"):
        s3.read_bytes(entry.uri, 3, entry.version)
    s3.write_bytes(entry.uri, b"another")
    with pytest.raises(ObjectChanged, match=f"{entry.uri} was changed"):
        s3.read_bytes(entry.uri, 100, entry.version)
    s3.delete(entry.uri)
    with pytest.raises(ObjectNotFound, match=f"{entry.uri} does not exist"):
        s3.read_bytes(entry.uri, 100, entry.version)
    with pytest.raises(BucketNotFound, match="'no-such-bucket'"):
        s3.read_bytes("s3://no-such-bucket/a.png", 100, entry.version)


def test_wrong_keys_are_named_as_such_and_never_quoted(s3_server: S3Server) -> None:
    keys = Credentials(s3_server.access_key, "wrong-secret-0123456789")
    s3 = S3Store(StoreLocation(endpoint_url=s3_server.endpoint_url), keys)
    for _ in range(5):
        with pytest.raises(AccessDenied) as caught:
            s3.read_bytes(f"s3://{BUCKET}/a.png", 100, "v")
        assert "wrong-secret" not in str(caught.value)
        assert s3_server.access_key not in str(caught.value)


def test_after_failures_in_a_row_the_quick_way_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    (port,) = free_ports(1)
    location = StoreLocation(endpoint_url=f"http://127.0.0.1:{port}")
    quick = QuickReader(location, Credentials("a", "b"))
    place = Uri("s3", BUCKET, "a.png")
    asked: list[Any] = []
    opened = QuickReader._bucket
    monkeypatch.setattr(
        QuickReader, "_bucket", lambda self, name: asked.append(name) or opened(self, name)
    )
    assert [quick.read(place, 100, "v") for _ in range(6)] == [None] * 6
    assert len(asked) == 3


def test_a_store_that_nobody_serves_is_unavailable() -> None:
    (port,) = free_ports(1)
    s3 = S3Store(StoreLocation(endpoint_url=f"http://127.0.0.1:{port}"), Credentials("a", "b"))
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        s3.read_bytes(f"s3://{BUCKET}/a.png", 100, "v")
