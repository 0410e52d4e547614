"""A proxy between one operator and the API server: it counts the writes and makes faults.

The operator speaks plain HTTP to it; it speaks TLS to the API server with the certificate of the
operator's user, so permissions are the real ones. Everything else passes through unchanged,
watches chunk by chunk.

With a `Scope` the operator sees one namespace and the nodes that carry its label, as if it had the
cluster for itself: then many operators run side by side, and none does another one's work.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import yaml
from aiohttp import web

from trainyard.api.meta import ANNOTATION_TARGET_NODE
from trainyard.cluster.resources import LOCK_NAMESPACE
from trainyard_local.controlplane import ControlPlane

Json = dict[str, Any]
T = TypeVar("T")
LABEL_WORLD = "tests/world"
"""On nodes: the namespace that they belong to."""
READS_BY_POST = ("tokenreviews", "subjectaccessreviews", "selfsubjectaccessreviews")
CLUSTER_WIDE = ("namespaces", "customresourcedefinitions")
_PATH = re.compile(
    r"^/(?:api|apis/(?P<group>[^/]+))/v\w+"
    r"(?:/namespaces/(?P<namespace>[^/]+)(?=/))?"
    r"/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>[^/]+))?$"
)
EXPIRED = (
    b'{"type": "ERROR", "object": {"apiVersion": "v1", "kind": "Status", "status": "Failure", '
    b'"reason": "Expired", "code": 410, "message": "too old resource version"}}\n'
)
_SKIPPED = {"host", "connection", "transfer-encoding", "content-length", "keep-alive"}


@dataclass
class Write:
    """One request that changes something, as the operator sent it.

    Attributes
    ----------
    number
        1 is the first since the proxy began to count.
    status
        What the API server answered; None: it was not asked, or did not answer.
    """

    number: int
    method: str
    path: str
    body: Json
    status: int | None = None
    time: float = field(default_factory=time.monotonic)

    @property
    def plural(self) -> str:
        """The resource."""
        return _part(self.path, "plural")

    @property
    def what(self) -> str:
        """Kind of write: equal in two runs of the same scenario."""
        sub = _part(self.path, "sub")
        return f"{self.method} {self.plural}{sub and '/' + sub}{self._detail()}"

    def _detail(self) -> str:
        spec, meta = self.body.get("spec") or {}, self.body.get("metadata") or {}
        if self.plural == "events":
            return f" {self.body.get('reason')}"
        if self.path.endswith("/status"):
            status = self.body.get("status") or {}
            changed = status.get("phase") or ",".join(sorted(status))
            return f" {changed}"
        if self.plural == "jobs" and "suspend" in spec and self.method == "PATCH":
            return f" suspend={spec['suspend']}"
        if self.method == "PATCH":
            return f" {','.join(sorted({*spec, *meta} - {'resourceVersion', 'uid'}))}"
        return ""


Fault = Callable[["Exchange"], Awaitable[web.StreamResponse]]
"""Deals with one request instead of the proxy."""


@dataclass
class Exchange:
    """One request on its way, for a fault to deal with."""

    write: Write
    request: web.Request
    _forward: Callable[[], Awaitable[web.StreamResponse]]

    async def forward(self) -> web.StreamResponse:
        """Let the API server have it; gives the answer, which is not sent yet."""
        return await self._forward()

    def cut(self) -> web.StreamResponse:
        """Close the connection without an answer."""
        transport = self.request.transport
        if transport is not None:
            transport.abort()
        raise asyncio.CancelledError


def killed_before(kill: Callable[[], None]) -> Fault:
    """The operator dies before the API server has the request."""

    async def fault(exchange: Exchange) -> web.StreamResponse:
        await asyncio.to_thread(kill)
        return exchange.cut()

    return fault


def killed_after(kill: Callable[[], None]) -> Fault:
    """The operator dies after the API server has done it and before it knows."""

    async def fault(exchange: Exchange) -> web.StreamResponse:
        await exchange.forward()
        await asyncio.to_thread(kill)
        return exchange.cut()

    return fault


def answered(status: int, reason: str = "", message: str = "made by a test") -> Fault:
    """The API server refuses: it is not asked."""

    async def fault(_: Exchange) -> web.StreamResponse:
        return _refusal(status, reason, message)

    return fault


def answered_after(status: int, reason: str = "", message: str = "made by a test") -> Fault:
    """The API server does it, and the answer says that it did not."""

    async def fault(exchange: Exchange) -> web.StreamResponse:
        await exchange.forward()
        return _refusal(status, reason, message)

    return fault


def cut_before() -> Fault:
    """The connection breaks before the API server has the request."""

    async def fault(exchange: Exchange) -> web.StreamResponse:
        return exchange.cut()

    return fault


def cut_after() -> Fault:
    """The connection breaks after the API server has done it."""

    async def fault(exchange: Exchange) -> web.StreamResponse:
        await exchange.forward()
        return exchange.cut()

    return fault


def delayed(seconds: float) -> Fault:
    """The API server gets it late."""

    async def fault(exchange: Exchange) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await exchange.forward()

    return fault


@dataclass(frozen=True)
class Scope:
    """What an operator is shown of the cluster.

    Attributes
    ----------
    namespace
        The only one.
    nodes
        Whose locks it sees; they carry the label `LABEL_WORLD` with the namespace.
    """

    namespace: str
    nodes: frozenset[str]


Match = Callable[[Write], bool]


@dataclass(eq=False)
class _Stream:
    """An open watch."""

    stalled: bool = False
    expired: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class _Rule:
    matches: Match
    fault: Fault
    times: int


class ProxyLoop:
    """The event loop, in a thread of its own, that all proxies of a test session share."""

    def __init__(self, plane: ControlPlane, user: str) -> None:
        pair = plane.authority.client("fault-proxy", user, [])
        self.url = plane.url
        self.tls = ssl.create_default_context(cafile=str(plane.authority.pair.certificate))
        self.tls.load_cert_chain(pair.certificate, pair.key)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="fault-proxies", daemon=True)
        self._thread.start()
        self.session = self.call(self._open())

    def stop(self) -> None:
        """Close everything."""
        self.call(self.session.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _open(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=0, ssl=self.tls)
        timeout = aiohttp.ClientTimeout(total=None, connect=10)
        return aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()


class FaultProxy:
    """The way of one operator to the API server.

    Parameters
    ----------
    loop
        Shared by all proxies.
    folder
        For the kubeconfig.
    scope
        What the operator is shown; None: everything.
    """

    def __init__(self, loop: ProxyLoop, folder: Path, scope: Scope | None = None) -> None:
        self._loop = loop
        self._scope = scope
        self._lock = threading.Lock()
        self._rules: list[_Rule] = []
        self._dropped: Callable[[Json], bool] | None = None
        self._transports: set[asyncio.BaseTransport] = set()
        self.writes: list[Write] = []
        """Everything that was written since `begin`, in the order in which it came."""
        self.renewals = 0
        """Writes of the leader's Lease, which do not count as writes."""
        self.available = True
        """False: the API server cannot be reached."""
        self.forgetful = False
        """True: watches are refused, 410, as if each asked for what was forgotten."""
        self._streams: set[_Stream] = set()
        self._runner, self.port = loop.call(self._start())
        self.kubeconfig = folder / "kubeconfig.yaml"
        folder.mkdir(parents=True, exist_ok=True)
        self.kubeconfig.write_text(_kubeconfig(f"http://127.0.0.1:{self.port}"))

    def stop(self) -> None:
        """Stop listening."""
        self.cut_connections()
        self._loop.call(self._runner.cleanup())

    # What to do

    def begin(self) -> None:
        """Forget the writes so far: the next one has the number 1."""
        with self._lock:
            self.writes = []

    def at(self, number: int, fault: Fault) -> None:
        """Make a fault of the write with that number."""
        self.when(lambda write: write.number == number, fault)

    def when(self, matches: Match, fault: Fault, *, times: int = 1) -> None:
        """Make a fault of the next `times` writes that match."""
        with self._lock:
            self._rules.append(_Rule(matches, fault, times))

    def heal(self) -> None:
        """Make no more faults."""
        with self._lock:
            self._rules = []
            self._dropped = None
        self.available, self.forgetful = True, False

    def drop_events(self, matches: Callable[[Json], bool]) -> None:
        """Keep back watch events that match until `heal`; they are lost."""
        self._dropped = matches

    @property
    def open_watches(self) -> int:
        """Watches that are being passed on."""
        return len(self._streams)

    def stall_watches(self) -> None:
        """Let nothing more through on the watches that are open now; they stay open."""

        async def stall() -> None:
            for stream in self._streams:
                stream.stalled = True

        self._loop.call(stall())

    def expire_watches(self) -> None:
        """End the open watches as an API server does that has forgotten where they were: 410."""

        async def expire() -> None:
            for stream in self._streams:
                stream.expired.set()

        self._loop.call(expire())

    def cut_connections(self) -> None:
        """Break all connections of the operator, open watches included."""
        self._loop.call(self._cut())

    # Passing on

    async def _start(self) -> tuple[web.AppRunner, int]:
        application = web.Application(client_max_size=64 * 1024**2)
        application.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(
            application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return runner, int(runner.addresses[0][1])

    async def _cut(self) -> None:
        for transport in list(self._transports):
            transport.abort()  # type: ignore[attr-defined]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.transport is not None:
            self._transports.add(request.transport)
        if not self.available:
            return _refusal(503, "ServiceUnavailable", "made by a test")
        if self.forgetful and "watch" in request.query:
            return _refusal(410, "Expired", "made by a test")
        try:
            if "watch" in request.query:
                return await self._watch(request)
            body = await request.read()
            if not _is_write(request):
                self.renewals += request.method != "GET" and is_leader_lease(request.path)
                return await self._pass(request, body)
            return await self._write(request, body)
        except aiohttp.ClientError as error:
            return _refusal(503, "ServiceUnavailable", f"{type(error).__name__}: {error}")
        finally:
            if request.transport is None or request.transport.is_closing():
                self._transports.discard(request.transport)  # type: ignore[arg-type]

    async def _write(self, request: web.Request, body: bytes) -> web.StreamResponse:
        with self._lock:
            write = Write(
                number=len(self.writes) + 1,
                method=request.method,
                path=request.path,
                body=json.loads(body) if body else {},
            )
            self.writes.append(write)
            rule = next((r for r in self._rules if r.times > 0 and r.matches(write)), None)
            if rule is not None:
                rule.times -= 1

        async def forward() -> web.StreamResponse:
            # What a process that died since had not handed over yet is lost.
            if request.transport is None or request.transport.is_closing():
                raise asyncio.CancelledError
            # A request that the API server has begun is not taken back by a client that dies.
            response = await asyncio.shield(self._pass(request, body))
            write.status = response.status
            return response

        if rule is None:
            return await forward()
        return await rule.fault(Exchange(write, request, forward))

    async def _pass(self, request: web.Request, body: bytes) -> web.StreamResponse:
        path, query, kept = self._scoped(request)
        headers = _headers(request)
        if kept is not None:
            headers.pop("Accept-Encoding", None)
        async with self._loop.session.request(
            request.method, self._loop.url + path, params=query, headers=headers, data=body or None
        ) as answer:
            data = await answer.read()
            if kept is not None and answer.status == 200:
                listing = json.loads(data)
                listing["items"] = [item for item in listing["items"] or [] if kept(item)]
                data = json.dumps(listing).encode()
            return web.Response(status=answer.status, body=data, headers=_answer_headers(answer))

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        path, query, _ = self._scoped(request)
        headers = _headers(request)
        headers.pop("Accept-Encoding", None)
        async with self._loop.session.get(
            self._loop.url + path, params=query, headers=headers
        ) as answer:
            response = web.StreamResponse(status=answer.status, headers=_answer_headers(answer))
            await response.prepare(request)
            stream = _Stream()
            self._streams.add(stream)
            pump = asyncio.ensure_future(self._pump(answer, response, stream))
            ended = asyncio.ensure_future(stream.expired.wait())
            try:
                await asyncio.wait({pump, ended}, return_when=asyncio.FIRST_COMPLETED)
                if pump.done():
                    pump.result()
                with contextlib.suppress(ConnectionError):
                    if ended.done():
                        await response.write(EXPIRED)
                    await response.write_eof()
            finally:
                self._streams.discard(stream)
                pump.cancel()
                ended.cancel()
            return response

    async def _pump(
        self, answer: aiohttp.ClientResponse, response: web.StreamResponse, stream: _Stream
    ) -> None:
        """Pass on what comes, until it ends."""
        buffer = b""
        with contextlib.suppress(ConnectionError):
            async for chunk in answer.content.iter_any():
                if stream.stalled:
                    continue
                if self._dropped is None and not buffer and chunk.endswith(b"\n"):
                    await response.write(chunk)
                    continue
                buffer += chunk
                *lines, buffer = buffer.split(b"\n")
                for line in lines:
                    if not (line and self._drops(line)):
                        await response.write(line + b"\n")
        if stream.stalled:
            # The other end is never told that it is over.
            await asyncio.Event().wait()

    def _drops(self, line: bytes) -> bool:
        dropped = self._dropped
        return dropped is not None and dropped(json.loads(line))

    def _scoped(
        self, request: web.Request
    ) -> tuple[str, list[tuple[str, str]], Callable[[Json], bool] | None]:
        """Path and query to ask for, and which of the items the operator is shown."""
        path, query = request.path, list(request.query.items())
        found = _PATH.match(path)
        scope = self._scope
        if scope is None or found is None or request.method != "GET" or found["name"]:
            return path, query, None
        plural, namespace = found["plural"], found["namespace"]
        if plural == "nodes":
            own = f"{LABEL_WORLD}={scope.namespace}"
            before = [value for key, value in query if key == "labelSelector"]
            rest = [(key, value) for key, value in query if key != "labelSelector"]
            return path, [*rest, ("labelSelector", ",".join([*before, own]))], None
        if plural == "leases" and namespace == LOCK_NAMESPACE:
            return path, query, lambda item: _node_of(item) in scope.nodes
        if namespace is None and plural not in CLUSTER_WIDE:
            root = path.removesuffix(f"/{plural}")
            return f"{root}/namespaces/{scope.namespace}/{plural}", query, None
        return path, query, None


def _part(path: str, name: str) -> str:
    found = _PATH.match(path)
    return "" if found is None else found[name] or ""


def _is_write(request: web.Request) -> bool:
    if request.method not in ("POST", "PUT", "PATCH", "DELETE"):
        return False
    return _part(request.path, "plural") not in READS_BY_POST and not is_leader_lease(request.path)


def is_leader_lease(path: str) -> bool:
    """Whether a path is about a Lease that is no lock of a node."""
    return _part(path, "plural") == "leases" and f"/namespaces/{LOCK_NAMESPACE}/" not in f"{path}/"


def _node_of(lease: Json) -> str:
    return str((lease["metadata"].get("annotations") or {}).get(ANNOTATION_TARGET_NODE))


def _headers(request: web.Request) -> dict[str, str]:
    return {key: value for key, value in request.headers.items() if key.lower() not in _SKIPPED}


def _answer_headers(answer: aiohttp.ClientResponse) -> dict[str, str]:
    return {key: value for key, value in answer.headers.items() if key.lower() not in _SKIPPED}


def _refusal(status: int, reason: str, message: str) -> web.Response:
    body = {
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "reason": reason,
        "message": message,
        "code": status,
    }
    return web.json_response(body, status=status)


def _kubeconfig(server: str) -> str:
    name = "fault-proxy"
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": {"server": server}}],
            "users": [{"name": name, "user": {}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        }
    )
