import hashlib
import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from trainyard.api.run import StoreLocation
from trainyard.stores import (
    AccessDenied,
    BucketNotFound,
    Credentials,
    DigestMismatch,
    InvalidUri,
    ObjectChanged,
    ObjectNotFound,
    ObjectTooLarge,
    PreconditionFailed,
    Store,
    StoreError,
    StoreUnavailable,
    join,
    open_store,
)
from trainyard.stores.s3 import S3Store
from trainyard_local.s3 import S3Server

CANARY = "canary-secret-5f2c9e"


def test_what_was_written_is_read_back(store: Store, place: str) -> None:
    stored = store.write_bytes(join(place, "a", "b.json"), b'{"x": 1}')
    assert stored.name == "b.json"
    assert stored.sha256 == hashlib.sha256(b'{"x": 1}').hexdigest()
    assert store.read_bytes(join(place, "a", "b.json")) == b'{"x": 1}'
    assert store.read_json(join(place, "a", "b.json")) == {"x": 1}
    assert store.stat(join(place, "a", "b.json")) == 8


def test_an_empty_object_is_an_object(store: Store, place: str) -> None:
    store.write_bytes(join(place, "empty"), b"")
    assert store.read_bytes(join(place, "empty")) == b""
    assert store.stat(join(place, "empty")) == 0


@pytest.mark.parametrize(("offset", "size"), [(0, 1), (3, 4), (9, 1), (0, 10)])
def test_a_part_of_an_object_is_read_alone(
    store: Store, place: str, offset: int, size: int
) -> None:
    store.write_bytes(join(place, "ten"), b"0123456789")
    assert store.read_part(join(place, "ten"), offset, size) == b"0123456789"[offset:][:size]


@pytest.mark.parametrize("offset", [8, 10, 4000])
def test_a_part_that_an_object_does_not_have_is_an_error(
    store: Store, place: str, offset: int
) -> None:
    store.write_bytes(join(place, "ten"), b"0123456789")
    with pytest.raises(ObjectChanged, match="it is not the object that it was"):
        store.read_part(join(place, "ten"), offset, 3)
    with pytest.raises(ObjectNotFound):
        store.read_part(join(place, "missing"), offset, 3)


def test_a_missing_object_is_none_to_stat_and_an_error_to_read(store: Store, place: str) -> None:
    assert store.stat(join(place, "missing")) is None
    with pytest.raises(ObjectNotFound, match="missing does not exist"):
        store.read_bytes(join(place, "missing"))


def test_a_deleted_object_is_gone_and_its_neighbours_are_not(store: Store, place: str) -> None:
    for name in ("a/one", "a/two", "b/three"):
        store.write_bytes(join(place, name), b"x")
    store.delete(join(place, "a/one"))
    store.delete(join(place, "b/three"))
    assert [entry.name for entry in store.list(place)] == ["a/two"]
    # A second time, and what never was: nothing to do.
    store.delete(join(place, "a/one"))
    store.delete(join(place, "never/was"))
    store.write_bytes(join(place, "a/one"), b"again", if_absent=True)


def test_deleting_from_a_folder_leaves_no_empty_folders(store: Store, tmp_path: Path) -> None:
    store.write_bytes(f"file://{tmp_path}/kept", b"x")
    store.write_bytes(f"file://{tmp_path}/a/b/c", b"x")
    store.delete(f"file://{tmp_path}/a/b/c")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_file_of_several_parts_comes_back_whole(store: Store, place: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(40 << 20))
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    stored = store.upload(source, join(place, "big"))
    assert (stored.sha256, stored.size_bytes) == (digest, 40 << 20)
    assert store.download(join(place, "big"), tmp_path / "x" / "copy", digest) == digest
    assert (tmp_path / "x" / "copy").read_bytes() == source.read_bytes()


def test_a_download_with_another_digest_leaves_nothing(
    store: Store, place: str, tmp_path: Path
) -> None:
    store.write_bytes(join(place, "a"), b"damaged")
    with pytest.raises(DigestMismatch, match="a has the SHA-256"):
        store.download(join(place, "a"), tmp_path / "into" / "copy", "0" * 64)
    assert list((tmp_path / "into").iterdir()) == []


def test_writing_if_absent_never_overwrites_another_content(store: Store, place: str) -> None:
    store.write_bytes(join(place, "m"), b"first", if_absent=True)
    with pytest.raises(PreconditionFailed, match="is there already"):
        store.write_bytes(join(place, "m"), b"other", if_absent=True)
    assert store.read_bytes(join(place, "m")) == b"first"


