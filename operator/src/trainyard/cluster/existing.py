"""The model of an earlier run of the same inputs, listed and verified in the store."""

from __future__ import annotations

import threading
from collections import OrderedDict

from trainyard.api.model import TrainedModel
from trainyard.cluster import parse
from trainyard.cluster.artefacts import ArtefactReader
from trainyard.cluster.cache import Cache
from trainyard.cluster.resources import MODEL
from trainyard.cluster.typed import TypedCache
from trainyard.decide.facts import (
    DecisionSettings,
    ExistingRun,
    ProcessFacts,
    Unavailable,
    VerifiedArtefacts,
)
from trainyard.decide.reuse import candidates, is_what_it_says, wanted_fingerprint

REMEMBERED = 4096
"""Models that were passed over for a process."""


class ExistingRuns:
    """Looks for models by the fingerprint of what they were made of.

    One that is not what it says is read once for each process: who waits for a node is looked at
    at each report of its holder, and whole models would be hashed each time.
    """

    def __init__(
        self,
        cache: Cache,
        typed: TypedCache,
        artefacts: ArtefactReader,
        settings: DecisionSettings,
    ) -> None:
        self._cache, self._typed = cache, typed
        self._artefacts, self._settings = artefacts, settings
        self._lock = threading.Lock()
        self._passed_over: OrderedDict[tuple[str, str], None] = OrderedDict()

    def like(self, facts: ProcessFacts) -> ExistingRun | Unavailable | None:
        """A model of the inputs of the process, if it takes one."""
        fingerprint = wanted_fingerprint(facts)
        if fingerprint is None:
            return None
        unread: Unavailable | None = None
        models = self._models(facts.process.metadata.namespace)
        for model in candidates(models, fingerprint, self._settings):
            pair = (facts.process.metadata.uid, model.metadata.uid)
            if pair in self._passed_over:
                continue
            found = self._artefacts.verify(model.spec.artefacts.location, None)
            if isinstance(found, Unavailable):
                unread = found
            elif isinstance(found, VerifiedArtefacts) and is_what_it_says(
                model, found, fingerprint
            ):
                return ExistingRun(model.metadata.name, found)
            else:
                self._pass_over(pair)
        return unread

    def _pass_over(self, pair: tuple[str, str]) -> None:
        with self._lock:
            self._passed_over[pair] = None
            if len(self._passed_over) > REMEMBERED:
                self._passed_over.popitem(last=False)

    def _models(self, namespace: str) -> list[TrainedModel]:
        found = []
        for raw in self._cache.all(MODEL):
            if parse.metadata(raw).get("namespace") == namespace:
                try:
                    model = self._typed(MODEL, TrainedModel, parse.key_of(raw))
                except parse.UnreadableObject:
                    continue
                if model is not None:
                    found.append(model)
        return found
