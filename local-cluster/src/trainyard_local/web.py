"""The few HTTP questions that the local cluster asks: is it up, and what does it answer."""

import http.client
import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from trainyard_local.pki import KeyPair


@dataclass(frozen=True)
class Answer:
    """An HTTP answer.

    Attributes
    ----------
    status : int
        HTTP status; 0 when nothing answered.
    body : bytes
        Content.
    """

    status: int
    body: bytes = b""

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """Content as JSON."""
        return json.loads(self.body)


NOTHING = Answer(0)


@dataclass(frozen=True)
class Identity:
    """Whom a client trusts, and who it is.

    Attributes
    ----------
    authority : Path
        Certificate of the authority, PEM.
    client : KeyPair or None
        Its own certificate.
    """

    authority: Path
    client: KeyPair | None = None

    def context(self) -> ssl.SSLContext:
        """TLS settings."""
        made = ssl.create_default_context(cafile=str(self.authority))
        if self.client is not None:
            made.load_cert_chain(self.client.certificate, self.client.key)
        return made


def ask(
    url: str,
    identity: Identity | None = None,
    *,
    method: str = "GET",
    body: Any = None,
    content_type: str = "application/json",
    timeout_s: float = 5.0,
) -> Answer:
    """Send one request, straight to its address (no proxy is asked).

    Parameters
    ----------
    url : str
        http or https.
    identity : Identity or None
        For https.
    method : str
        HTTP method.
    body : object
        Sent as JSON when not None.
    content_type : str
        Of the body.
    timeout_s : float
        For connecting and for each read, in seconds.

    Returns
    -------
    Answer
        Status 0 when nothing answered.
    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    host = parts.hostname or ""
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = identity.context() if identity else ssl.create_default_context()
        connection = http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    try:
        payload = None if body is None else json.dumps(body).encode()
        connection.request(method, path or "/", payload, {"Content-Type": content_type})
        response = connection.getresponse()
        return Answer(response.status, response.read())
    except (OSError, http.client.HTTPException):
        return NOTHING
    finally:
        connection.close()
