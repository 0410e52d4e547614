"""Mail handed to real servers: good ones, slow ones, and such that refuse."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.builders import NOW
from tests.unit.notify.ended import TEAM, ended, message
from tests.unit.notify.mail_servers import PASSWORD, USER, Inbox, serving, talking, until_text
from trainyard.decide.outbox import Delivered, NotDelivered, Outcome, Unknown
from trainyard.notify.content import notification
from trainyard.notify.links import StoreAccess
from trainyard.notify.mail import mail
from trainyard.notify.smtp import MailServer, Security, hand_over
from trainyard_local.pki import Authority

SENDER = "Trainyard <trainyard@example.org>"
SAID = notification(message(ended(notifications={"email": [TEAM]})), StoreAccess())
MAIL = mail(SAID, SENDER, TEAM, NOW)


def sent(port: int, security: Security = Security.NONE, **more: Any) -> Outcome:
    server = MailServer("127.0.0.1", port, security, SENDER, **{"timeout_seconds": 5.0, **more})
    return asyncio.run(hand_over(server, MAIL))


# The server does not see that the connection is encrypted from the first byte.
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
def test_mail_goes_encrypted_and_authenticated(
    security: Security, tls: ssl.SSLContext, authority: Authority, password_file: Path
) -> None:
    inbox = Inbox()
    with serving(inbox, tls, start_tls=security is Security.STARTTLS) as port:
        outcome = sent(
            port,
            security,
            username=USER,
            password_file=password_file,
            ca_file=authority.pair.certificate,
        )
    assert outcome == Delivered()
    (envelope,) = inbox.received
    assert (envelope.mail_from, envelope.rcpt_tos) == ("trainyard@example.org", [TEAM])
    assert inbox.encrypted == [True]
    assert inbox.mails[0]["To"] == TEAM


def test_a_wrong_password_is_named_without_being_told(
    tls: ssl.SSLContext, authority: Authority, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("canary-password", encoding="utf-8")
    with serving(Inbox(), tls) as port:
        outcome = sent(
            port,
            Security.STARTTLS,
            username=USER,
            password_file=wrong,
            ca_file=authority.pair.certificate,
        )
    assert isinstance(outcome, NotDelivered) and not outcome.again
    assert "535" in outcome.message
    assert "canary" not in outcome.message and PASSWORD not in outcome.message


def test_a_certificate_that_is_not_trusted_gets_no_password_and_no_mail(
    tls: ssl.SSLContext, password_file: Path
) -> None:
    inbox = Inbox()
    with serving(inbox, tls) as port:
        outcome = sent(port, Security.STARTTLS, username=USER, password_file=password_file)
    assert isinstance(outcome, NotDelivered)
    assert "certificate verify failed" in outcome.message.lower()
    assert inbox.received == []


def test_a_server_without_starttls_gets_no_mail_in_the_clear() -> None:
    inbox = Inbox()
    with serving(inbox) as port:
        outcome = sent(port, Security.STARTTLS)
    assert isinstance(outcome, NotDelivered)
    assert "STARTTLS" in outcome.message
    assert inbox.received == []


def test_a_password_file_that_is_missing_is_named_and_tried_again(tmp_path: Path) -> None:
    outcome = sent(1, Security.TLS, username=USER, password_file=tmp_path / "none")
    assert isinstance(outcome, NotDelivered) and outcome.again
    assert str(tmp_path / "none") in outcome.message


def test_a_server_that_is_down_is_tried_again() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        outcome = sent(closed.getsockname()[1])
    assert isinstance(outcome, NotDelivered) and outcome.again


def test_a_server_by_a_name_that_can_be_none_is_no_fault_of_ours() -> None:
    server = MailServer("mail..example", 25, Security.NONE, SENDER)
    outcome = asyncio.run(hand_over(server, MAIL))
    assert isinstance(outcome, NotDelivered)
    assert outcome.message.startswith("the mail server mail..example:25 cannot be used now: ")


@pytest.mark.parametrize(
    ("answer", "again"), [("451 greylisted, come back", True), ("550 no such mailbox", False)]
)
def test_a_refused_recipient_is_tried_again_only_if_the_server_says_later(
    answer: str, again: bool
) -> None:
    inbox = Inbox()
    inbox.answer = lambda _: answer
    with serving(inbox) as port:
        outcome = sent(port)
    assert isinstance(outcome, NotDelivered)
    assert outcome.again is again
    assert outcome.message.endswith(f"answered {answer}")


@pytest.mark.parametrize(("answer", "again"), [("452 full", True), ("554 spam", False)])
def test_a_refused_text_is_not_taken_for_sent(answer: str, again: bool) -> None:
    inbox = Inbox()
    inbox.after_text = answer
    with serving(inbox) as port:
        outcome = sent(port)
    assert isinstance(outcome, NotDelivered) and outcome.again is again


def hang(connection: socket.socket) -> None:
    time.sleep(30)


def drip(connection: socket.socket) -> None:
    """A byte now and then: each wait is short, and there is no end to them."""
    while True:
        connection.sendall(b"2")
        time.sleep(0.1)


@pytest.mark.parametrize("talk", [hang, drip])
def test_a_server_that_hangs_or_drips_ends_the_try_in_time(
    talk: Callable[[socket.socket], None],
) -> None:
    begun = time.monotonic()
    with talking(talk) as port:
        outcome = sent(port, timeout_seconds=1.0)
    assert time.monotonic() - begun < 3
    assert isinstance(outcome, NotDelivered) and outcome.again


def test_silence_after_the_text_is_not_known_to_be_a_failure() -> None:
    def silent(connection: socket.socket) -> None:
        until_text(connection)
        time.sleep(30)

    with talking(silent) as port:
        outcome = sent(port, timeout_seconds=1.0)
    assert isinstance(outcome, Unknown)
    assert "not sent twice" in outcome.message


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"what?\r\n", id="no answer of SMTP"),
        pytest.param(b"299 who knows\r\n", id="a code that says nothing"),
        pytest.param(b"250-more\r\n" * 99_999, id="no end"),
    ],
)
def test_an_answer_to_the_text_that_says_nothing_is_not_known_to_be_a_failure(
    answer: bytes,
) -> None:
    def odd(connection: socket.socket) -> None:
        until_text(connection)
        connection.sendall(answer)
        time.sleep(30)

    with talking(odd) as port:
        outcome = sent(port)
    assert isinstance(outcome, Unknown)
    assert "did not say whether it took the mail (answered " in outcome.message


def test_an_answer_before_the_text_that_says_nothing_is_tried_again() -> None:
    def odd(connection: socket.socket) -> None:
        connection.sendall(b"what?\r\n")
        time.sleep(30)

    with talking(odd) as port:
        outcome = sent(port)
    assert isinstance(outcome, NotDelivered) and outcome.again


def test_a_connection_lost_after_the_text_is_not_known_to_be_a_failure() -> None:
    def lost(connection: socket.socket) -> None:
        until_text(connection)
        connection.close()

    with talking(lost) as port:
        assert isinstance(sent(port), Unknown)
