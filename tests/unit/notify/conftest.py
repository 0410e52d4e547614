"""Certificates of servers, and what stands in files."""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path

import pytest

from tests.unit.notify.mail_servers import PASSWORD
from trainyard_local.pki import Authority


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"), dt.datetime.now(dt.UTC))


@pytest.fixture(scope="session")
def tls(authority: Authority) -> ssl.SSLContext:
    """What a server on this machine shows."""
    pair = authority.server("mail", ["localhost", "127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    return context


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\n", encoding="utf-8")
    return path
