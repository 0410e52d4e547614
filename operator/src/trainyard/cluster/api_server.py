"""A thin, typed door to the API server: JSON in, JSON out, errors translated."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.watch.watch import iter_resp_lines

from trainyard.api.meta import Json
from trainyard.cluster.errors import ApiError, NotFound, Unavailable, translate
from trainyard.cluster.resources import ResourceType

CONNECT_TIMEOUT_SECONDS = 5.0
READ_TIMEOUT_SECONDS = 30.0
WATCH_SECONDS = 240
"""After this long the API server ends a watch."""
SILENCE_SECONDS = 90.0
"""A watch without a word for this long is taken for lost: bookmarks come every minute."""
PAGE = 500
"""Objects a page of a LIST."""

FOREGROUND = "Foreground"
BACKGROUND = "Background"


Query = list[tuple[str, str]]


@dataclass(frozen=True)
class Listing:
    """The answer to a LIST."""

    items: tuple[Json, ...]
    version: int
    """resourceVersion that the LIST shows."""


@dataclass(frozen=True)
class Change:
    """What a watch saw happen.

    Attributes
    ----------
    kind
        `ADDED`, `MODIFIED` or `DELETED`.
    object
        As it is since then, or was last.
    """

    kind: str
    object: Json


class ApiServer:
    """Requests to one API server.

    Every request has a finite time-out. LISTs are at quorum: they carry no resourceVersion.
    Objects are plain JSON values; `trainyard.cluster.parse` makes facts of them.
    """

    def __init__(self, api_client: client.ApiClient) -> None:
        self._client = api_client

    def get(self, type_: ResourceType, name: str, namespace: str | None = None) -> Json | None:
        """The object, or None."""
        try:
            return self._request("GET", type_.path(namespace, name))
        except NotFound:
            return None

    def list(
        self,
        type_: ResourceType,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> Listing:
        """All objects, of one namespace or of the cluster, with kind and apiVersion filled in."""
        items: list[Json] = []
        token: str | None = None
        while True:
            query: Query = [("limit", str(PAGE))]
            if label_selector:
                query.append(("labelSelector", label_selector))
            if field_selector:
                query.append(("fieldSelector", field_selector))
            if token:
                query.append(("continue", token))
            page = self._request("GET", type_.path(namespace), query=query)
            for item in page.get("items") or []:
                item.setdefault("kind", type_.kind)
                item.setdefault("apiVersion", type_.api_version)
                items.append(item)
            token = page.get("metadata", {}).get("continue")
            if not token:
                version = str(page.get("metadata", {}).get("resourceVersion") or "0")
                return Listing(tuple(items), int(version) if version.isdigit() else 0)

    def watch(
        self, type_: ResourceType, name: str, namespace: str | None, version: int
    ) -> Iterator[Change]:
        """What happens to one object after a LIST, until the API server ends the watch.

        Parameters
        ----------
        version
            That of the LIST.

        Raises
        ------
        Unavailable
            If the connection is lost or the version is too old by now: list again.
        """
        query: Query = [
            ("watch", "1"),
            ("fieldSelector", f"metadata.name={name}"),
            ("resourceVersion", str(version)),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", str(WATCH_SECONDS)),
        ]
        path = type_.path(namespace)
        response = self._open("GET", path, query=query, silence_seconds=SILENCE_SECONDS)
        if response.status >= 400:
            raise _refusal(response)
        with closing(response.response) as stream:
            try:
                for line in iter_resp_lines(stream):
                    event = _parse(line.encode())
                    kind, item = event.get("type"), event.get("object") or {}
                    if kind == "ERROR":
                        message = str(item.get("message") or item)
                        raise translate(int(item.get("code") or 0), "", message)
                    if kind in ("ADDED", "MODIFIED", "DELETED"):
                        yield Change(kind, item)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise _no_answer("GET", path, error) from None

    def create(self, type_: ResourceType, body: Json, namespace: str | None = None) -> Json:
        """Create an object; raises AlreadyExists if one of that name is there."""
        return self._request("POST", type_.path(namespace), body=body)

    def replace(self, type_: ResourceType, body: Json) -> Json:
        """Update an object; raises Conflict unless its resourceVersion is the newest."""
        meta = body["metadata"]
        return self._request("PUT", type_.path(meta.get("namespace"), meta["name"]), body=body)

    def merge_patch(
        self,
        type_: ResourceType,
        name: str,
        patch: Json,
        namespace: str | None = None,
        *,
        subresource: str | None = None,
    ) -> Json:
        """Apply a JSON merge patch; with a resourceVersion in it a stale one raises Conflict."""
        return self._request(
            "PATCH",
            type_.path(namespace, name, subresource),
            body=patch,
            content_type="application/merge-patch+json",
        )

    def delete(
        self,
        type_: ResourceType,
        name: str,
        namespace: str | None = None,
        *,
        uid: str,
        resource_version: str | None = None,
        propagation: str = BACKGROUND,
        grace_period_seconds: int | None = None,
    ) -> None:
        """Delete exactly the object that was read; nothing happens if it is gone.

        The propagation policy is always named: a Job deleted without one leaves its pod running.

        Parameters
        ----------
        grace_period_seconds
            0 takes a pod out of the API without waiting for its kubelet; None: the pod's own.

        Raises
        ------
        Conflict
            If another object has that name now, or its resourceVersion is another.
        """
        preconditions = {"uid": uid}
        if resource_version is not None:
            preconditions["resourceVersion"] = resource_version
        body: Json = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": propagation,
            "preconditions": preconditions,
        }
        if grace_period_seconds is not None:
            body["gracePeriodSeconds"] = grace_period_seconds
        try:
            self._request("DELETE", type_.path(namespace, name), body=body)
        except NotFound:
            return

    def _request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Json | None = None,
        content_type: str = "application/json",
    ) -> Json:
        response = self._open(method, path, query=query, body=body, content_type=content_type)
        try:
            response.read()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _no_answer(method, path, error) from None
        if response.status >= 400:
            raise _refusal(response)
        return _parse(response.data)

    def _open(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Json | None = None,
        content_type: str = "application/json",
        silence_seconds: float = READ_TIMEOUT_SECONDS,
    ) -> client.rest.RESTResponse:
        """Send a request; the answer's body is still to be read."""
        headers = {"Accept": "application/json", "Content-Type": content_type}
        try:
            prepared = self._client.param_serialize(
                method,
                path,
                query_params=query or [],
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
            )
            return self._client.call_api(
                *prepared, _request_timeout=(CONNECT_TIMEOUT_SECONDS, silence_seconds)
            )
        except ApiException as error:
            raise translate(error.status or 0, "", str(error.reason)) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _no_answer(method, path, error) from None


