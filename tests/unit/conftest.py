"""Switches of the unit tests, and a real S3 server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.labelled import BUCKET
from trainyard.api.run import StoreLocation
from trainyard.stores import Credentials, Store, open_store
from trainyard_local.s3 import S3Server


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write the golden files anew; read the difference before you commit it",
    )


_names = iter(range(1_000_000))


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        server.client().create_bucket(Bucket=BUCKET)
        yield server


@pytest.fixture(scope="session")
def store(s3_server: S3Server) -> Store:
    return open_store(
        StoreLocation(endpoint_url=s3_server.endpoint_url),
        Credentials(s3_server.access_key, s3_server.secret_key),
    )


@pytest.fixture(params=["s3", "folder"])
def place(request: pytest.FixtureRequest, s3_server: S3Server, tmp_path: Path) -> str:
    """An empty folder of a store, as a URI."""
    if request.param == "folder":
        return f"file://{tmp_path}/objects"
    return f"s3://{BUCKET}/{request.node.name.replace('[', '-').rstrip(']')}"


@pytest.fixture
def prefix() -> str:
    """A prefix that no other test uses."""
    return f"test-{next(_names)}"
