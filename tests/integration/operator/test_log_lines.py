"""What the real operator prints, each line read as a program would."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.trainer import fails, progress_of, send
from support.waiting import eventually
from support.world import World
from tests.unit.notify.mail_servers import Inbox, serving

from trainyard.cluster.resources import PROCESS, ResourceType

Line = dict[str, Any]
Lines = Callable[[], list[Line]]
QUOTA = ResourceType("", "v1", "resourcequotas", "ResourceQuota")


@pytest.fixture
def lines(world: World) -> Iterator[Lines]:
    """All that an operator of its own, which is to lead and to send mail, has printed as JSON."""
    operator = world.operator
    operator.stop()
    begin = len(operator.log())
    before = dict(operator.settings)
    inbox = Inbox()
    inbox.answer = lambda _: "550 no such user"
    with serving(inbox) as port:
        smtp = {"host": "127.0.0.1", "port": port, "security": "None", "sender": "t@example.org"}
        operator.settings |= {
            "log": {"format": "JSON", "level": "DEBUG"},
            "leaderElection": {"leaseSeconds": 4, "renewSeconds": 3, "retrySeconds": 0.3},
            "notifications": {"smtp": smtp, "tries": 1},
        }
        operator.start()
        yield lambda: [json.loads(line) for line in operator.log()[begin:].splitlines()]
        operator.stop()
    operator.settings.clear()
    operator.settings |= before
    operator.start()


def about(lines: list[Line], kind: str, **fields: str) -> list[str]:
    """Messages of the lines about an object."""
    wanted = {"kind": kind, **fields}.items()
    return [line["message"] for line in lines if wanted <= line.items()]


def test_each_line_is_json_names_its_object_and_holds_no_secret(world: World, lines: Lines) -> None:
    world.ready_inputs()
    world.kubelet.script(world.namespace, "dogs", fails(137, oom_killed=True))
    hold = world.process("cats", held=True, notifications={"email": ["nobody@example.org"]})
    assert hold.started.wait(60)
    world.wait_phase(PROCESS, "cats", "Running")
    assert hold.run is not None
    token = hold.run.token()
    other = progress_of(hold.run.run_file(), 1, 4).model_copy(update={"attempt": 7})
    assert send(world.operator.url, other, token).status_code == 403
    assert send(world.operator.url, other, "x.y.z").status_code == 401
    hold.let_go.set()
    world.succeeds("cats")
    world.process("dogs")
    world.fails("dogs", "OutOfMemory")
    world.wait_released()
    eventually(
        "the end of the mail",
        lambda: [item["state"] for item in world.status("cats")["notifications"]] == ["Failed"],
    )
    world.operator.terminate()

    found = lines()
    for line in found:
        assert {"time", "level", "logger", "message"} <= line.keys(), line
        # Whatever is said about something in the namespace names it, not only in words.
        if world.namespace in line["message"]:
            assert line.keys() >= {"kind", "name"}, line
    assert found[0]["message"].startswith("the operator ")
    raw = world.get(PROCESS, "cats")
    assert raw is not None
    cats = {
        "namespace": world.namespace,
        "name": "cats",
        "uid": raw["metadata"]["uid"],
        "node": world.node,
    }
    told = about(found, "TrainingProcess", **cats)
    assert any(message.endswith(" (Succeeded)") for message in told), told
    # From the thread that sends mail.
    assert any(message.startswith("nobody@example.org was not told") for message in told), told
    dogs = about(found, "TrainingProcess", namespace=world.namespace, name="dogs")
    assert any("killed for its memory limit" in message for message in dogs), dogs
    released = about(found, "Node", name=world.node, node=world.node)
    assert any(message.startswith("lock released: ") for message in released), released
    lease = about(found, "Lease", namespace="trainyard-system", name="trainyard-leader")
    assert "leading" in lease, lease
    assert lease[-1] == "no longer leading, standing by"
    pod = hold.run.pod["metadata"]
    refused = about(found, "Pod", name=pod["name"], namespace=world.namespace, uid=pod["uid"])
    assert refused == ["report refused: the report is about something else than the pod"]
    assert "report from 127.0.0.1 refused: the token is not valid here" in {
        line["message"] for line in found
    }
    text = json.dumps(found)
    for secret in (world.account.secret_key, token):
        assert secret not in text


def test_an_api_server_that_refuses_is_told_with_the_object_and_the_error(
    world: World, lines: Lines
) -> None:
    world.ready_inputs()
    body = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "no-jobs"},
        "spec": {"hard": {"count/jobs.batch": "0"}},
    }
    world.api.create(QUOTA, body, world.namespace)
    eventually("the quota in force", lambda: world.status("no-jobs", QUOTA).get("hard"))
    world.process("cats")

    def refused() -> Line | None:
        return next(
            (
                line
                for line in lines()
                if line.get("name") == "cats" and line["level"] == "WARNING" and "error" in line
            ),
            None,
        )

    line = eventually("a line about it", refused)
    assert line["error"].startswith("Forbidden: "), line
    assert line["message"].startswith("the pass is repeated: "), line
