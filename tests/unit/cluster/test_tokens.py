"""Who sends a report."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.cluster.fake_api import Answer, FakeApi
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.errors import Unavailable
from trainyard.cluster.tokens import Sender, review

USER: dict[str, Any] = {
    "username": "system:serviceaccount:demo:default",
    "extra": {
        "authentication.kubernetes.io/pod-name": ["tp-1-abcde"],
        "authentication.kubernetes.io/pod-uid": ["pod-uid"],
    },
}
GOOD: dict[str, Any] = {
    "authenticated": True,
    "audiences": ["trainyard-progress"],
    "user": USER,
}


def answer(fake: FakeApi, status: Any) -> None:
    fake.answers.append(Answer(201, json.dumps({"status": status}).encode()))


def test_pod_is_named_by_its_token(api: ApiServer, fake: FakeApi) -> None:
    answer(fake, GOOD)
    assert review(api, "token") == Sender("demo", "tp-1-abcde", "pod-uid")
    ((method, url, body),) = fake.requests
    assert (method, url) == ("POST", "/apis/authentication.k8s.io/v1/tokenreviews")
    assert body is not None
    assert body["spec"] == {"token": "token", "audiences": ["trainyard-progress"]}


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({}, id="nothing is said"),
        pytest.param({**GOOD, "authenticated": False}, id="it is not authenticated"),
        pytest.param({**GOOD, "audiences": []}, id="the audience was not checked"),
        pytest.param({**GOOD, "audiences": ["https://kubernetes"]}, id="another audience"),
        pytest.param({**GOOD, "user": {**USER, "username": "admin"}}, id="a person"),
        pytest.param({**GOOD, "user": {**USER, "extra": {}}}, id="not bound to a pod"),
        pytest.param({**GOOD, "user": {**USER, "extra": None}}, id="no extra"),
    ],
)
def test_anything_else_is_nobody(api: ApiServer, fake: FakeApi, status: Any) -> None:
    answer(fake, status)
    assert review(api, "token") is None


def test_api_server_that_cannot_say_is_an_error_not_a_no(api: ApiServer, fake: FakeApi) -> None:
    fake.answers.append(Answer(503, b"{}"))
    with pytest.raises(Unavailable):
        review(api, "token")
