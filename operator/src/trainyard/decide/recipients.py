"""Who is told how a run ended: the process's own choice, else its namespace's, else the default."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from trainyard.api.process import TrainingProcess
from trainyard.api.process_status import NotificationChannel, ProcessPhase


@dataclass(frozen=True)
class Recipients:
    """E-mail addresses and URLs."""

    email: tuple[str, ...] = ()
    webhooks: tuple[str, ...] = ()


@dataclass(frozen=True)
class NotificationRules:
    """What the operator's settings say about notifications."""

    default: Recipients = Recipients()
    namespaces: Mapping[str, Recipients] = field(default_factory=dict)
    """Recipients of namespaces that have their own default."""
    mail: bool = False
    """Whether there is a mail server."""
    allowed_domains: frozenset[str] = frozenset()
    """Domains that mail is sent to, in lower case; empty: any."""
    tries: int = 5
    """How often a message is tried that a server certainly did not take."""


@dataclass(frozen=True)
class Recipient:
    """One of those who are told."""

    channel: NotificationChannel
    address: str
    """E-mail address or URL."""

    @property
    def shown(self) -> str:
        """What may stand in status and logs: of a URL scheme and host, the rest may be secret."""
        if self.channel is NotificationChannel.EMAIL:
            return self.address
        try:
            parts = urlsplit(self.address)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            return "a URL that cannot be read"
        host = f"[{host}]" if ":" in host else host
        return f"{parts.scheme}://{host}" + (f":{port}" if port is not None else "")

    def id(self, phase: ProcessPhase) -> str:
        """What identifies the message that tells this recipient of the transition to `phase`."""
        digest = hashlib.sha256(f"{self.channel} {self.address}".encode()).hexdigest()
        return f"{phase}-{digest[:16]}"


def recipients_of(process: TrainingProcess, rules: NotificationRules) -> tuple[Recipient, ...]:
    """Those who are told how a process ended, each once."""
    own = process.spec.notifications
    chosen = rules.namespaces.get(process.metadata.namespace, rules.default)
    if own is not None:
        chosen = Recipients(own.email, own.webhooks)
    mail = (Recipient(NotificationChannel.EMAIL, item) for item in chosen.email)
    hooks = (Recipient(NotificationChannel.WEBHOOK, item) for item in chosen.webhooks)
    return tuple(dict.fromkeys((*mail, *hooks)))


def refusal(recipient: Recipient, rules: NotificationRules) -> str | None:
    """Why nothing is sent to this recipient, in a sentence; None if it may be tried."""
    if not recipient.address.isprintable() or " " in recipient.address:
        return "the address has spaces, line breaks or control characters: write it anew"
    if recipient.channel is not NotificationChannel.EMAIL:
        return None
    if not rules.mail:
        return "the operator has no mail server: set notifications.smtp in its settings"
    domain = recipient.address.rpartition("@")[2].lower()
    if rules.allowed_domains and domain not in rules.allowed_domains:
        return (
            f"the domain {domain} is not among notifications.allowedDomains of the operator's "
            "settings"
        )
    return None
