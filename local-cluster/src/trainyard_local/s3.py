"""A real S3 server over a folder: versitygw."""

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import boto3
from botocore.config import Config

from trainyard_local import kubeconfig, processes
from trainyard_local.binaries import Binaries, expected, obtain
from trainyard_local.controlplane import free_ports
from trainyard_local.paths import cache
from trainyard_local.processes import Service
from trainyard_local.web import ask

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

REGION = "us-east-1"
READY_S = 60.0


@dataclass(frozen=True)
class S3Account:
    """What a client needs.

    Attributes
    ----------
    endpoint_url : str
        As in ``http://10.213.0.1:7070``; addressed by path, not by host name.
    access_key, secret_key : str
        Of the server's administrator.
    region : str
        Region to sign with.
    """

    endpoint_url: str
    access_key: str
    secret_key: str
    region: str = REGION

    def __repr__(self) -> str:
        # A secret in a log or in a failed assertion is a secret lost.
        return f"S3Account({self.endpoint_url!r}, access_key={self.access_key!r})"

    def client(self) -> "S3Client":
        """A boto3 client of it."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
            # A proxy of the machine has no business between us and a server on this machine.
            config=Config(s3={"addressing_style": "path"}, proxies={}),
        )


class S3Server:
    """An S3 server; as a context manager it starts and stops.

    Parameters
    ----------
    folder : Path
        Its objects, credentials, log and record. What is there is served again.
    address : str
        Address to listen on.
    port : int or None
        Port; None takes a free one.
    binaries : Binaries or None
        With versitygw; None finds or builds it.
    dies_with_parent : bool
        Whether the kernel kills it when the calling process ends; right for tests.
    """

    def __init__(
        self,
        folder: Path,
        *,
        address: str = "127.0.0.1",
        port: int | None = None,
        binaries: Binaries | None = None,
        dies_with_parent: bool = True,
    ) -> None:
        self.folder = folder.absolute()
        self._binaries = binaries
        self._dies_with_parent = dies_with_parent
        self.account = _account(self.folder, f"http://{address}:{port or free_ports(1)[0]}")

    @property
    def endpoint_url(self) -> str:
        """URL of the server."""
        return self.account.endpoint_url

    @property
    def access_key(self) -> str:
        """Name of the administrator."""
        return self.account.access_key

    @property
    def secret_key(self) -> str:
        """Secret of the administrator."""
        return self.account.secret_key

    def client(self) -> "S3Client":
        """A boto3 client of the administrator."""
        return self.account.client()

    def start(self) -> Self:
        """Start it unless it runs, and wait until it answers.

        Returns
        -------
        S3Server
            Itself.

        Raises
        ------
        LocalClusterError
            When it ends or does not answer.
        """
        if self._binaries is None:
            self._binaries = obtain({"versitygw"})
        for part in ("objects", "attributes"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        service = self.service()
        processes.start(service, dies_with_parent=self._dies_with_parent)
        # Without credentials it refuses: that is an answer.
        processes.wait_until(
            lambda: ask(self.endpoint_url).status > 0, [service], "the S3 server", READY_S
        )
        return self

    def stop(self) -> None:
        """Stop it; the objects stay in the folder."""
        processes.stop(self.service())

    def service(self) -> Service:
        """The program that serves."""
        programs = self._binaries or expected(cache(), os.environ)
        command = (
            str(programs["versitygw"]),
            *("--port", self.endpoint_url.removeprefix("http://"), "--region", REGION),
            *("posix", "--sidecar", str(self.folder / "attributes")),
            str(self.folder / "objects"),
        )
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.folder),
            # In the environment, for everybody may read a command line.
            "ROOT_ACCESS_KEY": self.access_key,
            "ROOT_SECRET_KEY": self.secret_key,
        }
        return Service("versitygw", command, self.folder, environment)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _account(folder: Path, url: str) -> S3Account:
    path = folder / "account.json"
    if path.is_file():
        saved = json.loads(path.read_text(encoding="utf-8"))
        account = S3Account(**(saved | {"endpoint_url": url}))
    else:
        account = S3Account(url, f"trainyard-{secrets.token_hex(4)}", secrets.token_urlsafe(30))
    kubeconfig.write(path, json.dumps(asdict(account)))
    return account
