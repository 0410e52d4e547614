"""Every event of a resource type, one after the other, in a thread of its own."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from typing import Any

import urllib3
from kubernetes import client, config

from trainyard.cluster.resources import ResourceType

Json = dict[str, Any]
OnEvent = Callable[[str, Json], None]
"""Called with ADDED, MODIFIED or DELETED and the object."""
RECONNECT_SECONDS = 240


class Watch:
    """Follows all objects of one type from a LIST on; events come in order, none is left out.

    What the callback raises ends the watch and is kept in `failure`.
    """

    def __init__(self, kubeconfig: str, type_: ResourceType, on_event: OnEvent) -> None:
        settings = client.Configuration()
        config.load_kube_config(kubeconfig, client_configuration=settings)
        self._client = client.ApiClient(settings)
        self._type = type_
        self._on_event = on_event
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch-{type_.plural}", daemon=True)
        self._response: Any = None
        self.failure: BaseException | None = None

    def start(self) -> Watch:
        """Begin; what is there already comes as ADDED."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End, and close the connection: an API server that ends waits for open watches."""
        self._stopping.set()
        connection = getattr(self._response, "connection", None)
        if connection is not None and connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        version, known = "", dict[str, Json]()
        while not self._stopping.is_set():
            try:
                if not version:
                    version, known = self._list(known)
                version = self._follow(version, known)
            except (urllib3.exceptions.HTTPError, OSError, ValueError):
                version = ""
                self._stopping.wait(0.2)
            except BaseException as error:
                self.failure = error
                raise

    def _list(self, before: dict[str, Json]) -> tuple[str, dict[str, Json]]:
        data = json.loads(self._request([]).data)
        now = {item["metadata"]["uid"]: item for item in data["items"]}
        for uid, item in before.items():
            if uid not in now:
                self._on_event("DELETED", item)
        for item in now.values():
            self._on_event("ADDED", item)
        return data["metadata"]["resourceVersion"], now

    def _follow(self, version: str, known: dict[str, Json]) -> str:
        query = [
            ("watch", "1"),
            ("resourceVersion", version),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", str(RECONNECT_SECONDS)),
        ]
        self._response = response = self._request(query, stream=True)
        with contextlib.closing(response):
            buffer = b""
            for chunk in response.stream(amt=None, decode_content=True):
                buffer += chunk
                *lines, buffer = buffer.split(b"\n")
                for line in filter(None, lines):
                    if self._stopping.is_set():
                        return version
                    version = self._take(json.loads(line), known)
        return version

    def _take(self, event: Json, known: dict[str, Json]) -> str:
        kind, item = event["type"], event["object"]
        if kind == "ERROR":
            raise ValueError(f"the watch has to start again: {item}")
        meta = item["metadata"]
        if kind == "DELETED":
            known.pop(meta["uid"], None)
        elif kind != "BOOKMARK":
            known[meta["uid"]] = item
        if kind != "BOOKMARK":
            self._on_event(kind, item)
        return str(meta["resourceVersion"])

    def _request(self, query: list[tuple[str, str]], *, stream: bool = False) -> Any:
        prepared = self._client.param_serialize(
            "GET",
            self._type.path(),
            query_params=query,
            header_params={"Accept": "application/json"},
        )
        response = self._client.call_api(*prepared, _request_timeout=(5, RECONNECT_SECONDS + 30))
        if not stream:
            response.read()
            return response
        return response.response
