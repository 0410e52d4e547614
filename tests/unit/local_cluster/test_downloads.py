"""Official downloads, from a server on this machine that behaves well and badly."""

import hashlib
import io
import socket
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from trainyard_local import downloads, versions
from trainyard_local.components import NAMES
from trainyard_local.downloads import DownloadError, Hosts, Source
from trainyard_local.progress import Reporter

QUIET = Reporter(quiet=True)
KUBELET = f"/{versions.wanted('kubelet')}/bin/linux/amd64/kubelet"


@dataclass
class Mirror:
    """What a server of official builds has; paths to content."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    truncated: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    @property
    def hosts(self) -> Hosts:
        return Hosts(self.url, self.url, self.url)

    def publish(self, path: str, content: bytes) -> None:
        """A file and its checksum in a file of its own."""
        self.files[path] = content
        self.files[f"{path}.sha512"] = hashlib.sha512(content).hexdigest().encode()


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    release = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.path)
            content = made.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            short = self.path in made.truncated or self.path in made.silent
            self.wfile.write(content[: len(content) // 2] if short else content)
            self.wfile.flush()
            if self.path in made.silent:
                release.wait(20)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Mirror(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield made
    release.set()
    server.shutdown()
    server.server_close()
    thread.join()


def program(name: str, version: str | None = None) -> bytes:
    padding = b"# " + b"x" * 100_000 + b"\n"
    said = f"#!/bin/sh\necho {name} {version or versions.wanted(name)}\n"
    return said.encode() + padding


def archive(member: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as made:
        for name, data in ((f"{Path(member).parent}/README.md", b"read me"), (member, content)):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            made.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


def fetch(mirror: Mirror, folder: Path, *names: str, **limits: float) -> dict[str, str]:
    folders = dict.fromkeys(names, folder)
    return downloads.fetch(folders, QUIET, mirror.hosts, machine="x86_64", **limits)


def test_a_program_is_verified_and_executable_and_nothing_else_is_left(
    mirror: Mirror, tmp_path: Path
) -> None:
    mirror.publish(KUBELET, program("kubelet"))

    assert fetch(mirror, tmp_path, "kubelet") == {}

    assert [path.name for path in tmp_path.iterdir()] == ["kubelet"]
    assert (tmp_path / "kubelet").read_bytes() == program("kubelet")
    assert (tmp_path / "kubelet").stat().st_mode & 0o111


def test_a_program_is_taken_out_of_its_archive(mirror: Mirror, tmp_path: Path) -> None:
    for name, member in (("helm", "linux-amd64/helm"), ("etcd", "etcd-x/etcd")):
        source = downloads.sources(mirror.hosts, "x86_64")[name]
        content = archive(member, program(name))
        mirror.files[source.url.removeprefix(mirror.url)] = content
        listed = f"{'0' * 64}  other.tar.gz\n{hashlib.sha256(content).hexdigest()}  {source.file}\n"
        mirror.files[source.checksums.removeprefix(mirror.url)] = listed.encode()

    assert fetch(mirror, tmp_path, "helm", "etcd") == {}

    assert (tmp_path / "helm").read_bytes() == program("helm")
    assert (tmp_path / "etcd").read_bytes() == program("etcd")


def test_an_archive_without_the_program_is_told(mirror: Mirror, tmp_path: Path) -> None:
    source = downloads.sources(mirror.hosts, "x86_64")["helm"]
    content = archive("linux-amd64/other", b"")
    mirror.files[source.url.removeprefix(mirror.url)] = content
    mirror.files[source.checksums.removeprefix(mirror.url)] = (
        hashlib.sha256(content).hexdigest().encode()
    )

    assert fetch(mirror, tmp_path, "helm") == {"helm": f"{source.file} holds no helm"}


def test_a_file_with_another_checksum_never_gets_its_name(mirror: Mirror, tmp_path: Path) -> None:
    mirror.publish(KUBELET, program("kubelet"))
    mirror.files[KUBELET] += b"evil\n"

    failed = fetch(mirror, tmp_path, "kubelet")

    assert "another checksum than its publisher says" in failed["kubelet"]
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_ends_early_never_gets_its_name(mirror: Mirror, tmp_path: Path) -> None:
    mirror.publish(KUBELET, program("kubelet"))
    mirror.truncated.add(KUBELET)

    failed = fetch(mirror, tmp_path, "kubelet")

    assert "ended after" in failed["kubelet"] or "broke off" in failed["kubelet"]
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_stands_still_is_given_up(mirror: Mirror, tmp_path: Path) -> None:
    mirror.publish(KUBELET, program("kubelet"))
    mirror.silent.add(KUBELET)
    start = time.monotonic()

    failed = fetch(mirror, tmp_path, "kubelet", silence_s=0.5)

    assert "broke off (no answer in time)" in failed["kubelet"]
    assert time.monotonic() - start < 5
    assert list(tmp_path.iterdir()) == []


def test_a_host_that_takes_a_connection_and_says_nothing_costs_one_short_wait_for_all(
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        start = time.monotonic()
        failed = fetch(Mirror(url), tmp_path, *NAMES, connect_s=0.5)

    assert set(failed) == NAMES
    assert time.monotonic() - start < 3
    assert len(downloads.summary(failed).splitlines()) == 1


def test_what_is_not_there_is_told_with_its_address(mirror: Mirror, tmp_path: Path) -> None:
    failed = fetch(mirror, tmp_path, "kubelet")

    assert failed == {"kubelet": f"127.0.0.1 answers 404 for {mirror.url}{KUBELET}.sha512"}
    # Without a checksum the program is not even asked for.
    assert mirror.asked == [f"{KUBELET}.sha512"]


def test_a_program_of_another_version_than_its_address_says_is_not_taken(
    mirror: Mirror, tmp_path: Path
) -> None:
    mirror.publish(KUBELET, program("kubelet", "v1.31.0"))

    assert "is v1.31.0" in fetch(mirror, tmp_path, "kubelet")["kubelet"]
    assert list(tmp_path.iterdir()) == []


def test_one_program_that_fails_does_not_keep_the_others_away(
    mirror: Mirror, tmp_path: Path
) -> None:
    mirror.publish(KUBELET, program("kubelet"))

    assert set(fetch(mirror, tmp_path, "kubelet", "kubectl")) == {"kubectl"}
    assert (tmp_path / "kubelet").is_file()


def test_all_downloads_together_are_bounded(mirror: Mirror, tmp_path: Path) -> None:
    mirror.publish(KUBELET, program("kubelet"))

    assert fetch(mirror, tmp_path, "kubelet", total_s=0) == {"kubelet": "kubelet took too long"}


def test_what_a_killed_download_left_is_cleaned_away(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / ".kubelet.download").mkdir()
    (tmp_path / ".kubelet.download" / "kubelet").write_bytes(b"half")
    mirror.publish(KUBELET, program("kubelet"))

    assert fetch(mirror, tmp_path, "kubelet") == {}
    assert [path.name for path in tmp_path.iterdir()] == ["kubelet"]


def test_a_processor_without_official_builds_asks_nobody(tmp_path: Path) -> None:
    failed = downloads.fetch({"etcd": tmp_path}, QUIET, Hosts("x:", "x:", "x:"), machine="riscv64")

    assert failed == {"etcd": "there are no official builds for riscv64"}


def test_every_program_has_an_official_build_with_a_checksum_over_https() -> None:
    found = downloads.sources(Hosts(), "x86_64")

    assert found.keys() == NAMES
    for source in found.values():
        assert source.url.startswith("https://")
        assert source.checksums.startswith("https://")
    assert found["kubelet"] == Source(
        "kubelet",
        "https://dl.k8s.io/v1.37.2/bin/linux/amd64/kubelet",
        "https://dl.k8s.io/v1.37.2/bin/linux/amd64/kubelet.sha512",
    )


@pytest.mark.parametrize("text", ["", "not a digest", "abc  kubelet", f"{'0' * 64}  other"])
def test_a_text_without_the_files_checksum_is_refused(text: str) -> None:
    with pytest.raises(DownloadError, match="names no checksum for kubelet"):
        downloads.digest_of(text, "kubelet")
