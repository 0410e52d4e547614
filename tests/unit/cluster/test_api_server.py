"""Requests and answers of the typed door to the API server, over real HTTP."""

from __future__ import annotations

import json

import pytest

from tests.unit.cluster.fake_api import Answer, FakeApi, serving
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Forbidden,
    Invalid,
    NamespaceEnding,
    NotFound,
    Unavailable,
    translate,
)
from trainyard.cluster.resources import CONFIG_MAP, JOB, NODE, POD, PROCESS, SECRET

ERRORS: dict[str, tuple[int, str, type[ApiError]]] = {
    "a stale version": (409, "Conflict", Conflict),
    "a name that is taken": (409, "AlreadyExists", AlreadyExists),
    "no such object": (404, "NotFound", NotFound),
    "no credentials": (401, "Unauthorized", Forbidden),
    "no permission": (403, "Forbidden", Forbidden),
    "a bad request": (400, "BadRequest", Invalid),
    "an object that is refused": (422, "Invalid", Invalid),
    "an object that is too large": (413, "RequestEntityTooLarge", Invalid),
    "an unknown media type": (415, "UnsupportedMediaType", Invalid),
    "an expired page": (410, "Expired", Unavailable),
    "too many requests": (429, "TooManyRequests", Unavailable),
    "a fault of the server": (500, "InternalError", Unavailable),
    "a time-out after the commit": (504, "Timeout", Unavailable),
}


@pytest.mark.parametrize(("status", "reason", "kind"), ERRORS.values(), ids=ERRORS)
def test_error_is_translated_with_its_sentence(
    status: int, reason: str, kind: type[ApiError]
) -> None:
    body = json.dumps({"kind": "Status", "reason": reason, "message": "what went wrong"}).encode()
    with serving(FakeApi(answers=[Answer(status, body)])) as api, pytest.raises(kind) as caught:
        api.create(JOB, {"metadata": {"name": "x"}}, "demo")
    assert type(caught.value) is kind
    assert str(caught.value) == "what went wrong"
    assert caught.value.status == status


def test_error_without_json_keeps_its_text() -> None:
    fake = FakeApi(answers=[Answer(502, b"<html>bad gateway</html>")])
    with serving(fake) as api, pytest.raises(Unavailable, match="bad gateway"):
        api.create(JOB, {"metadata": {"name": "x"}}, "demo")


def test_connection_that_is_cut_off_is_unavailable_and_names_the_request() -> None:
    with (
        serving(FakeApi(answers=[Answer(0)])) as api,
        pytest.raises(Unavailable, match="POST /apis/batch/v1/namespaces/demo/jobs") as caught,
    ):
        api.create(JOB, {"metadata": {"name": "x"}}, "demo")
    assert caught.value.status == 0


def test_no_server_is_unavailable() -> None:
    with serving(FakeApi()) as api:
        pass
    with pytest.raises(Unavailable):
        api.get(JOB, "x", "demo")


def test_translation_of_no_status_is_unavailable() -> None:
    assert type(translate(0, "", "no answer")) is Unavailable


def test_absent_object_is_none() -> None:
    with serving(FakeApi()) as api:
        assert api.get(SECRET, "trainyard-store", "demo") is None


def test_other_errors_of_a_read_are_not_taken_for_absence() -> None:
    with serving(FakeApi(answers=[Answer(403, b"{}")])) as api, pytest.raises(Forbidden):
        api.get(SECRET, "trainyard-store", "demo")


def test_list_reads_all_pages_and_fills_in_the_kind() -> None:
    fake = FakeApi(page=2)
    for number in range(5):
        fake.put(f"/apis/batch/v1/namespaces/demo/jobs/j{number}", {})
    with serving(fake) as api:
        listing = api.list(JOB, "demo")
    assert [item["metadata"]["name"] for item in listing.items] == ["j0", "j1", "j2", "j3", "j4"]
    assert {(item["kind"], item["apiVersion"]) for item in listing.items} == {("Job", "batch/v1")}
    assert listing.version == fake.version
    assert len(fake.requests) == 3


