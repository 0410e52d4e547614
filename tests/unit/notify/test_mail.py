"""Mail as a real server received it, parsed again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from email.message import EmailMessage
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.unit.builders import LOCATION, NOW, UID
from tests.unit.notify.ended import TEAM, ended, message
from tests.unit.notify.mail_servers import Inbox, serving
from trainyard.decide.outbox import Delivered
from trainyard.notify.content import Notification, notification
from trainyard.notify.links import StoreAccess
from trainyard.notify.mail import mail
from trainyard.notify.smtp import MailServer, Security, hand_over

SENDER = '"Trainyard, Köln" <trainyard@example.org>'
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
TOLD = {"email": [TEAM]}
EXTERNAL = "https://files.example.org/browse/"


def said(*, good: bool = True, external: str | None = None) -> Notification:
    return notification(message(ended(good=good, notifications=TOLD)), StoreAccess(external))


def received(content: Notification, curves: bytes | None = None) -> EmailMessage:
    """The mail, through a real server and back."""
    inbox = Inbox()
    with serving(inbox) as port:
        server = MailServer("127.0.0.1", port, Security.NONE, SENDER)
        made = mail(content, SENDER, TEAM, NOW, curves)
        assert asyncio.run(hand_over(server, made)) == Delivered()
    (found,) = inbox.mails
    return found


def body(found: EmailMessage, kind: str) -> str:
    part = found.get_body((kind,))
    assert part is not None
    text = part.get_content()
    assert isinstance(text, str)
    return text


class Seen(HTMLParser):
    """What a reader of HTML sees: text, pictures, links, tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.pictures, self.links = "", [""], [""]
        self.tags: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        values = dict(attrs)
        if tag == "img":
            self.pictures.append(values.get("src") or "")
        if tag == "a":
            self.links.append(values.get("href") or "")

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_headers_say_what_happened_to_what_and_that_a_machine_wrote() -> None:
    found = received(said())
    assert found["Subject"] == "demo/digits: Succeeded (TrainingSucceeded)"
    assert str(found["From"]) == '"Trainyard, Köln" <trainyard@example.org>'
    assert found["To"] == TEAM
    assert found["Auto-Submitted"] == "auto-generated"
    assert found["Message-ID"].strip().startswith(f"<{UID}-Succeeded-")
    assert found["Date"].datetime == NOW
    assert found.get_content_type() == "multipart/alternative"


@pytest.mark.parametrize("kind", ["plain", "html"])
def test_success_tells_results_of_dev_and_test_and_the_model(kind: str) -> None:
    text = body(received(said()), kind)
    shown = Seen(text).text if kind == "html" else text
    for expected in ("Result on test", "0.9375", "Result on dev", "0.95", "top-5", "gpu-1"):
        assert expected in shown
    assert shown.index("Result on test") < shown.index("Result on dev")
    assert "Model" in shown and "digits" in shown


def test_the_picture_of_the_curves_is_in_the_mail_and_shown_in_its_html() -> None:
    found = received(said(), PNG)
    pictures = [part for part in found.walk() if part.get_content_type() == "image/png"]
    assert [part.get_content() for part in pictures] == [PNG]
    (source,) = [item for item in Seen(body(found, "html")).pictures if item]
    assert pictures[0]["Content-ID"] == f"<{source.removeprefix('cid:')}>"
    assert Seen(body(received(said()), "html")).pictures == [""]


def test_with_an_external_url_there_are_links_to_metrics_and_model() -> None:
    content = said(external=EXTERNAL)
    folder = LOCATION.removeprefix("s3://")
    wanted = [
        f"https://files.example.org/browse/{folder}/{name}"
        for name in ("metrics.json", "model.zip", "train.log")
    ]
    found = received(content)
    assert Seen(body(found, "html")).links[1:] == wanted
    for link in wanted:
        assert link in body(found, "plain")
    assert "models download" not in body(found, "plain")


def test_without_an_external_url_there_are_the_commands_to_type() -> None:
    found = received(said())
    shown = Seen(body(found, "html"))
    assert shown.links == [""]
    for text in (shown.text, body(found, "plain")):
        assert (
            "kubectl get trainingprocess digits --namespace demo --output "
            "'jsonpath={.status.evaluation}'"
        ) in text
        assert f"aws s3 cp {LOCATION}/train.log ." in text
        assert "trainyard models download digits --namespace demo" in text
        assert "kubectl describe trainingprocess digits --namespace demo" in text


def test_the_command_that_copies_names_an_endpoint_that_is_not_the_providers() -> None:
    access = StoreAccess(endpoint_url="http://store:9000")
    content = notification(message(ended(notifications=TOLD)), access)
    assert content.places[-1].command == (
        f"aws s3 cp {LOCATION}/train.log . --endpoint-url http://store:9000"
    )


