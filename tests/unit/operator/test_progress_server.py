"""The progress service: who is believed about what, and what everybody else is told."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from tests.unit.builders import DATASET_UID, UID, report
from tests.unit.cluster.fake_api import Answer, FakeApi, serving
from trainyard.api.report import ProgressReport
from trainyard.cluster.cache import Cache
from trainyard.cluster.resources import JOB, POD
from trainyard.operator.keys import Key
from trainyard.operator.progress_server import ProgressService

LIMIT = 4096
GOOD = report().report
SNAPSHOT = GOOD.model_copy(update={"kind": "snapshot", "uid": DATASET_UID, "attempt": 1})
AUTH = {"Authorization": "Bearer good"}


def cluster() -> Cache:
    """A training's pod, a snapshot's pod and a pod of another Job."""
    cache = Cache()
    marks = {
        "tp": (
            UID,
            {
                "trainyard.dev/process": "digits",
                "trainyard.dev/process-uid": UID,
                "trainyard.dev/attempt": "1",
            },
        ),
        "tds": (DATASET_UID, {"trainyard.dev/dataset": "train"}),
        "other": ("x", {}),
    }
    for name, (owner, labels) in marks.items():
        cache.put(
            JOB,
            {
                "metadata": {
                    "namespace": "demo",
                    "name": name,
                    "uid": f"job-{name}",
                    "resourceVersion": "1",
                    "labels": labels,
                    "ownerReferences": [{"controller": True, "uid": owner}],
                }
            },
        )
        cache.put(
            POD,
            {
                "metadata": {
                    "namespace": "demo",
                    "name": f"pod-{name}",
                    "uid": f"uid-{name}",
                    "resourceVersion": "1",
                    "labels": labels,
                    "ownerReferences": [{"controller": True, "uid": f"job-{name}"}],
                }
            },
        )
    return cache


def token_of(name: str, *, uid: str | None = None) -> Answer:
    """The API server's review of a token that was issued to a pod."""
    prefix = "authentication.kubernetes.io"
    extra = {f"{prefix}/pod-name": [f"pod-{name}"], f"{prefix}/pod-uid": [uid or f"uid-{name}"]}
    status = {
        "authenticated": True,
        "audiences": ["trainyard-progress"],
        "user": {"username": "system:serviceaccount:demo:default", "extra": extra},
    }
    return Answer(201, json.dumps({"status": status}).encode())


INVALID = Answer(201, json.dumps({"status": {"authenticated": False}}).encode())
Heard = list[tuple[ProgressReport, Key]]


def post(
    *requests: tuple[bytes, dict[str, str]], answers: list[Answer]
) -> tuple[list[tuple[int, str]], Heard, FakeApi]:
    """Send requests to the service; gives the answers, and what was handed on."""
    fake, heard = FakeApi(answers=list(answers)), Heard()

    async def main() -> list[tuple[int, str]]:
        service = ProgressService(
            door, cluster(), lambda told, key: heard.append((told, key)), LIMIT
        )
        async with TestClient(TestServer(service.application())) as client:
            said = []
            for body, headers in requests:
                response = await client.post("/v1/progress", data=body, headers=headers)
                said.append((response.status, await response.text()))
            return said

    with serving(fake) as door:
        return asyncio.run(main()), heard, fake


def body_of(told: ProgressReport, **changes: Any) -> bytes:
    return json.dumps({**told.to_wire(), **changes}).encode()


def test_report_of_a_training_pod_is_handed_on() -> None:
    said, heard, _ = post((body_of(GOOD), AUTH), answers=[token_of("tp")])
    assert said == [(204, "")]
    assert heard == [(GOOD, Key("TrainingProcess", "demo/digits"))]


def test_report_of_a_snapshot_pod_is_handed_on() -> None:
    said, heard, _ = post((body_of(SNAPSHOT), AUTH), answers=[token_of("tds")])
    assert said == [(204, "")]
    assert heard == [(SNAPSHOT, Key("Dataset", "demo/train"))]


REFUSED: dict[str, tuple[bytes, dict[str, str], list[Answer], int, str]] = {
    "no token": (body_of(GOOD), {}, [], 401, "a bearer token is required"),
    "another scheme": (
        body_of(GOOD),
        {"Authorization": "Basic x"},
        [],
        401,
        "a bearer token is required",
    ),
    "an empty token": (
        body_of(GOOD),
        {"Authorization": "Bearer "},
        [],
        401,
        "a bearer token is required",
    ),
    "a token that is not valid": (
        body_of(GOOD),
        AUTH,
        [INVALID],
        401,
        "the token is not valid here",
    ),
    "the token of a pod of another Job": (
        body_of(GOOD),
        AUTH,
        [token_of("other")],
        403,
        "the pod is not one of ours",
    ),
    "the token of a pod that is not known": (
        body_of(GOOD),
        AUTH,
        [token_of("gone")],
        403,
        "the pod is not one of ours",
    ),
    "the token of an earlier pod of the same name": (
        body_of(GOOD),
        AUTH,
        [token_of("tp", uid="older")],
        403,
        "the pod is not one of ours",
    ),
    "a report about another process": (
        body_of(GOOD, uid="another"),
        AUTH,
        [token_of("tp")],
        403,
        "the report is about something else than the pod",
    ),
    "a report about another attempt": (
        body_of(GOOD, attempt=2),
        AUTH,
        [token_of("tp")],
        403,
        "the report is about something else than the pod",
    ),
    "a training's report from a snapshot's pod": (
        body_of(GOOD),
        AUTH,
        [token_of("tds")],
        403,
        "the report is about something else than the pod",
    ),
    "what is no JSON": (b"{", AUTH, [token_of("tp")], 422, "not a report: "),
    "an unknown field": (
        body_of(GOOD, surprise=1),
        AUTH,
        [token_of("tp")],
        422,
        "not a report: ",
    ),
    "a percentage over 100": (
        body_of(GOOD, percent=101),
        AUTH,
        [token_of("tp")],
        422,
        "not a report: ",
    ),
    "an API server that cannot say": (
        body_of(GOOD),
        AUTH,
        [Answer(500, b"{}")],
        503,
        "the token cannot be reviewed now",
    ),
}


