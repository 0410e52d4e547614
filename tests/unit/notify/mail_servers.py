"""Real SMTP servers: one that takes mail, and some that do not."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USER, PASSWORD = "trainyard", "s3cret-p@ss word"


class Inbox:
    """Takes every mail, unless `answer` says otherwise for one of its recipients."""

    def __init__(self) -> None:
        self.received: list[Envelope] = []
        self.encrypted: list[bool] = []
        self.answer: Callable[[str], str | None] = lambda _: None
        self.after_text: str | None = None
        self.wait_seconds = 0.0
        self.busy = 0

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any
    ) -> str:
        refused = self.answer(address)
        if refused is not None:
            return refused
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        if self.after_text is not None:
            return self.after_text
        self.busy += 1
        try:
            await asyncio.sleep(self.wait_seconds)
            self.received.append(envelope)
            await asyncio.sleep(self.wait_seconds)
        finally:
            # Also when the sender is gone, which ends this where it is.
            self.busy -= 1
        assert server.transport is not None
        self.encrypted.append(server.transport.get_extra_info("ssl_object") is not None)
        return "250 taken"

    @property
    def mails(self) -> list[EmailMessage]:
        """What was received, parsed."""
        found = []
        for envelope in self.received:
            assert isinstance(envelope.content, bytes)
            mail = message_from_bytes(envelope.content, policy=default)
            assert isinstance(mail, EmailMessage)
            found.append(mail)
        return found


def _authenticate(
    server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
) -> AuthResult:
    assert isinstance(data, LoginPassword)
    given = (data.login.decode(), data.password.decode())
    return AuthResult(success=given == (USER, PASSWORD), handled=False)


@contextlib.contextmanager
def serving(
    inbox: Inbox, context: ssl.SSLContext | None = None, *, start_tls: bool = True
) -> Iterator[int]:
    """The port of a server; with `context` it has TLS and wants a password."""
    options: dict[str, Any] = {}
    if context is not None and start_tls:
        options = {"tls_context": context, "require_starttls": True}
    elif context is not None:
        options = {"ssl_context": context, "auth_require_tls": False}
    if context is not None:
        options |= {"authenticator": _authenticate, "auth_required": True}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(inbox, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


@contextlib.contextmanager
def talking(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port of a server that does what `talk` does with each connection."""
    listening = socket.create_server(("127.0.0.1", 0))
    connections: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            connections.append(connection)
            threading.Thread(target=_quietly, args=(talk, connection), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.close()
        for connection in connections:
            connection.close()


def _quietly(talk: Callable[[socket.socket], None], connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        talk(connection)


def until_text(connection: socket.socket) -> None:
    """Answer as a mail server does until the whole text was received."""
    connection.sendall(b"220 here\r\n")
    received = b""
    while True:
        received += connection.recv(65536)
        if b"DATA\r\n" in received:
            break
        if received.endswith(b"\r\n"):
            connection.sendall(b"250 OK\r\n")
    connection.sendall(b"354 go on\r\n")
    while not received.endswith(b"\r\n.\r\n"):
        received += connection.recv(65536)