def test_list_is_at_quorum_it_names_no_version() -> None:
    fake = FakeApi()
    with serving(fake) as api:
        api.list(NODE, label_selector="a=b")
    ((method, url, _),) = fake.requests
    assert method == "GET"
    assert url == "/api/v1/nodes?limit=500&labelSelector=a%3Db"


def test_delete_names_a_propagation_policy_and_the_object_that_was_read() -> None:
    fake = FakeApi()
    made = fake.put("/apis/batch/v1/namespaces/demo/jobs/x", {})
    with serving(fake) as api:
        with pytest.raises(Conflict):
            api.delete(JOB, "x", "demo", uid="another")
        api.delete(JOB, "x", "demo", uid=made["metadata"]["uid"], resource_version="101")
        api.delete(JOB, "x", "demo", uid=made["metadata"]["uid"])
    assert fake.objects == {}
    body = fake.requests[1][2]
    assert body is not None
    assert body["propagationPolicy"] == "Background"
    assert body["preconditions"] == {"uid": made["metadata"]["uid"], "resourceVersion": "101"}


def test_delete_asks_for_the_pods_own_grace_unless_told_otherwise(
    api: ApiServer, fake: FakeApi
) -> None:
    path = "/api/v1/namespaces/demo/pods/x"
    for grace in (None, 0):
        uid = fake.put(path, {})["metadata"]["uid"]
        api.delete(POD, "x", "demo", uid=uid, grace_period_seconds=grace)
        body = fake.requests[-1][2]
        assert body is not None
        assert body.get("gracePeriodSeconds") == grace
        assert ("gracePeriodSeconds" in body) is (grace is not None)


def test_list_selects_by_field_on_the_server(api: ApiServer, fake: FakeApi) -> None:
    for name in ("a", "b"):
        fake.put(f"/api/v1/namespaces/demo/pods/{name}", {"spec": {"nodeName": f"gpu-{name}"}})
    (found,) = api.list(POD, "demo", field_selector="spec.nodeName=gpu-b").items
    assert found["metadata"]["name"] == "b"
    assert fake.requests[-1][1].endswith("fieldSelector=spec.nodeName%3Dgpu-b")


def test_patch_with_a_stale_version_is_a_conflict() -> None:
    fake = FakeApi()
    fake.put("/apis/batch/v1/namespaces/demo/jobs/x", {"spec": {"suspend": True}})
    patch = {"metadata": {"resourceVersion": "1"}, "spec": {"suspend": False}}
    with serving(fake) as api, pytest.raises(Conflict):
        api.merge_patch(JOB, "x", patch, "demo")


def test_status_is_written_to_its_subresource(api: ApiServer, fake: FakeApi) -> None:
    path = "/apis/trainyard.dev/v1alpha1/namespaces/demo/trainingprocesses/x"
    fake.put(path, {"spec": {"priority": 1}})
    written = api.merge_patch(
        PROCESS, "x", {"status": {"phase": "Queued"}}, "demo", subresource="status"
    )
    assert written["status"] == {"phase": "Queued"}
    assert fake.writes() == [("PATCH", f"{path}/status")]


def test_replace_is_put_to_the_object(api: ApiServer, fake: FakeApi) -> None:
    made = fake.put("/api/v1/namespaces/demo/configmaps/x", {"data": {"a": "1"}})
    changed = {**made, "data": {"a": "2"}}
    assert api.replace(CONFIG_MAP, changed)["data"] == {"a": "2"}
    with pytest.raises(Conflict):
        api.replace(CONFIG_MAP, changed)


def test_namespace_that_is_being_deleted_is_told_from_other_refusals() -> None:
    causes = [{"reason": "NamespaceTerminating", "field": "metadata.namespace"}]
    ending = {
        "reason": "Forbidden",
        "message": "is being terminated",
        "details": {"causes": causes},
    }
    plain = {"reason": "Forbidden", "message": "exceeded quota"}
    for body, expected in ((ending, NamespaceEnding), (plain, Forbidden)):
        with (
            serving(FakeApi(answers=[Answer(403, json.dumps(body).encode())])) as api,
            pytest.raises(Forbidden) as caught,
        ):
            api.create(JOB, {"metadata": {"name": "x"}}, "demo")
        assert type(caught.value) is expected
