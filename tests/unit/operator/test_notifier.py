"""From the settings to a mail in an inbox, with the picture out of a real store."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from tests.unit.builders import NOW, UID, after
from tests.unit.labelled import BUCKET
from tests.unit.notify.ended import TEAM, ended
from tests.unit.notify.mail_servers import Inbox, serving
from tests.unit.operator.test_metrics import metrics_of, scraped
from trainyard.api.process import TrainingProcess
from trainyard.api.process_status import ArtefactRef
from trainyard.decide.after_end import after_end
from trainyard.decide.facts import ProcessFacts
from trainyard.operator.metrics import Metrics
from trainyard.operator.notifier import LARGEST_PICTURE, Notifier
from trainyard.operator.settings import parse_settings
from trainyard.stores import Store

PNG = b"\x89PNG\r\n\x1a\n" + b"curves" * 1000
Made = tuple[Notifier, Metrics, Inbox]


@pytest.fixture
def made(store: Store) -> Iterator[Made]:
    inbox, metrics = Inbox(), metrics_of()
    with serving(inbox) as port:
        smtp = f"{{host: 127.0.0.1, port: {port}, security: None, sender: t@example.org}}"
        settings = parse_settings(
            f"store: {{bucket: {BUCKET}}}\ntrainer: {{image: trainer:1}}\n"
            f"notifications: {{smtp: {smtp}}}\n"
        )
        done: list[TrainingProcess] = []
        notifier = Notifier(settings, store, metrics, lambda: NOW, done.append)
        notifier.start()
        yield notifier, metrics, inbox
        notifier.stop()


def with_curves(uri: str, sha256: str) -> ProcessFacts:
    """A process that has ended and whose picture lies at `uri`."""
    known = ended(notifications={"email": [TEAM]})
    process = known.process
    assert process.status.artefacts is not None
    ref = ArtefactRef(uri=uri, sha256=sha256, size_bytes=len(PNG))
    artefacts = process.status.artefacts.model_copy(update={"curves": ref})
    status = process.status.model_copy(update={"artefacts": artefacts})
    return replace(known, process=process.model_copy(update={"status": status}))


def sent(notifier: Notifier, known: ProcessFacts) -> None:
    """The passes of the operator, until nothing is left to do."""
    for second in range(1000):
        known = replace(known, deliveries=notifier.deliveries(UID))
        decision = after_end(known, after(70 + second))
        before = known.process
        known = replace(known, process=before.model_copy(update={"status": decision.status}))
        notifier.written(before, decision.status, decision.messages)
        if decision.look_again_at is None:
            return
        time.sleep(0.02)
    raise AssertionError(known.process.status.notifications)


def pictures(inbox: Inbox) -> list[bytes]:
    (mail,) = inbox.mails
    return [part.get_content() for part in mail.walk() if part.get_content_type() == "image/png"]


def test_the_curves_come_out_of_the_store(made: Made, store: Store, prefix: str) -> None:
    notifier, metrics, inbox = made
    uri = f"s3://{BUCKET}/{prefix}/curves.png"
    store.write_bytes(uri, PNG)
    sent(notifier, with_curves(uri, hashlib.sha256(PNG).hexdigest()))
    assert pictures(inbox) == [PNG]
    assert notifier.deliveries(UID).outcomes == {}
    samples = scraped(metrics)
    assert samples['trainyard_notifications_total{channel="Email",state="Sent"}'] == 1
    assert samples['trainyard_notifications_total{channel="Email",state="Failed"}'] == 0


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(lambda: None, id="it is not there"),
        pytest.param(lambda: b"another picture", id="it is another one"),
        pytest.param(lambda: bytes(LARGEST_PICTURE + 1), id="it is huge"),
    ],
)
def test_without_its_picture_a_mail_goes_all_the_same(
    made: Made, store: Store, prefix: str, data: Callable[[], bytes | None]
) -> None:
    notifier, _, inbox = made
    uri, stored = f"s3://{BUCKET}/{prefix}/curves.png", data()
    if stored is not None:
        store.write_bytes(uri, stored)
    wanted = PNG if stored is None or len(stored) < LARGEST_PICTURE else stored
    sent(notifier, with_curves(uri, hashlib.sha256(wanted).hexdigest()))
    assert pictures(inbox) == []