def _no_answer(method: str, path: str, error: Exception) -> Unavailable:
    return Unavailable(f"{method} {path}: {type(error).__name__}: {error}")


def _refusal(response: client.rest.RESTResponse) -> ApiError:
    data = _parse(response.read())
    message = str(data.get("message") or response.reason)
    causes = (data.get("details") or {}).get("causes") or []
    return translate(
        response.status,
        str(data.get("reason", "")),
        message,
        {str(cause.get("reason")) for cause in causes},
    )


def _parse(data: bytes | None) -> Json:
    try:
        parsed: Any = json.loads(data or b"{}")
    except ValueError:
        text = (data or b"").decode("utf-8", "replace")
        return {"message": text[:500]}
    return parsed if isinstance(parsed, dict) else {"message": str(parsed)[:500]}


def connect(kubeconfig: str | None = None, *, connections: int = 16) -> ApiServer:
    """An ApiServer for this pod's service account, or for a kubeconfig file.

    Parameters
    ----------
    kubeconfig
        Path of a file; None: the service account if there is one, else the default file.
    connections
        Size of the connection pool: at least the number of threads that use it.
    """
    settings = client.Configuration()
    if kubeconfig is not None:
        config.load_kube_config(kubeconfig, client_configuration=settings)
    else:
        try:
            config.load_incluster_config(client_configuration=settings)
        except config.ConfigException:
            config.load_kube_config(client_configuration=settings)
    settings.connection_pool_maxsize = connections
    settings.retries = False
    return ApiServer(client.ApiClient(settings))
