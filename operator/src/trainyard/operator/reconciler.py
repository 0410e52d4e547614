"""One pass over one key: gather, decide, apply."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from trainyard.api.capability import Capability
from trainyard.api.meta import Json
from trainyard.api.process import TrainingProcess
from trainyard.api.process_status import TrainingProcessStatus
from trainyard.api.template import TrainingTemplate
from trainyard.cluster.apply import Applier
from trainyard.cluster.cache import Cache
from trainyard.cluster.errors import ApiError, Forbidden, Invalid, NamespaceEnding, NotFound
from trainyard.cluster.gather import Gatherer
from trainyard.cluster.lock import NodeLock, Refused
from trainyard.cluster.parse import UnreadableObject
from trainyard.cluster.resources import CAPABILITY, DATASET, PROCESS, TEMPLATE
from trainyard.decide.actions import CreateModel, CreateTrainingJob, Decision, StartJob
from trainyard.decide.dataset import decide_dataset
from trainyard.decide.events import happenings
from trainyard.decide.facts import ProcessFacts
from trainyard.decide.model import decide_model
from trainyard.decide.outbox import Message
from trainyard.decide.process import decide_process, when_not_created, when_refused
from trainyard.decide.simple import decide_capability, decide_template
from trainyard.operator.keys import BY_KIND, NODE_LOCK, Key, waiting_for_node

log = logging.getLogger(__name__)

Clock = Callable[[], datetime]
Wake = Callable[[set[Key]], None]
"""Called with keys to work on soon; safe from any thread."""
Written = Callable[[TrainingProcess, TrainingProcessStatus, Sequence[Message]], None]
"""Called with a process as it was read, the status that it was given, and the messages that whoever
wrote it is to send."""
RETRY_REFUSED_SECONDS = 5.0


class Reconciler:
    """Decides about a key from what is true now; keeps nothing from one pass to the next."""

    def __init__(
        self,
        gatherer: Gatherer,
        applier: Applier,
        lock: NodeLock,
        cache: Cache,
        clock: Clock,
        wake: Wake,
        written: Written = lambda *_: None,
    ) -> None:
        self._gatherer = gatherer
        self._applier = applier
        self._lock = lock
        self._cache = cache
        self._clock = clock
        self._wake = wake
        self._written = written
        self._turns: dict[str, threading.Lock] = defaultdict(threading.Lock)

    def reconcile(self, key: Key) -> float | None:
        """Do what is to be done about `key`.

        Returns
        -------
        Seconds after which to look again although nothing happens, or None.

        Raises
        ------
        ApiError
            If the API server refuses or does not answer; the pass is to be repeated.
        """
        if key.kind == NODE_LOCK:
            tended = self._lock.tend(key.key, self._clock())
            if tended.quarantined:
                log.warning("quarantined: %s", tended.quarantined)
            if tended.released:
                log.info("lock released: %s", tended.released)
            if tended.quarantined or tended.released:
                # Locks are not watched: who waits for the node is told here.
                self._wake(waiting_for_node(key.key, self._cache))
            return tended.look_again_seconds
        raw = self._cache.get(BY_KIND[key.kind], key.key)
        if raw is None:
            return None
        now = self._clock()
        try:
            if key.kind == PROCESS.kind:
                # One process of a node at a time, so that the next one sees what was decided
                # about this one. For fairness only: what keeps two off a node is the lock.
                with self._turns[str((raw.get("spec") or {}).get("targetNode"))]:
                    # Read again: it may have changed while this pass waited for its turn.
                    newest = self._cache.get(PROCESS, key.key)
                    if newest is None:
                        return None
                    return self._process(key.key, newest, self._clock())
            decision = self._decide(key, now)
        except UnreadableObject as error:
            log.warning("cannot be read: %s", error)
            return None
        if decision is None:
            return None
        for action in decision.actions:
            self._applier.act(action, raw["metadata"]["namespace"])
        return self._finish(key, raw, decision, now)

    def _decide(self, key: Key, now: datetime) -> Decision[Any] | None:
        gather = self._gatherer
        if key.kind == DATASET.kind:
            facts = gather.dataset(key.key)
            return None if facts is None else decide_dataset(facts, now)
        if key.kind == CAPABILITY.kind:
            capability = gather.typed(CAPABILITY, Capability, key.key)
            return None if capability is None else decide_capability(capability, now)
        if key.kind == TEMPLATE.kind:
            template = gather.typed(TEMPLATE, TrainingTemplate, key.key)
            return None if template is None else decide_template(template, now)
        known = gather.model(key.key)
        return None if known is None else decide_model(known, now)

    def _process(self, key: str, raw: Json, now: datetime) -> float | None:
        facts = self._gatherer.process(key)
        if facts is None:
            return None
        decision = decide_process(facts, now)
        status, refused = decision.status, None
        for action in decision.actions:
            try:
                refused = self._applier.act(action, facts.process.metadata.namespace)
            except (Forbidden, Invalid, NotFound) as error:
                match action:
                    case CreateTrainingJob():
                        return self._not_created(facts, decision.status, raw, error, now)
                    case StartJob():
                        refused = Refused(f"the API server refuses to start the Job: {error}")
                    case CreateModel() if isinstance(error, NamespaceEnding):
                        # The namespace would take the model with it. The end of the run goes on
                        # record all the same: its pod, and so the namespace, waits for that.
                        status = status.model_copy(update={"model": None})
                    case _:
                        raise
        if isinstance(refused, Refused):
            log.info("not started: %s", refused.message)
            status = when_refused(facts.process, status, refused.message, now)
        events = happenings(facts.process.status, status)
        again = self._finish(
            Key(PROCESS.kind, key),
            raw,
            replace(decision, status=status, events=events),
            now,
            lambda: self._written(facts.process, status, decision.messages),
        )
        return RETRY_REFUSED_SECONDS if refused is not None else again

    def _not_created(
        self,
        facts: ProcessFacts,
        decided: TrainingProcessStatus,
        raw: Json,
        error: ApiError,
        now: datetime,
    ) -> float | None:
        status = when_not_created(facts.process, decided, str(error), now)
        events = happenings(facts.process.status, status)
        self._finish(Key(PROCESS.kind, facts.process.key), raw, Decision(status, (), events), now)
        raise error

    def _finish(
        self,
        key: Key,
        raw: Json,
        decision: Decision[Any],
        now: datetime,
        written: Callable[[], None] = lambda: None,
    ) -> float | None:
        if self._applier.write_status(BY_KIND[key.kind], raw, decision.status):
            written()
            for happening in decision.events:
                log.info("%s (%s)", happening.message, happening.reason)
                self._applier.tell(raw, happening, now)
        if decision.look_again_at is None:
            return None
        return max(0.0, (decision.look_again_at - now).total_seconds())
