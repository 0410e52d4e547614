"""What the watches said last, by type and key. Replaced by our own LISTs at resync."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable

from trainyard.api.meta import Json
from trainyard.cluster.parse import key_of, metadata
from trainyard.cluster.resources import ResourceType

REMEMBERED_GONE = 4096
"""UIDs of deleted objects that are remembered: far more than are deleted within one request."""


class Cache:
    """Objects by type and `namespace/name`; safe to use from several threads.

    An object never goes back to an older version: events that were delayed or repeated are
    recognised by their resourceVersion, which is ordered for one type. A deleted object never
    comes back: the answer to a write of our own, or a LIST, may be handed in after the event of
    its deletion, and a process that is gone must not stand in a queue.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._objects: dict[ResourceType, dict[str, Json]] = {}
        self._gone: OrderedDict[str, int] = OrderedDict()

    def put(self, type_: ResourceType, raw: Json) -> Json | None:
        """Take over an object unless a newer one is there; gives the one it replaced."""
        key = key_of(raw)
        with self._lock:
            objects = self._objects.setdefault(type_, {})
            old = objects.get(key)
            if self._is_gone(raw):
                return old
            if old is not None and _version(old) > _version(raw):
                return old
            objects[key] = raw
            return old

    def drop(self, type_: ResourceType, raw: Json) -> None:
        """Forget a deleted object, unless one of the same name has come since."""
        key = key_of(raw)
        with self._lock:
            objects = self._objects.setdefault(type_, {})
            old = objects.get(key)
            if old is not None and _uid(old) == _uid(raw):
                del objects[key]
            if _uid(raw):
                self._gone[_uid(raw)] = _version(raw)
                if len(self._gone) > REMEMBERED_GONE:
                    self._gone.popitem(last=False)

    def replace(self, type_: ResourceType, items: Iterable[Json], version: int) -> set[str]:
        """Take over a LIST; gives the keys that appeared, changed or vanished.

        Objects that are newer than the LIST, whose resourceVersion is `version`, stay.
        """
        with self._lock:
            fresh = {key_of(item): item for item in items if not self._is_gone(item)}
            old = self._objects.get(type_, {})
            for key, known in old.items():
                if _version(known) > max(version, _version(fresh.get(key, {}))):
                    fresh[key] = known
            self._objects[type_] = fresh
        return {
            key
            for key in old.keys() | fresh.keys()
            if key not in old or key not in fresh or _version(old[key]) != _version(fresh[key])
        }

    def _is_gone(self, raw: Json) -> bool:
        # An object that lost its label is deleted for a watch that selects by it; when it gets
        # the label back, it is newer than its deletion.
        gone = self._gone.get(_uid(raw))
        return gone is not None and _version(raw) <= gone

    def get(self, type_: ResourceType, key: str) -> Json | None:
        """The object, or None."""
        with self._lock:
            return self._objects.get(type_, {}).get(key)

    def all(self, type_: ResourceType) -> list[Json]:
        """All objects of a type."""
        with self._lock:
            return list(self._objects.get(type_, {}).values())


def _uid(raw: Json) -> str:
    return str(metadata(raw).get("uid") or "")


def _version(raw: Json) -> int:
    text = str(metadata(raw).get("resourceVersion") or "0")
    return int(text) if text.isdigit() else 0
