"""Events for `kubectl describe`, in the group events.k8s.io: what repeats is counted."""

from __future__ import annotations

import hashlib
from datetime import datetime

from trainyard.api.meta import Json
from trainyard.cluster import parse
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.errors import AlreadyExists, Conflict, NamespaceEnding, NotFound
from trainyard.cluster.resources import EVENT
from trainyard.decide.actions import Happening
from trainyard.decide.scrub import plain

REPORTER = "trainyard.dev/operator"
LONGEST_NOTE = 1024
"""Bytes that the API takes."""


class Events:
    """Posts events.

    Nothing but an event's series can be changed once it is there: the same words about the same
    object are one event with a count, other words are another event.
    """

    def __init__(self, api: ApiServer, instance: str) -> None:
        self._api, self._instance = api, instance

    def tell(self, raw: Json, happening: Happening, now: datetime) -> None:
        """Post an event about an object, or count it if it was posted within the last hour.

        For so long events are kept. One that is lost on the way is lost: it is for people.
        """
        meta = parse.metadata(raw)
        namespace = meta.get("namespace")
        stamp = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        # Warnings about data have the names of files and classes.
        note = plain(happening.message)
        seed = f"{meta.get('uid')} {happening.warning} {happening.reason} {note}"
        name = f"{meta['name'][:200]}.{hashlib.sha256(seed.encode()).hexdigest()[:16]}"
        body = {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.kind,
            "metadata": {"name": name, "namespace": namespace},
            "eventTime": stamp,
            "reportingController": REPORTER,
            "reportingInstance": self._instance[:128],
            "action": "Reconcile",
            "type": "Warning" if happening.warning else "Normal",
            "reason": happening.reason,
            "note": note.encode()[:LONGEST_NOTE].decode(errors="ignore"),
            "regarding": {
                "apiVersion": raw.get("apiVersion"),
                "kind": raw.get("kind"),
                "name": meta["name"],
                "namespace": namespace,
                "uid": meta.get("uid"),
            },
        }
        try:
            self._api.create(EVENT, body, namespace)
        except AlreadyExists:
            self._count(name, namespace, stamp)
        except NamespaceEnding:
            return

    def _count(self, name: str, namespace: str | None, stamp: str) -> None:
        found = self._api.get(EVENT, name, namespace)
        if found is None:
            return
        series = found.get("series") or {}
        patch = {
            "metadata": {"resourceVersion": parse.metadata(found)["resourceVersion"]},
            "series": {"count": int(series.get("count") or 1) + 1, "lastObservedTime": stamp},
        }
        try:
            self._api.merge_patch(EVENT, name, patch, namespace)
        except (Conflict, NotFound):
            # Another operator counted, or its hour is over.
            return
