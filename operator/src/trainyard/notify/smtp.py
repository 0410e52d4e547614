"""Hands a mail to the server, once."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from enum import StrEnum
from pathlib import Path

import aiosmtplib

from trainyard.decide.outbox import Delivered, NotDelivered, Outcome, Unknown

STEP_SECONDS = 30.0
"""Without a word of the server for so long, the try is over."""


class Security(StrEnum):
    """How the connection to the mail server is encrypted."""

    STARTTLS = "StartTLS"
    TLS = "TLS"
    NONE = "None"


@dataclass(frozen=True)
class MailServer:
    """The server that mail is handed to.

    Attributes
    ----------
    sender
        Address, or `Name <address>`.
    password_file
        Read for each mail, so that a password can be changed while the operator runs.
    ca_file
        Certificates that the server's is checked with; None: those of the system.
    timeout_seconds
        For a whole try.
    """

    host: str
    port: int
    security: Security
    sender: str
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    timeout_seconds: float = 60.0


async def hand_over(server: MailServer, mail: EmailMessage) -> Outcome:
    """Try once.

    Until the text is sent, whatever goes wrong means that the server does not have the mail.
    After that only its own word counts: without one, nobody knows.
    """
    try:
        password = _password(server)
        context = None
        if server.security is not Security.NONE:
            context = ssl.create_default_context(cafile=server.ca_file)
    except OSError as error:
        return NotDelivered(f"a file of the mail settings cannot be used: {error}", again=True)
    client = aiosmtplib.SMTP(
        hostname=server.host,
        port=server.port,
        use_tls=server.security is Security.TLS,
        start_tls=server.security is Security.STARTTLS,
        tls_context=context,
        username=server.username,
        password=password,
        local_hostname=mail["From"].addresses[0].domain,
        timeout=min(STEP_SECONDS, server.timeout_seconds),
    )
    text_sent = False
    where = f"mail server {server.host}:{server.port}"
    try:
        async with asyncio.timeout(server.timeout_seconds):
            await client.connect()
            await client.mail(mail["From"].addresses[0].addr_spec)
            await client.rcpt(mail["To"].addresses[0].addr_spec)
            text_sent = True
            await client.data(mail.as_bytes())
    except (aiosmtplib.SMTPException, OSError, TimeoutError, UnicodeError) as error:
        # The last of a host name that can be none.
        said = _line(str(error)) or "it did not answer in time"
        if isinstance(error, aiosmtplib.SMTPResponseException):
            if 400 <= error.code < 600:
                # 4xx means later, 5xx means never.
                said = f"the {where} answered {error.code} {_line(error.message)}"
                return NotDelivered(said, again=error.code < 500)
            said = f"answered {_line(error.message)!r}"
        if text_sent:
            return Unknown(
                f"the {where} did not say whether it took the mail ({said}); it is not sent twice"
            )
        return NotDelivered(f"the {where} cannot be used now: {said}", again=True)
    finally:
        client.close()
    return Delivered()


def _password(server: MailServer) -> str | None:
    if server.password_file is None:
        return None
    return server.password_file.read_text(encoding="utf-8").strip()


def _line(text: str) -> str:
    return " ".join(text.split())[:200]