def test_writing_the_same_if_absent_again_is_fine_for_the_reply_may_have_been_lost(
    store: Store, place: str
) -> None:
    first = store.write_bytes(join(place, "m"), b"same", if_absent=True)
    assert store.write_bytes(join(place, "m"), b"same", if_absent=True) == first


def test_of_many_writers_if_absent_one_wins(store: Store, place: str) -> None:
    outcomes: list[str] = []

    def write(index: int) -> None:
        try:
            store.write_bytes(join(place, "race"), b"%d" % index, if_absent=True)
            outcomes.append("won")
        except PreconditionFailed:
            outcomes.append("lost")

    threads = [threading.Thread(target=write, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["lost"] * 7 + ["won"]


def test_a_listing_is_ordered_relative_and_stays_in_its_folder(store: Store, place: str) -> None:
    for name in ("data/b.png", "data/a/c.png", "data-2/x.png"):
        store.write_bytes(join(place, name), name.encode())
    found = list(store.list(join(place, "data")))
    assert [(entry.name, entry.size) for entry in found] == [("a/c.png", 12), ("b.png", 10)]
    assert store.read_bytes(found[0].uri) == b"data/a/c.png"


def test_a_listing_goes_beyond_one_page(store: Store) -> None:
    place = "s3://trainyard-tests/pages"
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: store.write_bytes(join(place, f"{n:04d}"), b""), range(1003)))
    assert len(list(store.list(place))) == 1003


def test_an_object_that_changed_since_it_was_listed_is_refused(store: Store, place: str) -> None:
    store.write_bytes(join(place, "a"), b"one")
    (entry,) = store.list(place)
    assert store.read_bytes(entry.uri, version=entry.version) == b"one"
    store.write_bytes(join(place, "a"), b"another")
    with pytest.raises(ObjectChanged, match="a was changed"):
        store.read_bytes(entry.uri, version=entry.version)


def test_a_document_over_its_limit_is_not_read(store: Store, place: str) -> None:
    store.write_bytes(join(place, "a"), b"x" * 101)
    assert len(store.read_bytes(join(place, "a"), limit=101)) == 101
    with pytest.raises(ObjectTooLarge, match="larger than the 100 bytes"):
        store.read_bytes(join(place, "a"), limit=100)


def test_text_that_is_no_json_is_one_sentence(store: Store, place: str) -> None:
    store.write_bytes(join(place, "a.json"), b"{")
    with pytest.raises(StoreError, match=r"a\.json is not valid JSON"):
        store.read_json(join(place, "a.json"))


@pytest.mark.parametrize(
    "uri",
    [
        "/tmp/x",
        "http://host/x",
        "s3:///key",
        "s3://bucket/../x",
        "file://relative",
        "file:///a/../b",
    ],
)
def test_what_is_no_place_in_a_store_is_refused(uri: str, store: Store) -> None:
    with pytest.raises(InvalidUri):
        store.read_bytes(uri)


def test_a_missing_bucket_is_named(store: Store) -> None:
    calls: list[Callable[[], object]] = [
        lambda: store.read_bytes("s3://no-such-bucket/x"),
        lambda: list(store.list("s3://no-such-bucket/x")),
        lambda: store.write_bytes("s3://no-such-bucket/x", b""),
    ]
    for call in calls:
        with pytest.raises(BucketNotFound, match="the bucket 'no-such-bucket'"):
            call()


def test_wrong_credentials_are_named_as_such_and_never_quoted(s3_server: S3Server) -> None:
    store = open_store(
        StoreLocation(endpoint_url=s3_server.endpoint_url),
        Credentials(s3_server.access_key, CANARY, CANARY),
    )
    with pytest.raises(AccessDenied) as caught:
        store.read_bytes("s3://trainyard-tests/x")
    assert "refuses access" in str(caught.value)
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None
    assert CANARY not in repr(Credentials("a", CANARY))


def test_unknown_access_key_is_no_missing_object(s3_server: S3Server) -> None:
    store = open_store(
        StoreLocation(endpoint_url=s3_server.endpoint_url), Credentials("nobody", CANARY)
    )
    with pytest.raises(AccessDenied, match="refuses access"):
        store.read_bytes("s3://trainyard-tests/x")


def test_missing_credentials_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    store = open_store(StoreLocation(endpoint_url="http://127.0.0.1:1"))
    with pytest.raises(AccessDenied, match=r"set AWS_ACCESS_KEY_ID"):
        store.read_bytes("s3://b/k")


