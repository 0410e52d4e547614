"""The official builds of the programs: where they are, and how they are fetched and verified."""

import hashlib
import platform
import shutil
import socket
import ssl
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

from trainyard_local import versions
from trainyard_local.progress import Reporter

CONNECT_S = 3.0
"""How long a host may take to answer the first time: whoever cannot reach it should not wait."""

SILENCE_S = 15.0
"""How long a download may stand still."""

TOTAL_S = 600.0
"""How long all downloads may take; building takes about twice as long."""

ARCHITECTURES: Mapping[str, str] = {"x86_64": "amd64", "aarch64": "arm64"}
_CHECKSUMS_MAX = 100_000
_DIGESTS: Mapping[int, str] = {64: "sha256", 128: "sha512"}


class DownloadError(Exception):
    """Why something could not be had: a part of a sentence."""


@dataclass(frozen=True)
class Hosts:
    """Where the official builds lie.

    Attributes
    ----------
    kubernetes, helm, github : str
        URLs without a slash at the end.
    """

    kubernetes: str = "https://dl.k8s.io"
    helm: str = "https://get.helm.sh"
    github: str = "https://github.com"


@dataclass(frozen=True)
class Source:
    """The official build of one program.

    Attributes
    ----------
    name : str
        Program name.
    url : str
        The program, or a tar archive that holds a file of its name.
    checksums : str
        What the publisher says of the file's digest: SHA-256 or SHA-512, alone or in lines of
        digest and file name.
    """

    name: str
    url: str
    checksums: str

    @property
    def file(self) -> str:
        """Name of the file."""
        return self.url.rpartition("/")[2]

    @property
    def archive(self) -> bool:
        """Whether the file is an archive."""
        return self.file.endswith(".tar.gz")


def sources(hosts: Hosts, machine: str) -> dict[str, Source]:
    """Official builds of all programs, by name, for the versions that the modules name.

    Parameters
    ----------
    hosts : Hosts
        Where they lie.
    machine : str
        Processor as `platform.machine` names it.

    Returns
    -------
    dict of str to Source
        Empty for a processor without official builds.
    """
    processor = ARCHITECTURES.get(machine)
    if processor is None:
        return {}
    kubernetes = f"{hosts.kubernetes}/{versions.wanted('kubelet')}/bin/linux/{processor}"
    found = {
        name: Source(name, f"{kubernetes}/{name}", f"{kubernetes}/{name}.sha512")
        for name in (
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "kubelet",
            "kube-proxy",
            "kubectl",
        )
    }
    etcd = versions.wanted("etcd")
    release = f"{hosts.github}/etcd-io/etcd/releases/download/{etcd}"
    archive = f"{release}/etcd-{etcd}-linux-{processor}.tar.gz"
    found["etcd"] = Source("etcd", archive, f"{release}/SHA256SUMS")
    gateway = versions.wanted("versitygw")
    release = f"{hosts.github}/versity/versitygw/releases/download/{gateway}"
    theirs = "x86_64" if processor == "amd64" else processor
    archive = f"{release}/versitygw_{gateway}_Linux_{theirs}.tar.gz"
    found["versitygw"] = Source("versitygw", archive, f"{release}/checksums.txt")
    archive = f"{hosts.helm}/helm-{versions.wanted('helm')}-linux-{processor}.tar.gz"
    found["helm"] = Source("helm", archive, f"{archive}.sha256sum")
    return found


def fetch(
    folders: Mapping[str, Path],
    reporter: Reporter,
    hosts: Hosts | None = None,
    *,
    machine: str | None = None,
    connect_s: float = CONNECT_S,
    silence_s: float = SILENCE_S,
    total_s: float = TOTAL_S,
) -> dict[str, str]:
    """Fetch programs, verify them, and put each in its place in one step.

    Of every program the publisher's checksum is asked first, all at once: so whoever reaches no
    host waits a few seconds and no more.

    Parameters
    ----------
    folders : Mapping of str to Path
        Program name to the folder that it goes to.
    reporter : Reporter
        Told about each download.
    hosts : Hosts or None
        Where the builds lie; None for the official places.
    machine : str or None
        Processor as `platform.machine` names it; None for this one.
    connect_s, silence_s, total_s : float
        Limits in seconds: until a host answers, of a download that stands still, of all together.

    Returns
    -------
    dict of str to str
        Programs that could not be had, each with a part of a sentence that says why.
    """
    machine = machine or platform.machine()
    known = sources(hosts or Hosts(), machine)
    failed = dict.fromkeys(folders.keys() - known, f"there are no official builds for {machine}")
    wanted = [known[name] for name in folders if name in known]
    deadline = time.monotonic() + total_s
    digests, unreachable = _checksums(wanted, connect_s)
    failed |= unreachable
    ready = [source for source in wanted if source.name in digests]
    for number, source in enumerate(ready, 1):
        what = f"downloading {source.name} ({number} of {len(ready)})"
        try:
            with reporter.transfer(what) as moved:
                limits = _Limits(silence_s, deadline)
                _fetch_one(source, digests[source.name], folders[source.name], limits, moved)
        except DownloadError as error:
            failed[source.name] = str(error)
    return failed


