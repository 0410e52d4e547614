"""A real S3 server behind a door: requests may be held or refused on their way."""

from __future__ import annotations

import http.client
import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from trainyard_local.s3 import S3Server


@dataclass
class Door:
    """What has come by, and what is done with it.

    Attributes
    ----------
    endpoint_url
        Where a client finds the server.
    look
        Is shown the method and the last part of the path before a request goes on; it may wait,
        and refuses (403) by returning False.
    passed
        Requests that were answered by the server, in that order.
    """

    endpoint_url: str
    look: Callable[[str, str], bool]
    passed: list[tuple[str, str]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return self.endpoint_url.removeprefix("http://")


@contextmanager
def door(server: S3Server, look: Callable[[str, str], bool]) -> Iterator[Door]:
    """Forwards to `server` what `look` lets through."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            name = self.path.partition("?")[0].rpartition("/")[2]
            if not opened.look(self.command, name):
                self.answer(403, {}, b"")
                return
            host = server.endpoint_url.removeprefix("http://")
            connection = http.client.HTTPConnection(host, timeout=30)
            headers = {k: v for k, v in self.headers.items() if k != "Expect"}
            connection.request(self.command, self.path, body, headers)
            reply = connection.getresponse()
            content = reply.read()
            connection.close()
            opened.passed.append((self.command, name))
            self.answer(reply.status, dict(reply.getheaders()), content)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = forward  # noqa: N815

        def answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            length = headers.get("Content-Length") if self.command == "HEAD" else None
            self.send_header("Content-Length", length or str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    opened = Door(f"http://127.0.0.1:{listening.server_port}", look)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    try:
        yield opened
    finally:
        listening.shutdown()
        listening.server_close()
