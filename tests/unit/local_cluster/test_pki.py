import datetime as dt
import http.server
import ssl
import threading
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import NameOID

from trainyard_local import kubeconfig
from trainyard_local.pki import Authority
from trainyard_local.web import Identity, ask

NOW = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "pki", dt.datetime.now(dt.UTC))


def test_the_authority_may_sign_and_says_so(tmp_path: Path) -> None:
    made = Authority(tmp_path, NOW)
    certificate = x509.load_pem_x509_certificate(made.pair.certificate.read_bytes())

    # Python 3.13 and later refuse an authority that lacks either.
    basics = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert basics.critical
    assert basics.value.ca
    assert usage.critical
    assert usage.value.key_cert_sign


def test_it_starts_before_now_so_that_a_slow_clock_believes_it(tmp_path: Path) -> None:
    made = Authority(tmp_path, NOW)
    certificate = x509.load_pem_x509_certificate(made.pair.certificate.read_bytes())

    assert certificate.not_valid_before_utc == NOW - dt.timedelta(hours=1)


def test_what_is_signed_stays_as_long_as_it_names_the_same(authority: Authority) -> None:
    first = authority.server("s", ["127.0.0.1", "host"]).certificate.read_bytes()

    assert authority.server("s", ["127.0.0.1", "host"]).certificate.read_bytes() == first
    assert authority.server("s", ["127.0.0.1", "other"]).certificate.read_bytes() != first


def test_a_client_carries_user_and_groups(authority: Authority) -> None:
    pair = authority.client("node", "system:node:gpu-1", ["system:nodes"])
    subject = x509.load_pem_x509_certificate(pair.certificate.read_bytes()).subject

    assert subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "system:node:gpu-1"
    assert subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == "system:nodes"


def test_keys_are_readable_by_their_owner_only(authority: Authority) -> None:
    keys = [
        authority.pair.key,
        authority.client("c", "u").key,
        authority.signing_key("accounts").key,
    ]

    assert {path.stat().st_mode & 0o777 for path in keys} == {0o600}
    assert authority.folder.stat().st_mode & 0o777 == 0o700


def test_a_server_and_a_client_of_it_trust_one_another(authority: Authority) -> None:
    server = authority.server("s", ["127.0.0.1"])
    client = authority.client("c", "someone")
    with http.server.HTTPServer(("127.0.0.1", 0), Silent) as web:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(server.certificate, server.key)
        context.load_verify_locations(authority.pair.certificate)
        context.verify_mode = ssl.CERT_REQUIRED
        web.socket = context.wrap_socket(web.socket, server_side=True)
        threading.Thread(target=web.serve_forever, daemon=True).start()
        url = f"https://127.0.0.1:{web.server_port}/no-such-file"

        assert ask(url, Identity(authority.pair.certificate, client)).status == 404
        assert ask(url, Identity(authority.pair.certificate)).status == 0
        web.shutdown()


def test_a_kubeconfig_holds_all_it_needs_and_is_private(
    authority: Authority, tmp_path: Path
) -> None:
    pair = authority.client("c", "someone")
    text = kubeconfig.render("https://1.2.3.4:6443", authority.pair.certificate, pair)
    path = kubeconfig.write(tmp_path / "new" / "config", text)

    parsed = yaml.safe_load(path.read_text())
    assert parsed["clusters"][0]["cluster"]["server"] == "https://1.2.3.4:6443"
    assert set(parsed["users"][0]["user"]) == {"client-certificate-data", "client-key-data"}
    assert path.stat().st_mode & 0o777 == 0o600
