"""The mail about the end of a run: text and HTML, with the learning curves in it."""

from __future__ import annotations

from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, getaddresses
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from trainyard.notify.content import Notification

# Not every server takes bytes above 127.
_SEVEN_BITS = SMTP.clone(cte_type="7bit")
CURVES = "curves"
"""Content-ID of the picture, without the domain."""


def _moment(at: datetime | None) -> str:
    return "" if at is None else at.astimezone(UTC).strftime("%a %d %b %Y %H:%M UTC")


_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=select_autoescape(("html.j2",)),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters["moment"] = _moment


def sender_of(text: str) -> Address:
    """The one address of who sends, `address` or `Name <address>`.

    Raises
    ------
    ValueError
        If it is none, or more than one, or cannot stand in a header.
    """
    found = getaddresses([text])
    if len(found) != 1 or not text.isprintable():
        raise ValueError("it is not one address")
    name, address = found[0]
    try:
        made = Address(display_name=name, addr_spec=address)
    except HeaderParseError as error:
        raise ValueError(str(error)) from None
    if not (made.username and made.domain and address.isascii()):
        raise ValueError("it has no name or no domain, or letters that are not ASCII")
    return made


def mail(
    said: Notification, sender: str, recipient: str, now: datetime, curves: bytes | None = None
) -> EmailMessage:
    """The whole message.

    Parameters
    ----------
    said
        What there is to say.
    sender
        Address, or `Name <address>`.
    recipient
        One address.
    curves
        The picture of the learning curves, a PNG file.

    Raises
    ------
    ValueError
        If a header would have a line break.
    """
    subject = f"{said.process.namespace}/{said.process.name}: {said.phase}"
    if said.reason:
        subject += f" ({said.reason})"
    for header in (subject, sender, recipient, said.id):
        if not header.isprintable():
            raise ValueError(f"{header!r} cannot stand in the header of a mail")
    origin = sender_of(sender)
    domain = origin.domain
    made = EmailMessage(policy=_SEVEN_BITS)
    made["Subject"] = subject
    made["From"] = origin
    made["To"] = Address(addr_spec=recipient)
    made["Date"] = format_datetime(now)
    # The same for each try, so that a mail that comes twice all the same is known for one.
    made["Message-ID"] = f"<{said.id}@{domain}>"
    # Nobody's holiday notice is wanted.
    made["Auto-Submitted"] = "auto-generated"
    values = {"said": said, "curves": f"cid:{CURVES}@{domain}" if curves is not None else None}
    made.set_content(_templates.get_template("mail.txt.j2").render(values))
    made.add_alternative(_templates.get_template("mail.html.j2").render(values), subtype="html")
    if curves is not None:
        html = made.get_body(("html",))
        if html is not None:
            html.add_related(
                curves, "image", "png", cid=f"<{CURVES}@{domain}>", filename="curves.png"
            )
    return made
