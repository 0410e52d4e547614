"""Who is told how a run ended."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.builders import process
from trainyard.api.process_status import NotificationChannel, ProcessPhase
from trainyard.decide.recipients import (
    NotificationRules,
    Recipient,
    Recipients,
    recipients_of,
    refusal,
)

RULES = NotificationRules(
    default=Recipients(email=("all@example.org",)),
    namespaces={"demo": Recipients(webhooks=("https://hooks.example.org/demo",))},
    mail=True,
)
MAIL, HOOK = NotificationChannel.EMAIL, NotificationChannel.WEBHOOK


def told(rules: NotificationRules, **spec: object) -> list[str]:
    return [item.address for item in recipients_of(process(**spec), rules)]


def test_the_process_is_asked_first_then_its_namespace_then_the_operator() -> None:
    own = {"email": ["me@example.org"], "webhooks": ["https://a.example.org/x"]}
    assert told(RULES, notifications=own) == ["me@example.org", "https://a.example.org/x"]
    assert told(RULES) == ["https://hooks.example.org/demo"]
    assert told(replace(RULES, namespaces={})) == ["all@example.org"]


def test_a_process_with_empty_notifications_tells_nobody() -> None:
    assert told(RULES, notifications={}) == []


def test_a_recipient_that_is_named_twice_is_told_once() -> None:
    rules = replace(RULES, namespaces={}, default=Recipients(email=("a@b.c", "a@b.c")))
    assert told(rules) == ["a@b.c"]


def test_ids_differ_by_recipient_channel_and_transition() -> None:
    one, other = Recipient(MAIL, "a@b.c"), Recipient(MAIL, "a@b.d")
    found = {
        one.id(ProcessPhase.SUCCEEDED),
        one.id(ProcessPhase.FAILED),
        other.id(ProcessPhase.SUCCEEDED),
        Recipient(HOOK, "a@b.c").id(ProcessPhase.SUCCEEDED),
    }
    assert len(found) == 4
    assert one.id(ProcessPhase.FAILED) == Recipient(MAIL, "a@b.c").id(ProcessPhase.FAILED)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://hooks.example.org/services/T0/SECRET?token=x", "https://hooks.example.org"),
        ("https://user:secret@h.example.org:8443/x", "https://h.example.org:8443"),
        ("http://[2001:db8::1]:80/secret", "http://[2001:db8::1]:80"),
        ("https://[broken/secret", "a URL that cannot be read"),
        ("https://h.example.org:99999/secret", "a URL that cannot be read"),
    ],
)
def test_of_a_url_only_scheme_and_host_are_shown(url: str, shown: str) -> None:
    assert Recipient(HOOK, url).shown == shown


def test_a_domain_that_is_not_allowed_is_refused_whatever_its_case() -> None:
    rules = replace(RULES, allowed_domains=frozenset({"example.org"}))
    assert refusal(Recipient(MAIL, "a@Example.ORG"), rules) is None
    for address in ("a@example.com", "a@sub.example.org", "a@example.org.evil.net"):
        assert refusal(Recipient(MAIL, address), rules) is not None, address
    assert refusal(Recipient(MAIL, "a@example.com"), rules) == (
        "the domain example.com is not among notifications.allowedDomains of the operator's "
        "settings"
    )
    assert refusal(Recipient(HOOK, "https://example.com"), rules) is None


@pytest.mark.parametrize("end", ["\r\nBcc: c@d.org", "\n", "\x00", "\u2028x", " x@y.z", "\u202e"])
@pytest.mark.parametrize("channel", list(NotificationChannel))
def test_line_breaks_and_controls_in_an_address_are_refused(
    channel: NotificationChannel, end: str
) -> None:
    found = refusal(Recipient(channel, f"a@b.org{end}"), RULES)
    assert found is not None and "line breaks" in found


def test_without_a_mail_server_mail_is_refused_by_name_of_the_setting() -> None:
    found = refusal(Recipient(MAIL, "a@b.org"), replace(RULES, mail=False))
    assert found == "the operator has no mail server: set notifications.smtp in its settings"
