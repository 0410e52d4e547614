"""An API server over HTTP, in memory: enough of it for the requests that the operator makes.

It knows optimistic locking (409 for a stale resourceVersion or a wrong UID), merge patches, the
status subresource, label and field selectors, finalizers and pages. A hook runs before each request
is looked at and after each was answered, so that a test can do there what others would do.
Schedulers, controllers and admission belong to the integration tests, which run the real ones.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kubernetes import client

from trainyard.cluster.api_server import ApiServer

Json = dict[str, Any]


@dataclass
class Answer:
    """What is answered in place of the truth, once."""

    status: int
    body: bytes = b""


@dataclass
class FakeApi:
    """The objects by URL path, and what was asked."""

    objects: dict[str, Json] = field(default_factory=dict)
    requests: list[tuple[str, str, Json | None]] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    page: int = 1000
    version: int = 100
    time: str = "2026-11-23T12:00:00Z"
    """When things are deleted."""
    lock: threading.RLock = field(default_factory=threading.RLock)
    before: Callable[[str, str], None] | None = None
    """Called with method and URL before a request is looked at."""
    after_write: Callable[[], None] | None = None
    """Called when something has changed, as the controllers of a cluster are."""

    def put(self, path: str, body: Json) -> Json:
        """Store an object as if somebody else had written it."""
        made: Json = json.loads(json.dumps(body))
        self.version += 1
        meta = made.setdefault("metadata", {})
        meta.setdefault("name", path.rpartition("/")[2])
        if "/namespaces/" in path:
            meta.setdefault("namespace", path.split("/namespaces/")[1].partition("/")[0])
        meta.setdefault("uid", str(uuid.uuid4()))
        meta["resourceVersion"] = str(self.version)
        self.objects[path] = made
        return made

    def writes(self) -> list[tuple[str, str]]:
        """Method and path of each request that is not a read."""
        return [(method, path) for method, path, _ in self.requests if method != "GET"]

    def handle(self, method: str, url: str, body: Json | None) -> tuple[int, bytes]:
        """The answer to a request."""
        if self.before is not None:
            self.before(method, url)
        parts = urlsplit(url)
        path, query = parts.path, parse_qs(parts.query)
        with self.lock:
            self.requests.append((method, url, body))
            if self.answers:
                answer = self.answers.pop(0)
                return answer.status, answer.body
            status, found = self._answer(method, path, query, body)
            data = json.dumps(found).encode()
            if self.after_write is not None and method != "GET":
                self.after_write()
        return status, data

    def remove(self, path: str) -> None:
        """Delete an object: at once, or as soon as nothing keeps it any more."""
        found = self.objects[path]
        if not found["metadata"].get("finalizers"):
            del self.objects[path]
            return
        if "deletionTimestamp" not in found["metadata"]:
            meta = {**found["metadata"], "deletionTimestamp": self.time}
            self.put(path, {**found, "metadata": meta})

    def _answer(
        self, method: str, path: str, query: dict[str, list[str]], body: Json | None
    ) -> tuple[int, Json]:
        if method == "POST":
            assert body is not None
            place = f"{path}/{body['metadata']['name']}" if "metadata" in body else path
            if place in self.objects:
                return _error(409, "AlreadyExists", f"{place} already exists")
            return 201, self.put(place, body)
        status_only = path.endswith("/status")
        path = path.removesuffix("/status")
        found = self.objects.get(path)
        if method == "GET":
            if found is not None:
                return 200, found
            if _is_collection(path):
                return 200, self._list(path, query)
            return _error(404, "NotFound", f"{path} not found")
        if found is None:
            return _error(404, "NotFound", f"{path} not found")
        assert body is not None
        meta = found["metadata"]
        if method == "DELETE":
            expected = body.get("preconditions") or {}
            if any(meta[key] != value for key, value in expected.items()):
                return _error(409, "Conflict", "the precondition does not hold")
            self.remove(path)
            return 200, {"kind": "Status"}
        expected = (body.get("metadata") or {}).get("resourceVersion")
        if expected is not None and expected != meta["resourceVersion"]:
            return _error(409, "Conflict", "the object has been modified")
        if (body.get("metadata") or {}).get("uid", meta["uid"]) != meta["uid"]:
            return _error(409, "Conflict", "the object is another")
        if method == "PUT":
            return 200, self.put(path, body)
        changes = {"status": body.get("status")} if status_only else body
        merged = merge(found, changes)
        if merged == found:
            return 200, found
        made = self.put(path, merged)
        if "deletionTimestamp" in made["metadata"] and not made["metadata"].get("finalizers"):
            del self.objects[path]
        return 200, made

    def _list(self, path: str, query: dict[str, list[str]]) -> Json:
        collection = _collection(path)
        selector = query.get("labelSelector", [""])[0]
        items = [
            item
            for key, item in sorted(self.objects.items())
            if key.rpartition("/")[0] == path
            or ("/namespaces/" not in path and key.rpartition("/")[0].endswith(collection))
        ]
        items = [item for item in items if _selected(item, selector)]
        fields = query.get("fieldSelector", [""])[0]
        items = [item for item in items if _has_field(item, fields)]
        start = int(query.get("continue", ["0"])[0])
        end = start + min(self.page, int(query.get("limit", ["1000"])[0]))
        meta: Json = {"resourceVersion": str(self.version)}
        if end < len(items):
            meta["continue"] = str(end)
        bare = [
            {k: v for k, v in item.items() if k not in ("kind", "apiVersion")} for item in items
        ]
        return {"metadata": meta, "items": bare[start:end]}


def merge(old: Any, patch: Any) -> Any:
    """A JSON merge patch as RFC 7386 defines it."""
    if not isinstance(patch, dict):
        return patch
    made = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = merge(made.get(key), value)
    return made


def _is_collection(path: str) -> bool:
    parts = path.strip("/").split("/")
    rest = parts[3:] if parts[0] == "apis" else parts[2:]
    return len(rest[2:] if rest[0] == "namespaces" else rest) == 1


def _collection(path: str) -> str:
    return "/" + path.rpartition("/")[2]


def _selected(item: Json, selector: str) -> bool:
    labels = item["metadata"].get("labels") or {}
    if " in (" in selector:
        key, _, values = selector.partition(" in (")
        return labels.get(key) in values.rstrip(")").split(",")
    if not selector:
        return True
    key, _, value = selector.partition("=")
    return labels.get(key) == value


def _has_field(item: Json, selector: str) -> bool:
    if not selector:
        return True
    path, _, value = selector.partition("=")
    found: Any = item
    for part in path.split("."):
        found = (found or {}).get(part)
    return bool(found == value)


def _error(status: int, reason: str, message: str) -> tuple[int, Json]:
    return status, {"kind": "Status", "status": "Failure", "reason": reason, "message": message}


@contextmanager
def serving(fake: FakeApi) -> Iterator[ApiServer]:
    """The typed door to the fake, over a real connection on the loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            text = self.rfile.read(length)
            status, data = fake.handle(self.command, self.path, json.loads(text) if text else None)
            if status == 0:
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    settings = client.Configuration()
    settings.host = f"http://127.0.0.1:{server.server_port}"
    settings.retries = False
    api_client = client.ApiClient(settings)
    try:
        yield ApiServer(api_client)
    finally:
        api_client.rest_client.pool_manager.clear()
        server.shutdown()
        server.server_close()
        thread.join()
