"""Makes the message for one recipient and sends it, once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

from trainyard.api.process_status import ArtefactRef, NotificationChannel
from trainyard.decide.outbox import Message, NotDelivered, Outcome
from trainyard.notify.content import Notification, notification
from trainyard.notify.links import StoreAccess
from trainyard.notify.mail import mail
from trainyard.notify.smtp import MailServer, hand_over
from trainyard.notify.webhook import WebhookRules, post

PICTURE_SECONDS = 30.0
"""A store that takes longer has the mail go without the picture."""

Picture = Callable[[ArtefactRef], bytes | None]
"""Reads a picture from the store; None if it cannot be had. Called in a thread."""


@dataclass(frozen=True)
class PostOffice:
    """Everything that sending needs.

    Attributes
    ----------
    mail_server
        None: no mail is sent.
    access
        How those who are told come to the files.
    """

    mail_server: MailServer | None
    webhooks: WebhookRules
    access: StoreAccess
    picture: Picture
    clock: Callable[[], datetime]
    _pool: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(4, thread_name_prefix="notify-read")
    )

    async def send(self, message: Message) -> Outcome:
        """Try a message once."""
        said = notification(message, self.access)
        if message.recipient.channel is NotificationChannel.WEBHOOK:
            return await post(self.webhooks, message.recipient.address, said, self.clock())
        return await self._mail(message, said)

    async def _mail(self, message: Message, said: Notification) -> Outcome:
        server = self.mail_server
        if server is None:
            return NotDelivered("the operator has no mail server", again=False)
        curves = await self._curves(message)
        try:
            made = mail(said, server.sender, message.recipient.address, self.clock(), curves)
        except ValueError as error:
            return NotDelivered(f"no mail can be made of it: {error}", again=False)
        return await hand_over(server, made)

    async def _curves(self, message: Message) -> bytes | None:
        artefacts = message.process.status.artefacts
        if artefacts is None or artefacts.curves is None:
            return None
        reading = asyncio.get_running_loop().run_in_executor(
            self._pool, self.picture, artefacts.curves
        )
        try:
            return await asyncio.wait_for(reading, PICTURE_SECONDS)
        except TimeoutError:
            return None
