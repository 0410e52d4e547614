"""Notifications as the operator runs them: from its settings to a dispatcher and its metrics."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from datetime import datetime

from trainyard.api.process import TrainingProcess
from trainyard.api.process_status import ArtefactRef, NotificationState, TrainingProcessStatus
from trainyard.decide.outbox import Deliveries, Message
from trainyard.notify.dispatcher import Dispatcher
from trainyard.notify.links import StoreAccess
from trainyard.notify.post import PostOffice
from trainyard.operator.metrics import Metrics
from trainyard.operator.settings import Settings
from trainyard.operator.wiring import mail_server, webhook_rules
from trainyard.stores import Store, StoreError

log = logging.getLogger(__name__)

LARGEST_PICTURE = 2 * 2**20
"""Bytes of a picture that is put into a mail."""
FINISH_SECONDS = 5.0
"""What is being sent when the operator is asked to end has so long."""
ENDED = (NotificationState.SENT, NotificationState.FAILED)


class Notifier:
    """Sends what is on record, and says what came of it."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        metrics: Metrics,
        clock: Callable[[], datetime],
        done: Callable[[TrainingProcess], None],
    ) -> None:
        self._store, self._metrics = store, metrics
        office = PostOffice(
            mail_server=mail_server(settings),
            webhooks=webhook_rules(settings),
            access=StoreAccess(settings.external_url, settings.store.endpoint_url),
            picture=self._picture,
            clock=clock,
        )
        self._dispatcher = Dispatcher(office.send, done)

    def start(self) -> None:
        """Begin to send."""
        self._dispatcher.start()

    def finish(self) -> set[str]:
        """Take no more; the UIDs of processes whose messages were sent since they were written."""
        self._dispatcher.finish(FINISH_SECONDS)
        return self._dispatcher.unrecorded()

    def stop(self) -> None:
        """Stop; what is being sent is cut off."""
        self._dispatcher.stop()

    def deliveries(self, uid: str) -> Deliveries:
        """What came of the messages about a process."""
        return self._dispatcher.deliveries(uid)

    def written(
        self, process: TrainingProcess, status: TrainingProcessStatus, messages: Sequence[Message]
    ) -> None:
        """The status of `process`, as it was read, was replaced: messages on record may be sent."""
        for message in messages:
            self._dispatcher.hand_over(message)
        before = {record.id: record.state for record in process.status.notifications}
        for record in status.notifications:
            if record.state in ENDED and before.get(record.id) is not record.state:
                self._metrics.notified(record.channel, record.state)
        if before:
            self._dispatcher.recorded(process.metadata.uid, status)

    def _picture(self, ref: ArtefactRef) -> bytes | None:
        try:
            data = self._store.read_bytes(ref.uri, LARGEST_PICTURE)
        except StoreError as error:
            log.warning("a mail goes without its picture: %s", error)
            return None
        return data if hashlib.sha256(data).hexdigest() == ref.sha256 else None
