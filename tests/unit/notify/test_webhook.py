"""Webhooks posted to real receivers: good ones, slow ones, and such that refuse."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import socket
import ssl
import time
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from tests.unit.builders import LOCATION, NOW, UID
from tests.unit.notify.ended import ended, message
from tests.unit.notify.mail_servers import talking
from tests.unit.notify.receivers import Receiver, receiving
from trainyard.decide.outbox import Delivered, NotDelivered, Outcome, Unknown
from trainyard.notify.content import Notification, notification
from trainyard.notify.links import StoreAccess
from trainyard.notify.webhook import WebhookRules, post
from trainyard_local.pki import Authority

KEY = b"a shared secret"
HERE = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


def said(*, good: bool = True) -> Notification:
    told = {"webhooks": ["https://hooks.example.org/x"]}
    return notification(
        message(ended(good=good, notifications=told), "https://hooks.example.org/x", "Webhook"),
        StoreAccess(),
    )


def posted(url: str, **rules: Any) -> Outcome:
    made = WebhookRules(**{"allowed_networks": HERE, "timeout_seconds": 5.0, **rules})
    return asyncio.run(post(made, url, said(), NOW))


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_bytes(KEY + b"\n")
    return path


def test_the_document_arrives_signed_with_its_time(key_file: Path) -> None:
    receiver = Receiver()
    with receiving(receiver) as port:
        outcome = posted(f"http://127.0.0.1:{port}/hook?team=a%2Fb", key_file=key_file)
    assert outcome == Delivered()
    ((path, headers, body),) = receiver.received
    assert path == "/hook?team=a%2Fb"
    # As docs/notifications.md tells receivers to check it.
    timestamp = headers["trainyard-timestamp"]
    expected = hmac.new(KEY, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert headers["trainyard-signature"] == f"sha256={expected}"
    assert int(timestamp) == int(NOW.timestamp())
    assert headers["content-type"] == "application/json"
    document = json.loads(body)
    assert headers["trainyard-notification"] == document["id"]
    assert document["id"].startswith(f"{UID}-Succeeded-")
    assert (document["kind"], document["phase"]) == ("Notification", "Succeeded")
    assert document["process"]["name"] == "digits"
    assert document["results"][0] == {"split": "test", "metrics": {"top-1": "0.9375"}}
    assert document["places"][0]["uri"] == f"{LOCATION}/metrics.json"
    assert Notification.model_validate(document).to_wire() == document


def test_without_a_key_nothing_claims_to_be_signed() -> None:
    receiver = Receiver()
    with receiving(receiver) as port:
        assert posted(f"http://127.0.0.1:{port}/") == Delivered()
    assert "trainyard-signature" not in receiver.received[0][1]


def test_tls_is_checked(tls: ssl.SSLContext, authority: Authority) -> None:
    receiver = Receiver()
    with receiving(receiver, tls) as port:
        trusted = posted(f"https://localhost:{port}/", ca_file=authority.pair.certificate)
        refused = posted(f"https://localhost:{port}/")
    assert trusted == Delivered()
    assert refused == NotDelivered(
        "localhost cannot be reached now (its certificate is not trusted)", again=True
    )
    assert len(receiver.received) == 1


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (204, Delivered()),
        (500, NotDelivered("the server answered 500", again=True)),
        (503, NotDelivered("the server answered 503", again=True)),
        (429, NotDelivered("the server answered 429", again=True)),
        (404, NotDelivered("the server answered 404", again=False)),
        (401, NotDelivered("the server answered 401", again=False)),
    ],
)
def test_the_answer_decides_whether_it_is_tried_again(status: int, expected: Outcome) -> None:
    receiver = Receiver()
    receiver.answer = lambda _: status
    with receiving(receiver) as port:
        assert posted(f"http://127.0.0.1:{port}/") == expected
    assert len(receiver.received) == 1


def test_redirects_are_not_followed() -> None:
    inner, outer = Receiver(), Receiver()
    outer.answer = lambda _: 307
    with receiving(inner) as hidden, receiving(outer) as port:
        outer.location = f"http://127.0.0.1:{hidden}/"
        outcome = posted(f"http://127.0.0.1:{port}/")
    assert isinstance(outcome, NotDelivered) and not outcome.again
    assert "redirects are not followed" in outcome.message
    assert inner.received == []


def test_a_receiver_that_is_down_is_tried_again_and_its_path_is_not_told() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        outcome = posted(f"http://127.0.0.1:{closed.getsockname()[1]}/SECRET")
    assert isinstance(outcome, NotDelivered) and outcome.again
    assert "127.0.0.1" in outcome.message and "SECRET" not in outcome.message


def test_a_slow_answer_is_not_known_to_be_a_failure() -> None:
    receiver = Receiver()
    receiver.wait_seconds = 20
    begun = time.monotonic()
    with receiving(receiver) as port:
        outcome = posted(f"http://127.0.0.1:{port}/SECRET", timeout_seconds=1.0)
    assert time.monotonic() - begun < 4
    assert outcome == Unknown(
        "127.0.0.1 did not say whether it took the document (no answer in time); it is not sent "
        "twice"
    )
    assert len(receiver.received) == 1


def test_an_answer_that_drips_ends_in_time() -> None:
    def drip(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while True:
            connection.sendall(b"x")
            time.sleep(0.1)

    begun = time.monotonic()
    with talking(drip) as port:
        outcome = posted(f"http://127.0.0.1:{port}/", timeout_seconds=1.0)
    assert time.monotonic() - begun < 4
    assert isinstance(outcome, Unknown)


@pytest.mark.parametrize(
    ("head", "endless", "expected"),
    [
        pytest.param(b"\r\n", b"x" * 65536, Delivered, id="body"),
        pytest.param(b"", b"X-More: 1\r\n" * 4096, Unknown, id="headers"),
        pytest.param(b"X-Long: ", b"x" * 65536, Unknown, id="header"),
    ],
)
def test_an_answer_without_an_end_is_not_read_to_it(
    head: bytes, endless: bytes, expected: type[Outcome]
) -> None:
    sent = 0

    def flood(connection: socket.socket) -> None:
        nonlocal sent
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + head)
        while True:
            connection.sendall(endless)
            sent += len(endless)

    begun = time.monotonic()
    with talking(flood) as port:
        outcome = posted(f"http://127.0.0.1:{port}/")
    assert isinstance(outcome, expected)
    assert time.monotonic() - begun < 3
    assert sent < 64 << 20, "what lies in buffers of the two machines"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"]
)
def test_this_machine_is_refused_however_it_is_written(host: str) -> None:
    receiver = Receiver()
    with receiving(receiver) as port:
        outcome = posted(f"http://{host}:{port}/", allowed_networks=())
    assert isinstance(outcome, NotDelivered)
    assert not outcome.again
    assert receiver.received == []


def test_a_missing_key_file_is_named_and_nothing_goes_unsigned(tmp_path: Path) -> None:
    receiver = Receiver()
    with receiving(receiver) as port:
        outcome = posted(f"http://127.0.0.1:{port}/", key_file=tmp_path / "none")
    assert isinstance(outcome, NotDelivered) and outcome.again
    assert str(tmp_path / "none") in outcome.message
    assert receiver.received == []


def test_an_empty_key_signs_nothing(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("\n")
    receiver = Receiver()
    with receiving(receiver) as port:
        outcome = posted(f"http://127.0.0.1:{port}/", key_file=tmp_path / "key")
    assert isinstance(outcome, NotDelivered) and outcome.again
    assert outcome.message.endswith("key is empty")
    assert receiver.received == []


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "https://h:99999999/",
        "https://[broken/",
        "https://.../SECRET",
        f"https://{'x' * 64}.org/SECRET",
        "https://user:SECRET@[bad/",
    ],
)
def test_a_url_that_is_none_fails_at_once(url: str) -> None:
    outcome = posted(url)
    assert isinstance(outcome, NotDelivered) and not outcome.again
    assert "SECRET" not in outcome.message
