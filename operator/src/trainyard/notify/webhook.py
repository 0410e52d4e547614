"""Posts the JSON document of a notification, signed, once."""

from __future__ import annotations

import hashlib
import hmac
import json
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from pathlib import Path

import aiohttp
from yarl import URL

from trainyard.decide.outbox import Delivered, NotDelivered, Outcome, Unknown
from trainyard.notify.addresses import AddressRefused, GuardedResolver, Network, check
from trainyard.notify.content import Notification

TIMESTAMP_HEADER = "Trainyard-Timestamp"
SIGNATURE_HEADER = "Trainyard-Signature"
ID_HEADER = "Trainyard-Notification"
CONNECT_SECONDS = 10.0


@dataclass(frozen=True)
class WebhookRules:
    """How webhooks are called.

    Attributes
    ----------
    key_file
        The secret of the signature, read for each document; None: they are not signed.
    ca_file
        Certificates that servers' are checked with; None: those of the system.
    allowed_networks
        Networks that are not public and may be posted to nevertheless.
    timeout_seconds
        For a whole try.
    """

    key_file: Path | None = None
    ca_file: Path | None = None
    allowed_networks: Sequence[Network] = ()
    timeout_seconds: float = 30.0


def document(said: Notification) -> bytes:
    """The body: JSON in UTF-8, on one line."""
    return json.dumps(said.to_wire(), ensure_ascii=False, separators=(",", ":")).encode()


def signature(key: bytes, timestamp: str, body: bytes) -> str:
    """`sha256=` and the HMAC-SHA256 of the timestamp, a dot and the body, in hexadecimal."""
    return "sha256=" + hmac.new(key, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def headers(said: Notification, body: bytes, key: bytes | None, now: datetime) -> dict[str, str]:
    """The headers of a document that is sent at `now`."""
    timestamp = str(int(now.timestamp()))
    made = {
        "Content-Type": "application/json",
        "User-Agent": "trainyard",
        ID_HEADER: said.id,
        TIMESTAMP_HEADER: timestamp,
    }
    if key is not None:
        made[SIGNATURE_HEADER] = signature(key, timestamp, body)
    return made


async def post(rules: WebhookRules, url: str, said: Notification, now: datetime) -> Outcome:
    """Try once.

    A server that cannot be reached, or that answers 429 or 5xx, does not have the document. When
    the connection breaks after the request was sent, or no answer comes, nobody knows.
    """
    body = document(said)
    try:
        # As it was written: %2F in a signed URL is not the same as a slash.
        target = URL(url, encoded=url.isascii())
        key = _key(rules.key_file)
        context = ssl.create_default_context(cafile=rules.ca_file)
        _check_literal(target.host or "", rules.allowed_networks)
    except ValueError as error:
        return NotDelivered(f"the URL cannot be used: {error}", again=False)
    except AddressRefused as error:
        return NotDelivered(str(error), again=False)
    except OSError as error:
        return NotDelivered(f"a file of the webhook settings cannot be used: {error}", again=True)
    connector = aiohttp.TCPConnector(
        resolver=GuardedResolver(rules.allowed_networks), ssl=context, force_close=True
    )
    limits = aiohttp.ClientTimeout(total=rules.timeout_seconds, sock_connect=CONNECT_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=limits) as session,
            session.post(
                target, data=body, headers=headers(said, body, key, now), allow_redirects=False
            ) as response,
        ):
            return _judged(response.status)
    except AddressRefused as error:
        return NotDelivered(str(error), again=False)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        # The URL may be a secret: only the type of the error is told.
        return NotDelivered(f"{target.host} cannot be reached now ({_name(error)})", again=True)
    except (aiohttp.InvalidURL, UnicodeError):
        # The second of a host name that can be none.
        return NotDelivered("the URL cannot be used: write https://HOST/PATH", again=False)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return Unknown(
            f"{target.host} did not say whether it took the document ({_name(error)}); it is not "
            "sent twice"
        )


def _key(path: Path | None) -> bytes | None:
    """The secret of the signature.

    Raises
    ------
    OSError
        If the file cannot be read, or is empty: everybody could sign with that.
    """
    if path is None:
        return None
    key = path.read_bytes().strip()
    if not key:
        raise OSError(f"{path} is empty")
    return key


def _judged(status: int) -> Outcome:
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Delivered()
    again = status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    hint = ""
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        hint = "; redirects are not followed: give the URL that it leads to"
    return NotDelivered(f"the server answered {status}{hint}", again=again)


def _check_literal(host: str, allowed: Sequence[Network]) -> None:
    """Addresses in the URL itself are not looked up: refuse those that may not be used."""
    try:
        check(host, [host], allowed)
    except ValueError:
        return


def _name(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not trusted"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name is not known"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or type(error).__name__
    return type(error).__name__