def test_failure_tells_cause_remedy_and_the_end_of_the_log() -> None:
    found = received(said(good=False))
    assert found["Subject"] == "demo/digits: Failed (GPUOutOfMemory)"
    for text in (Seen(body(found, "html")).text, body(found, "plain")):
        assert "the GPU's memory did not suffice: use a smaller batchSize" in text
        assert "RuntimeError: <b>CUDA out of memory</b> in a & b\n.\nlast line" in text.replace(
            "\r\n", "\n"
        )
        assert "Result on" not in text


def test_nothing_that_a_run_says_becomes_html() -> None:
    process = ended(good=False, notifications=TOLD).process
    told = process.status.attempts[-1].model_copy(
        update={"log_tail": '<script>alert(1)</script><img src="http://evil.example.net/x">'}
    )
    status = process.status.model_copy(update={"attempts": (told,)})
    base = message(ended(good=False, notifications=TOLD))
    content = notification(
        replace(base, process=process.model_copy(update={"status": status})), StoreAccess()
    )
    shown = Seen(body(received(content), "html"))
    assert "script" not in shown.tags and shown.pictures == [""]
    assert "<script>alert(1)</script>" in shown.text


@pytest.mark.parametrize("address", ["a@b.org\r\nBcc: c@d.org", "a@b.org\nX: y", "a@b.org\x00"])
def test_a_recipient_with_a_line_break_gives_no_mail(address: str) -> None:
    with pytest.raises(ValueError, match="cannot stand in the header"):
        mail(said(), SENDER, address, NOW)


@pytest.mark.parametrize("address", [".a@b.org", "a..b@c.org", "a.@b.org"])
def test_an_address_that_the_schema_takes_and_mail_does_not_gives_no_mail(address: str) -> None:
    with pytest.raises(ValueError, match="local-part"):
        mail(said(), SENDER, address, NOW)


def test_a_reason_with_a_line_break_gives_no_mail() -> None:
    content = said().model_copy(update={"reason": "Good\r\nBcc: c@d.org"})
    with pytest.raises(ValueError, match="cannot stand in the header"):
        mail(content, SENDER, TEAM, NOW)


def test_what_is_named_like_a_credential_is_not_told() -> None:
    known = ended(good=False, notifications=TOLD).process
    last = known.status.attempts[-1].model_copy(
        update={"log_tail": "AWS_SECRET_ACCESS_KEY=canary1 s3://user:canary2@host/x"}
    )
    conditions = tuple(
        item.model_copy(update={"message": "token: canary3 was refused"})
        for item in known.status.conditions
    )
    status = known.status.model_copy(update={"attempts": (last,), "conditions": conditions})
    base = message(ended(good=False, notifications=TOLD))
    content = notification(replace(base, process=known.model_copy(update={"status": status})), None)
    assert "canary" not in received(content).as_string()
    assert "canary" not in str(content)


def test_what_colours_a_terminal_or_reorders_text_is_not_told() -> None:
    known = ended(good=False, notifications=TOLD).process
    said_ = "\x1b[31mgpj.\u202etac\x1b[0m\x00 is no image"
    last = known.status.attempts[-1].model_copy(update={"log_tail": said_})
    conditions = tuple(
        item.model_copy(update={"message": said_}) for item in known.status.conditions
    )
    status = known.status.model_copy(update={"attempts": (last,), "conditions": conditions})
    base = message(ended(good=False, notifications=TOLD))
    content = notification(
        replace(base, process=known.model_copy(update={"status": status})), StoreAccess()
    )
    assert content.message == content.log_tail == "gpj.tac is no image"


def test_a_server_that_takes_seven_bits_only_can_take_it() -> None:
    content = said(good=False).model_copy(update={"message": "Köln: 猫"})
    assert mail(content, SENDER, TEAM, NOW, PNG).as_bytes().isascii()
    assert "Köln: 猫" in body(received(content), "plain")


def test_every_line_is_short_enough_for_any_server() -> None:
    content = said(good=False).model_copy(update={"log_tail": "x" * 2048, "message": "é" * 900})
    lines = mail(content, SENDER, TEAM, NOW, PNG).as_bytes().split(b"\r\n")
    assert max(map(len, lines)) <= 998
    assert not any(b"\n" in line for line in lines)


def test_the_text_reads_as_it_is_meant_to(request: pytest.FixtureRequest) -> None:
    for good in (True, False):
        golden = Path(__file__).parent / "golden" / f"{'good' if good else 'bad'}.txt"
        text = body(received(said(good=good)), "plain").replace("\r\n", "\n")
        if request.config.getoption("--update-golden"):
            golden.parent.mkdir(exist_ok=True)
            golden.write_text(text, encoding="utf-8")
        assert text == golden.read_text(encoding="utf-8")
