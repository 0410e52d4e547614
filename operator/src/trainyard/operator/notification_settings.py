"""The part of the operator's settings that is about notifications."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from trainyard.api._base import Line, Name, StrictModel
from trainyard.api.process import Notifications
from trainyard.notify.mail import sender_of
from trainyard.notify.smtp import Security

_HOST = r"^[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?$"
_DOMAIN = r"^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$"


class RecipientSettings(Notifications):
    """Who is told when a process does not say."""

    model_config = {"extra": "forbid"}


class SmtpSettings(StrictModel):
    """The server that mail is handed to."""

    host: Annotated[str, StringConstraints(max_length=253, pattern=_HOST)]
    """Its name or address."""
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    """Its port."""
    security: Security = Security.STARTTLS
    """`StartTLS` and `TLS` encrypt and check the certificate; without it nothing is sent. `None`
    sends in the clear."""
    sender: Annotated[Line, StringConstraints(max_length=254)]
    """Address that mail comes from, or `Name <address>`."""
    username: Annotated[Line, StringConstraints(max_length=254)] | None = None
    """Name to authenticate with; None: no authentication."""
    password_file: Path | None = None
    """File with the password, of a mounted Secret."""
    ca_file: Path | None = None
    """Certificates that the server's is checked with; None: those of the system."""
    timeout_seconds: Annotated[float, Field(ge=1, le=120)] = 60.0
    """How long a try may take."""

    @field_validator("sender")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        try:
            sender_of(value)
        except ValueError:
            raise ValueError(
                f"{value!r} is no address: write trainyard@example.org, or "
                "Trainyard <trainyard@example.org>"
            ) from None
        return value

    @model_validator(mode="after")
    def _password_is_safe(self) -> Self:
        if (self.username is None) != (self.password_file is None):
            raise ValueError("username and passwordFile belong together: set both or none")
        if self.username is not None and self.security is Security.NONE:
            raise ValueError(
                "security is None and a username is set: a password is not sent in the clear, "
                "use StartTLS or TLS"
            )
        return self


class WebhookSettings(StrictModel):
    """How JSON documents are posted."""

    key_file: Path | None = None
    """File with the secret that signs them, of a mounted Secret; None: they are not signed."""
    ca_file: Path | None = None
    """Certificates that servers' are checked with; None: those of the system."""
    allowed_networks: tuple[str, ...] = ()
    """Networks, as in 10.1.0.0/16, that are not public and may be posted to nevertheless."""
    timeout_seconds: Annotated[float, Field(ge=1, le=120)] = 30.0
    """How long a try may take."""

    @field_validator("allowed_networks")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            try:
                ip_network(text)
            except ValueError as error:
                raise ValueError(f"{text!r} is no network ({error}): write 10.1.0.0/16") from None
        return value


class NotificationSettings(StrictModel):
    """Who is told how runs ended, and how."""

    default: RecipientSettings = RecipientSettings()
    """Who is told when neither the process nor its namespace says."""
    namespaces: dict[Name, RecipientSettings] = {}
    """Who is told when a process of the namespace does not say."""
    smtp: SmtpSettings | None = None
    """The mail server; None: no mail is sent."""
    webhook: WebhookSettings = WebhookSettings()
    """How webhooks are called."""
    allowed_domains: tuple[
        Annotated[str, StringConstraints(max_length=253, pattern=_DOMAIN)], ...
    ] = ()
    """Domains that mail is sent to; empty: any."""
    tries: Annotated[int, Field(ge=1, le=10)] = 5
    """How often a message is tried that a server certainly did not take."""