def test_credentials_come_from_the_environment(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    store = open_store(StoreLocation(endpoint_url=s3_server.endpoint_url))
    assert store.stat("s3://trainyard-tests/none") is None


def test_a_store_that_nobody_serves_is_unavailable_within_seconds() -> None:
    store = S3Store(StoreLocation(endpoint_url="http://127.0.0.1:9"), Credentials("a", CANARY))
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:9 cannot be reached") as caught:
        store.read_bytes("s3://b/k")
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("url", ["not a url", "ftp//x"])
def test_an_endpoint_that_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidUri, match="is not a URL"):
        S3Store(StoreLocation(endpoint_url=url), Credentials("a", "b"))


class _BreakingServer:
    """Answers GET of an object, and breaks off in the middle of the first bodies."""

    def __init__(self, content: bytes, breaks: int) -> None:
        self._content, self._breaks = content, breaks
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.ranges: list[int] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                request = b""
                while b"\r\n\r\n" not in request:
                    request += connection.recv(65536)
                start = 0
                for line in request.decode().lower().splitlines():
                    if line.startswith("range: bytes="):
                        start = int(line.removeprefix("range: bytes=").rstrip("-"))
                self.ranges.append(start)
                rest = self._content[start:]
                connection.sendall(
                    b'HTTP/1.1 206 OK\r\nETag: "v1"\r\nConnection: close\r\n'
                    b"Content-Length: %d\r\n\r\n" % len(rest)
                )
                if self._breaks:
                    self._breaks -= 1
                    rest = rest[: len(rest) // 2]
                connection.sendall(rest)

    def close(self) -> None:
        self._socket.close()


def test_a_body_that_breaks_off_is_taken_up_where_it_broke() -> None:
    content = os.urandom(300_000)
    server = _BreakingServer(content, breaks=2)
    try:
        store = S3Store(StoreLocation(endpoint_url=server.url), Credentials("a", "b"))
        assert b"".join(store.stream("s3://b/k", 10_000)) == content
        assert len(server.ranges) == 3
        assert server.ranges[0] == 0
        assert 0 < server.ranges[1] < server.ranges[2]
    finally:
        server.close()


def test_a_body_that_always_breaks_off_is_unavailable_in_the_end() -> None:
    server = _BreakingServer(os.urandom(300_000), breaks=100)
    try:
        store = S3Store(StoreLocation(endpoint_url=server.url), Credentials("a", "b"))
        with pytest.raises(StoreUnavailable, match="broke off 5 times"):
            b"".join(store.stream("s3://b/k", 10_000))
    finally:
        server.close()


def test_a_server_that_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        store = S3Store(
            StoreLocation(endpoint_url=url), Credentials("a", "b"), read_timeout_seconds=0.1
        )
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            store.read_bytes("s3://b/k")


def test_a_link_in_a_folder_is_not_followed(store: Store, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "secret").write_text("x")
    (tmp_path / "data" / "link").symlink_to(tmp_path / "secret")
    assert list(store.list(f"file://{tmp_path}/data")) == []


def test_a_folder_is_listed_in_the_order_of_keys_and_of_one_bucket(
    store: Store, place: str
) -> None:
    names = ["a/b", "a-b", "a.b", "a/bx/y", "a0", "b", "a/A", "a/b-c/d"]
    for name in names:
        store.write_bytes(join(place, name), b"x")
    assert [entry.name for entry in store.list(place)] == sorted(names)


def test_a_linked_folder_and_what_is_no_file_are_left_out(store: Store, tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    for folder in (outside, inside):
        folder.mkdir()
        (folder / "a").write_text("x")
    (inside / "linked").symlink_to(outside)
    os.mkfifo(inside / "pipe")
    assert [entry.name for entry in store.list(f"file://{inside}")] == ["a"]


@pytest.mark.parametrize("inner", ["", "/a.png"])
def test_a_name_that_is_no_text_is_named(store: Store, tmp_path: Path, inner: str) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9") + inner)
    path.parent.mkdir(exist_ok=True)
    path.write_text("x")
    with pytest.raises(InvalidUri, match=r"name is not in UTF-8: 'caf\\udce9/?'"):
        list(store.list(f"file://{tmp_path}"))


def test_files_are_stored_whatever_people_call_them(
    store: Store, place: str, tmp_path: Path
) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(b"image")
    uri = join(place, "kätzchen a", "b 0+%.png")
    assert store.upload(path, uri).name == "b 0+%.png"
    assert store.write_bytes(uri, b"image again").size_bytes == 11
    assert store.read_bytes(uri) == b"image again"