@pytest.mark.parametrize(
    ("body", "headers", "answers", "status", "message"), REFUSED.values(), ids=REFUSED
)
def test_refused(
    body: bytes, headers: dict[str, str], answers: list[Answer], status: int, message: str
) -> None:
    ((found, text),), heard, _ = post((body, headers), answers=answers)
    assert (found, heard) == (status, [])
    assert json.loads(text)["message"].startswith(message)


def test_body_over_the_limit_is_refused_before_anybody_is_asked() -> None:
    ((status, _),), heard, fake = post((b"x" * (LIMIT + 1), AUTH), answers=[])
    assert (status, heard, fake.requests) == (413, [], [])


def test_token_is_reviewed_once_for_many_reports() -> None:
    request = (body_of(GOOD), AUTH)
    said, heard, fake = post(request, request, request, answers=[token_of("tp")])
    assert [status for status, _ in said] == [204, 204, 204]
    assert (len(heard), len(fake.requests)) == (3, 1)


def test_another_token_is_reviewed_for_itself() -> None:
    other = (body_of(GOOD), {"Authorization": "Bearer bad"})
    said, heard, _ = post((body_of(GOOD), AUTH), other, answers=[token_of("tp"), INVALID])
    assert [status for status, _ in said] == [204, 401]
    assert len(heard) == 1


def test_answer_never_repeats_the_token() -> None:
    secret = {"Authorization": "Bearer canary-7f3a"}
    for answer in (INVALID, token_of("other"), Answer(500, b"{}")):
        ((_, text),), _, _ = post((body_of(GOOD), secret), answers=[answer])
        assert "canary" not in text


def test_standby_refuses_reports_and_closes_the_connection() -> None:
    fake, heard = FakeApi(), Heard()

    async def main() -> tuple[int, str, str | None]:
        service = ProgressService(
            door, cluster(), lambda told, key: heard.append((told, key)), LIMIT, lambda: False
        )
        async with TestClient(TestServer(service.application())) as client:
            response = await client.post("/v1/progress", data=body_of(GOOD), headers=AUTH)
            connection = response.headers.get("Connection")
            return response.status, await response.text(), connection

    with serving(fake) as door:
        status, text, connection = asyncio.run(main())
    assert (status, connection) == (503, "close")
    assert json.loads(text)["message"] == "this operator stands by, another one leads"
    assert heard == []
    assert fake.requests == [], "nobody's token is reviewed for it"


def half_sent(count: int) -> tuple[list[int], list[int]]:
    """Bodies that never end, then a whole report; the answers to both."""
    fake, heard = FakeApi(answers=[token_of("tp"), token_of("tp")]), Heard()

    async def main() -> tuple[list[int], list[int]]:
        service = ProgressService(
            door, cluster(), lambda told, key: heard.append((told, key)), LIMIT
        )
        async with TestServer(service.application()) as server, TestClient(server) as client:
            head = b"POST /v1/progress HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good\r\n"
            streams = []
            for _ in range(count):
                assert server.port is not None
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(head + b"Content-Length: 4000\r\n\r\n{")
                await writer.drain()
                streams.append((reader, writer))
            await asyncio.sleep(0.05)
            meanwhile = await client.post("/v1/progress", data=body_of(GOOD), headers=AUTH)
            lines = [await asyncio.wait_for(reader.readline(), 5) for reader, _ in streams]
            for _, writer in streams:
                writer.close()
            later = await client.post("/v1/progress", data=body_of(GOOD), headers=AUTH)
            return [int(line.split()[1]) for line in lines], [meanwhile.status, later.status]

    with serving(fake) as door:
        return asyncio.run(main())


def test_a_report_that_does_not_come_in_whole_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainyard.operator.progress_server.BODY_SECONDS", 0.3)
    assert half_sent(3) == ([408, 408, 408], [204, 204])


def test_so_many_reports_are_read_at_once_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainyard.operator.progress_server.BODY_SECONDS", 0.3)
    monkeypatch.setattr("trainyard.operator.progress_server.AT_ONCE", 2)
    assert half_sent(2) == ([408, 408], [503, 204])