def digest_of(text: str, file: str) -> str:
    """Digest that a publisher's text gives for a file.

    Parameters
    ----------
    text : str
        One digest, or lines of digest and file name as ``sha256sum`` writes them.
    file : str
        Name of the file.

    Returns
    -------
    str
        SHA-256 or SHA-512, lower-case hexadecimal.

    Raises
    ------
    DownloadError
        When the text gives none for that file.
    """
    for line in text.splitlines():
        words = line.split()
        alone = len(words) == 1
        if words and (alone or words[-1].lstrip("*").rpartition("/")[2] == file):
            digest = words[0].lower()
            if len(digest) in _DIGESTS and set(digest) <= set("0123456789abcdef"):
                return digest
    raise DownloadError(f"the publisher names no checksum for {file}")


def summary(failed: Mapping[str, str]) -> str:
    """One line about what could not be downloaded and why.

    Parameters
    ----------
    failed : Mapping of str to str
        As `fetch` returns it.
    """
    programs: dict[str, list[str]] = {}
    for name, reason in sorted(failed.items()):
        programs.setdefault(reason, []).append(name)
    whys = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in programs.items())
    return f"no official download ({whys})"


@dataclass(frozen=True)
class _Limits:
    silence_s: float
    deadline: float


def _checksums(wanted: Iterable[Source], connect_s: float) -> tuple[dict[str, str], dict[str, str]]:
    asked = list(wanted)
    digests, failed = {}, {}

    def one(source: Source) -> str:
        with _opened(source.checksums, connect_s) as answer:
            text = answer.read(_CHECKSUMS_MAX).decode("ascii", errors="replace")
        return digest_of(text, source.file)

    with ThreadPoolExecutor(max(1, len(asked))) as pool:
        for source, future in [(source, pool.submit(one, source)) for source in asked]:
            try:
                digests[source.name] = future.result()
            except DownloadError as error:
                failed[source.name] = str(error)
    return digests, failed


def _fetch_one(
    source: Source,
    digest: str,
    folder: Path,
    limits: _Limits,
    moved: Callable[[int, int | None], None],
) -> None:
    # One name, so that what a killed download left is found by the next.
    scratch = folder / f".{source.name}.download"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        file = scratch / source.file
        found = _save(source, file, _DIGESTS[len(digest)], limits, moved)
        if found != digest:
            raise DownloadError(
                f"{source.file} has another checksum than its publisher says ({found[:12]} "
                f"instead of {digest[:12]})"
            )
        program = _unpacked(file, source) if source.archive else file
        program.chmod(0o755)
        if reason := versions.refusal(source.name, program):
            raise DownloadError(f"{source.file} {reason}")
        # What stands under the name always is whole and verified.
        program.rename(folder / source.name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _save(
    source: Source,
    file: Path,
    algorithm: str,
    limits: _Limits,
    moved: Callable[[int, int | None], None],
) -> str:
    digest = hashlib.new(algorithm)
    done = 0
    # The short limit was for finding out whether the host is there at all.
    with _opened(source.url, limits.silence_s) as answer, file.open("wb") as target:
        size = answer.length
        while chunk := answer.read1(1 << 20):
            target.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            moved(done, size)
            if time.monotonic() > limits.deadline:
                raise DownloadError(f"{source.file} took too long")
    if size is not None and done != size:
        raise DownloadError(f"{source.file} ended after {done} of {size} bytes")
    return digest.hexdigest()


def _unpacked(archive: Path, source: Source) -> Path:
    target = archive.with_name("program")
    try:
        with tarfile.open(archive) as members:
            for member in members:
                # Only a plain file of that name is taken; its path is of no interest.
                if member.isfile() and member.name.rpartition("/")[2] == source.name:
                    content = members.extractfile(member)
                    if content is not None:
                        with content, target.open("wb") as output:
                            shutil.copyfileobj(content, output)
                        return target
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DownloadError(f"{source.file} is no whole archive ({error})") from None
    raise DownloadError(f"{source.file} holds no {source.name}")


@contextmanager
def _opened(url: str, timeout_s: float) -> Iterator[HTTPResponse]:
    """An answer, by the machine's proxies and certificates; errors as parts of sentences."""
    host = urlsplit(url).hostname
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:  # noqa: S310 -- our own URLs
            yield answer
    except urllib.error.HTTPError as error:
        raise DownloadError(f"{host} answers {error.code} for {url}") from None
    except urllib.error.URLError as error:
        raise DownloadError(f"{host} cannot be reached ({_plain(error.reason)})") from None
    except (TimeoutError, OSError, HTTPException) as error:
        raise DownloadError(f"the connection to {host} broke off ({_plain(error)})") from None


def _plain(reason: object) -> str:
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    if isinstance(reason, socket.gaierror):
        return "its name is not known here"
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {reason.verify_message}"
    return str(reason) or type(reason).__name__
