"""Sends messages, one try each, in a thread of its own: no server keeps a run waiting."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from trainyard.api.process import TrainingProcess
from trainyard.api.process_status import NotificationState, TrainingProcessStatus
from trainyard.decide.outbox import Deliveries, Message, NotDelivered, Outcome, Unknown

log = logging.getLogger(__name__)

AT_ONCE = 16
"""Messages that are being sent at the same time; the others wait in status."""
PATIENCE_SECONDS = 240.0
"""A try that takes longer is ended; less than what makes a record count as cut off."""
REMEMBERED = 10_000
"""Outcomes that nobody asked for: their processes are gone."""
STOP_SECONDS = 2.0

Send = Callable[[Message], Awaitable[Outcome]]
Done = Callable[[TrainingProcess], None]
_Try = tuple[str, str, int]
"""UID of the process, id of the record, number of the try."""


class Dispatcher:
    """Tries messages, and remembers what came of them until it is on record.

    Parameters
    ----------
    send
        Tries one message, in this dispatcher's event loop.
    done
        Called, in its thread, with a process when the outcome of a try can be recorded.
    """

    def __init__(self, send: Send, done: Done) -> None:
        self._send, self._done = send, done
        self._lock = threading.Lock()
        self._settled = threading.Condition(self._lock)
        self._closed = False
        self._running: set[_Try] = set()
        self._outcomes: OrderedDict[_Try, Outcome] = OrderedDict()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="notify", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def finish(self, seconds: float) -> None:
        """Take no more, and wait so long for what is being sent."""
        with self._settled:
            self._closed = True
            self._settled.wait_for(lambda: not self._running, seconds)

    def unrecorded(self) -> set[str]:
        """The UIDs of processes about which there are outcomes that are not on record."""
        with self._lock:
            return {uid for uid, *_ in self._outcomes}

    def stop(self) -> None:
        """Stop; what is being sent is cut off."""
        if not self._thread.is_alive():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_SECONDS)

    def deliveries(self, uid: str) -> Deliveries:
        """What came of the messages about a process, and how many more can be sent now."""
        with self._lock:
            return Deliveries(
                free=0 if self._closed else max(0, AT_ONCE - len(self._running)),
                outcomes={
                    (id_, attempt): outcome
                    for (of, id_, attempt), outcome in self._outcomes.items()
                    if of == uid
                },
            )

    def hand_over(self, message: Message) -> None:
        """Try a message once; safe from any thread."""
        key = (message.process.metadata.uid, message.id, message.attempt)
        with self._lock:
            self._running.add(key)
        asyncio.run_coroutine_threadsafe(self._try(key, message), self._loop)

    def recorded(self, uid: str, status: TrainingProcessStatus) -> None:
        """Forget the outcomes that are on record in the status of the process with this UID."""
        sending = {
            (uid, record.id, record.tries)
            for record in status.notifications
            if record.state is NotificationState.SENDING
        }
        with self._lock:
            for key in [key for key in self._outcomes if key[0] == uid and key not in sending]:
                del self._outcomes[key]

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        cut_off = asyncio.all_tasks(self._loop)
        for task in cut_off:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*cut_off, return_exceptions=True))
        self._loop.close()

    async def _try(self, key: _Try, message: Message) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                outcome = await self._send(message)
        except TimeoutError:
            outcome = Unknown("it was tried for too long; it is not sent twice")
        except Exception:
            log.exception("a message failed")
            outcome = Unknown("a fault of the operator: see its log; it is not sent twice")
        if isinstance(outcome, NotDelivered | Unknown):
            log.warning(
                "%s was not told (try %d): %s",
                message.recipient.shown,
                message.attempt,
                outcome.message,
            )
        with self._lock:
            self._running.discard(key)
            self._outcomes[key] = outcome
            while len(self._outcomes) > REMEMBERED:
                self._outcomes.popitem(last=False)
            self._settled.notify_all()
        self._done(message.process)
