"""Cached objects as their API types."""

from __future__ import annotations

import threading
from typing import TypeVar

from trainyard.api.meta import Resource
from trainyard.cluster import parse
from trainyard.cluster.cache import Cache
from trainyard.cluster.resources import ResourceType

R = TypeVar("R", bound=Resource)


class TypedCache:
    """Parses each object once for each version of it; safe to use from several threads."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._known: dict[tuple[str, str], tuple[str, Resource]] = {}
        self._lock = threading.Lock()

    def __call__(self, type_: ResourceType, model: type[R], key: str) -> R | None:
        """The object, or None.

        Raises
        ------
        UnreadableObject
            If it is not of the type.
        """
        raw = self._cache.get(type_, key)
        if raw is None:
            with self._lock:
                self._known.pop((type_.plural, key), None)
            return None
        version = str(parse.metadata(raw).get("resourceVersion"))
        with self._lock:
            known = self._known.get((type_.plural, key))
        if known is not None and known[0] == version and isinstance(known[1], model):
            return known[1]
        made = parse.typed(model, raw)
        with self._lock:
            self._known[type_.plural, key] = (version, made)
        return made
