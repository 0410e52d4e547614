"""People are told how runs end, by real servers, through real kills of the real operator."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.trainer import ACCURACY
from support.waiting import eventually
from support.world import World
from tests.unit.notify.mail_servers import Inbox, serving, talking
from tests.unit.notify.receivers import Receiver, receiving

from trainyard.cluster.resources import PROCESS

TEAM = "team@example.org"
KEY = b"a shared secret"
KILLS = 4
PROCESSES = 12


@dataclass
class Outside:
    """Servers that the operator knows."""

    world: World
    inbox: Inbox
    receiver: Receiver
    hook: str


@pytest.fixture
def outside(world: World, tmp_path: Path) -> Iterator[Outside]:
    inbox, receiver = Inbox(), Receiver()
    key = tmp_path / "key"
    key.write_bytes(KEY)
    operator = world.operator
    with serving(inbox) as mail_port, receiving(receiver) as hook_port:
        operator.stop()
        operator.settings["notifications"] = {
            "smtp": {
                "host": "127.0.0.1",
                "port": mail_port,
                "security": "None",
                "sender": "Trainyard <trainyard@example.org>",
            },
            "webhook": {"keyFile": str(key), "allowedNetworks": ["127.0.0.0/8"]},
            "allowedDomains": ["example.org"],
        }
        operator.start()
        yield Outside(world, inbox, receiver, f"http://127.0.0.1:{hook_port}/SECRET-PATH")
        operator.stop()
        del operator.settings["notifications"]
        operator.start()


def records(world: World, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.status(name).get("notifications", [])
    return found


def told(world: World, name: str) -> list[dict[str, Any]] | None:
    """The records of a process, once nothing is left to do about them."""
    found = records(world, name)
    over = all(item["state"] in ("Sent", "Failed") for item in found)
    return found if found and over else None


def test_a_run_that_succeeds_is_told_by_mail_and_webhook(outside: Outside) -> None:
    world = outside.world
    world.inputs()
    world.process("cats", notifications={"email": [TEAM], "webhooks": [outside.hook]})
    world.succeeds("cats")
    found = eventually("everybody being told", lambda: told(world, "cats"))
    assert [(item["channel"], item["recipient"], item["state"]) for item in found] == [
        ("Email", TEAM, "Sent"),
        ("Webhook", outside.hook.removesuffix("/SECRET-PATH"), "Sent"),
    ]
    (mail,) = outside.inbox.mails
    assert mail["Subject"] == f"{world.namespace}/cats: Succeeded (TrainingSucceeded)"
    text = mail.get_body(("plain",))
    assert text is not None and str(ACCURACY) in text.get_content()
    ((path, headers, body),) = outside.receiver.received
    assert path == "/SECRET-PATH"
    signed = headers["trainyard-timestamp"].encode() + b"." + body
    expected = hmac.new(KEY, signed, hashlib.sha256).hexdigest()
    assert headers["trainyard-signature"] == f"sha256={expected}"
    document = json.loads(body)
    assert (document["phase"], document["model"]) == ("Succeeded", "cats")
    assert "SECRET-PATH" not in json.dumps(world.status("cats"))
    assert "SECRET-PATH" not in world.operator.log()


def test_a_process_that_cannot_run_is_told_with_its_cause_while_another_domain_is_not(
    outside: Outside,
) -> None:
    world = outside.world
    world.capability()
    world.template(engine="yolo-det")
    world.process("cats", notifications={"email": [TEAM, "spy@elsewhere.net"]})
    sentence = world.fails("cats", "ValidationFailed")
    mine, other = eventually("everybody being told", lambda: told(world, "cats"))
    assert (mine["state"], other["state"]) == ("Sent", "Failed")
    assert "elsewhere.net is not among" in other["message"]
    (mail,) = outside.inbox.mails
    text = mail.get_body(("plain",))
    assert text is not None
    assert " ".join(sentence.split()) in " ".join(text.get_content().split())


def test_a_mail_that_is_being_sent_when_the_operator_is_asked_to_end_is_recorded(
    outside: Outside,
) -> None:
    world, inbox = outside.world, outside.inbox
    inbox.wait_seconds = 1.0
    world.capability()
    world.template(engine="yolo-det")
    world.process("cats", notifications={"email": [TEAM]})
    eventually("the mail being sent", lambda: inbox.busy == 1, every=0.02)
    assert world.operator.terminate() == 0
    (record,) = records(world, "cats")
    assert record["state"] == "Sent"
    assert len(inbox.received) == 1
    world.operator.start()


def test_killed_again_and_again_the_operator_tells_nobody_twice(outside: Outside) -> None:
    world, inbox = outside.world, outside.inbox
    seed = random.randrange(1_000_000)
    chance = random.Random(seed)
    # Time to be killed in the middle of it.
    inbox.wait_seconds = 0.2
    world.capability()
    world.template(engine="yolo-det")
    names = [f"p{number}" for number in range(PROCESSES)]
    for life in range(KILLS + 1):
        for name in names[life :: KILLS + 1]:
            people = {"email": [f"{name}-{one}@example.org" for one in "abc"]}
            world.process(name, notifications=people)
        if life < KILLS:
            time.sleep(chance.uniform(0.5, 3))
            world.operator.kill()
            world.operator.start()
    for name in names:
        world.wait_phase(PROCESS, name, "Failed")
    # What was cut off stays as it is for ten minutes; everything else comes to its end.
    last = names[KILLS :: KILLS + 1]
    eventually(
        "those being told whom nothing disturbs",
        lambda: (
            all(told(world, name) for name in last)
            and not any(
                item["state"] == "Pending" for name in names for item in records(world, name)
            )
        ),
        within=60,
    )
    eventually("the server being idle", lambda: inbox.busy == 0)
    received = Counter(envelope.rcpt_tos[0] for envelope in inbox.received)
    found = [item for name in names for item in records(world, name)]
    assert len(found) == 3 * PROCESSES
    assert max(received.values()) == 1, f"seed {seed}"
    for item in found:
        if item["state"] == "Sent":
            assert received[item["recipient"]] == 1, f"seed {seed}: {item}"
    assert all(item["state"] == "Sent" for name in last for item in records(world, name))


def test_a_mail_server_that_hangs_keeps_no_run_waiting(world: World) -> None:
    def hang(connection: socket.socket) -> None:
        connection.recv(1)

    operator = world.operator
    with talking(hang) as port:
        operator.stop()
        operator.settings["notifications"] = {
            "default": {"email": [f"p{number}@example.org" for number in range(50)]},
            "smtp": {
                "host": "127.0.0.1",
                "port": port,
                "security": "None",
                "sender": "trainyard@example.org",
            },
        }
        operator.start()
        try:
            world.ready_inputs()
            world.process("first")
            world.process("second")
            world.succeeds("first")
            world.succeeds("second")
            states = Counter(item["state"] for item in records(world, "first"))
            assert states["Sending"] > 0
            assert states["Sent"] == 0
        finally:
            begun = time.monotonic()
            operator.stop()
            assert time.monotonic() - begun < 15
            del operator.settings["notifications"]
            operator.start()
