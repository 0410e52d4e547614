"""Carrying out decisions: every action is safe to repeat after a crash at any point of it."""

from __future__ import annotations

import copy
import random
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.builders import JOB_NAME, NOW, UID, attempted, process, run_of, verified
from tests.unit.cluster.fake_api import FakeApi, merge
from trainyard.api.process_status import ProcessPhase, TrainingProcessStatus
from trainyard.api.run import ProgressTarget
from trainyard.cluster import objects
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.apply import Applier, merge_diff
from trainyard.cluster.cache import Cache
from trainyard.cluster.errors import Conflict, Invalid
from trainyard.cluster.lock import NodeLock
from trainyard.cluster.parse import job as parse_job
from trainyard.cluster.parse import pod as parse_pod
from trainyard.cluster.pods import PodSettings
from trainyard.cluster.resources import JOB, MODEL, PROCESS
from trainyard.decide.actions import (
    CreateModel,
    CreateTrainingJob,
    DeleteJob,
    DeletePod,
    SuspendJob,
)
from trainyard.decide.results import model_spec

JOB_PATH = f"/apis/batch/v1/namespaces/demo/jobs/{JOB_NAME}"
MAP_PATH = f"/api/v1/namespaces/demo/configmaps/{JOB_NAME}"
POD_PATH = "/api/v1/namespaces/demo/pods/the-pod"
PROCESS_PATH = "/apis/trainyard.dev/v1alpha1/namespaces/demo/trainingprocesses/digits"
MODEL_PATH = "/apis/trainyard.dev/v1alpha1/namespaces/demo/trainedmodels/digits"
PODS = PodSettings(image="trainer:1")
CREATE = CreateTrainingJob(run=run_of(attempted()), attempt=1, node="gpu-1")

CREATE_2 = CreateTrainingJob(
    run=run_of(attempted()).model_copy(update={"attempt": 2}).sealed(), attempt=2, node="gpu-1"
)


@pytest.fixture
def cache() -> Cache:
    return Cache()


@pytest.fixture
def applier(api: ApiServer, cache: Cache) -> Applier:
    return Applier(api, cache, NodeLock(api), PODS, "operator-0")


class TestMergeDiff:
    KEYS = "abc"

    def value(self, chance: random.Random, depth: int) -> Any:
        kind = chance.randrange(6 if depth else 4)
        if kind == 0:
            return chance.randrange(3)
        if kind == 1:
            return chance.choice(["x", "y", ""])
        if kind == 2:
            return chance.choice([True, False])
        if kind == 3:
            return [chance.randrange(2) for _ in range(chance.randrange(3))]
        return self.object(chance, depth - 1)

    def object(self, chance: random.Random, depth: int) -> dict[str, Any]:
        return {key: self.value(chance, depth) for key in self.KEYS if chance.random() < 0.6}

    def test_applied_to_the_old_gives_the_new(self) -> None:
        chance = random.Random(1)
        for _ in range(3000):
            old, new = self.object(chance, 3), self.object(chance, 3)
            assert merge(old, merge_diff(old, new)) == new

    def test_of_equals_is_empty(self) -> None:
        chance = random.Random(2)
        for _ in range(300):
            old = self.object(chance, 3)
            assert merge_diff(old, copy.deepcopy(old)) == {}

    @pytest.mark.parametrize(
        ("old", "new", "patch"),
        [
            ({}, {"a": 1}, {"a": 1}),
            ({"a": 1}, {}, {"a": None}),
            ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, {"a": {"c": None}}),
            ({"a": [1, 2]}, {"a": [1]}, {"a": [1]}),
            ({"a": {"b": 1}}, {"a": 5}, {"a": 5}),
        ],
    )
    def test_names_what_changes_and_nothing_else(
        self, old: dict[str, Any], new: dict[str, Any], patch: dict[str, Any]
    ) -> None:
        assert merge_diff(old, new) == patch


class TestStatus:
    def raw(self, fake: FakeApi, **status: Any) -> dict[str, Any]:
        return fake.put(PROCESS_PATH, {**process().to_wire(), "status": status})

    def test_is_written_when_it_differs(self, applier: Applier, fake: FakeApi) -> None:
        raw = self.raw(fake, phase="Queued", queue={"position": 2})
        assert applier.write_status(PROCESS, raw, TrainingProcessStatus(phase=ProcessPhase.FAILED))
        assert fake.objects[PROCESS_PATH]["status"] == {"phase": "Failed"}
        _, url, body = fake.requests[0]
        assert url == f"{PROCESS_PATH}/status"
        assert body is not None
        assert body["metadata"] == {"resourceVersion": raw["metadata"]["resourceVersion"]}
        assert body["status"] == {"phase": "Failed", "queue": None}

    def test_is_not_written_when_it_is_the_same(self, applier: Applier, fake: FakeApi) -> None:
        raw = self.raw(fake, phase="Queued")
        assert not applier.write_status(
            PROCESS, raw, TrainingProcessStatus(phase=ProcessPhase.QUEUED)
        )
        assert fake.requests == []

    def test_written_by_another_meanwhile_is_a_conflict(
        self, applier: Applier, fake: FakeApi
    ) -> None:
        old = copy.deepcopy(self.raw(fake, phase="Queued"))
        self.raw(fake, phase="Starting")
        with pytest.raises(Conflict):
            applier.write_status(PROCESS, old, TrainingProcessStatus(phase=ProcessPhase.FAILED))
        assert fake.objects[PROCESS_PATH]["status"] == {"phase": "Starting"}

    def test_is_in_the_cache_at_once(self, applier: Applier, fake: FakeApi, cache: Cache) -> None:
        raw = self.raw(fake)
        applier.write_status(PROCESS, raw, TrainingProcessStatus(phase=ProcessPhase.QUEUED))
        cached = cache.get(PROCESS, "demo/digits")
        assert cached is not None
        assert cached["status"] == {"phase": "Queued"}


class TestCreateJob:
    def test_creates_the_job_then_the_config_map(
        self, applier: Applier, fake: FakeApi, cache: Cache
    ) -> None:
        applier.act(CREATE, "demo")
        assert [path for _, path in fake.writes()] == [
            JOB_PATH.rpartition("/")[0],
            MAP_PATH.rpartition("/")[0],
        ]
        assert fake.objects[JOB_PATH]["spec"]["suspend"] is True
        assert cache.get(JOB, f"demo/{JOB_NAME}") is not None

    def test_first_config_map_stays_with_the_process_and_a_later_one_goes_with_its_job(
        self, applier: Applier, fake: FakeApi
    ) -> None:
        applier.act(CREATE, "demo")
        applier.act(CREATE_2, "demo")
        (first,) = fake.objects[MAP_PATH]["metadata"]["ownerReferences"]
        assert (first["kind"], first["uid"]) == ("TrainingProcess", UID)
        (later,) = fake.objects[MAP_PATH[:-1] + "2"]["metadata"]["ownerReferences"]
        job = fake.objects[JOB_PATH[:-1] + "2"]
        assert (later["kind"], later["uid"]) == ("Job", job["metadata"]["uid"])

    def test_runs_the_image_that_was_resolved(self, applier: Applier, fake: FakeApi) -> None:
        applier.act(replace(CREATE, image="trainer:0"), "demo")
        pod = fake.objects[JOB_PATH]["spec"]["template"]["spec"]
        assert pod["containers"][0]["image"] == "trainer:0"

    def test_again_finds_what_it_made(self, applier: Applier, fake: FakeApi) -> None:
        applier.act(CREATE, "demo")
        before = copy.deepcopy(fake.objects)
        applier.act(CREATE, "demo")
        assert fake.objects == before

    def test_after_a_crash_between_the_two_adds_the_config_map(
        self, applier: Applier, fake: FakeApi
    ) -> None:
        applier.act(CREATE, "demo")
        del fake.objects[MAP_PATH]
        applier.act(CREATE, "demo")
        assert MAP_PATH in fake.objects

    def test_leaves_the_job_of_another_alone(
        self, applier: Applier, fake: FakeApi, cache: Cache
    ) -> None:
        theirs = fake.put(JOB_PATH, {"spec": {}})
        with pytest.raises(Conflict, match=f"Job demo/{JOB_NAME} was made by another"):
            applier.act(CREATE, "demo")
        assert fake.objects[JOB_PATH] == theirs
        assert cache.get(JOB, f"demo/{JOB_NAME}") is not None

    def test_removes_an_own_suspended_job_that_was_made_of_other_inputs(
        self, applier: Applier, fake: FakeApi
    ) -> None:
        older = objects.training_bundle(CREATE.run, "gpu-2", PODS).job
        fake.put(JOB_PATH, older)
        with pytest.raises(Conflict, match="made of other inputs"):
            applier.act(CREATE, "demo")
        assert JOB_PATH not in fake.objects

    def test_never_removes_a_job_that_may_run(self, applier: Applier, fake: FakeApi) -> None:
        older = copy.deepcopy(objects.training_bundle(CREATE.run, "gpu-2", PODS).job)
        older["spec"]["suspend"] = False
        fake.put(JOB_PATH, older)
        with pytest.raises(Conflict, match="made of other inputs"):
            applier.act(CREATE, "demo")
        assert JOB_PATH in fake.objects

    def test_leaves_the_job_of_an_attempt_that_another_operator_has_on_record(
        self, applier: Applier, fake: FakeApi
    ) -> None:
        applier.act(CREATE, "demo")
        fake.put(PROCESS_PATH, {**process().to_wire(), "status": {"attempts": [{"number": 1}]}})
        other = CREATE.run.model_copy(update={"progress": ProgressTarget(url="http://b")}).sealed()
        with pytest.raises(Conflict, match="was made of other inputs"):
            applier.act(CreateTrainingJob(run=other, attempt=1, node="gpu-1"), "demo")
        assert JOB_PATH in fake.objects

    def test_replaces_the_config_map_of_a_job_that_is_gone(
        self, applier: Applier, fake: FakeApi
    ) -> None:
        job_path, map_path = JOB_PATH[:-1] + "2", MAP_PATH[:-1] + "2"
        applier.act(CREATE_2, "demo")
        del fake.objects[job_path]
        with pytest.raises(Conflict, match="belonged to another Job"):
            applier.act(CREATE_2, "demo")
        applier.act(CREATE_2, "demo")
        owner = fake.objects[map_path]["metadata"]["ownerReferences"][0]
        assert owner["uid"] == fake.objects[job_path]["metadata"]["uid"]

    def test_never_removes_the_config_map_of_another(self, applier: Applier, fake: FakeApi) -> None:
        fake.put(MAP_PATH, {"data": {"mine": "1"}})
        with pytest.raises(Invalid, match="was made by another: delete it"):
            applier.act(CREATE, "demo")
        assert fake.objects[MAP_PATH]["data"] == {"mine": "1"}


class TestDelete:
    def test_removes_exactly_the_job_that_was_read(self, applier: Applier, fake: FakeApi) -> None:
        raw = fake.put(JOB_PATH, {"spec": {"suspend": True}})
        read = parse_job(raw)
        fake.put(JOB_PATH, {"spec": {"suspend": False}})
        with pytest.raises(Conflict):
            applier.act(DeleteJob(read), "demo")
        applier.act(DeleteJob(parse_job(fake.objects[JOB_PATH])), "demo")
        assert JOB_PATH not in fake.objects
        applier.act(DeleteJob(read), "demo")

    @pytest.mark.parametrize(
        ("pods_first", "propagation"), [(False, "Background"), (True, "Foreground")]
    )
    def test_a_jobs_name_stays_taken_until_its_pods_are_gone_if_that_is_asked_for(
        self, applier: Applier, fake: FakeApi, pods_first: bool, propagation: str
    ) -> None:
        read = parse_job(fake.put(JOB_PATH, {"spec": {"suspend": False}}))
        applier.act(DeleteJob(read, pods_first), "demo")
        method, _, body = fake.requests[-1]
        assert (method, (body or {}).get("propagationPolicy")) == ("DELETE", propagation)

    def test_asks_a_pod_to_end(self, applier: Applier, fake: FakeApi) -> None:
        raw = fake.put(POD_PATH, {"spec": {}})
        applier.act(DeletePod(parse_pod(raw)), "demo")
        assert POD_PATH not in fake.objects


class TestSuspend:
    def test_suspends_exactly_the_job_that_was_read(self, applier: Applier, fake: FakeApi) -> None:
        raw = fake.put(JOB_PATH, {"spec": {"suspend": False}})
        applier.act(SuspendJob(parse_job(raw)), "demo")
        assert fake.objects[JOB_PATH]["spec"]["suspend"] is True
        with pytest.raises(Conflict):
            applier.act(SuspendJob(parse_job(raw)), "demo")


class TestModel:
    def action(self) -> CreateModel:
        known = attempted()
        spec = model_spec(known.process, run_of(known), verified(known), NOW)
        return CreateModel(name="digits", spec=spec)

    def test_is_created_once_however_often_it_is_asked_for(
        self, applier: Applier, fake: FakeApi
    ) -> None:
        applier.act(self.action(), "demo")
        applier.act(self.action(), "demo")
        assert fake.objects[MODEL_PATH]["spec"]["lineage"]["processUid"] == UID
        assert "ownerReferences" not in fake.objects[MODEL_PATH]["metadata"]

    def test_of_another_is_left_alone_and_known_in_the_next_pass(
        self, applier: Applier, fake: FakeApi, cache: Cache
    ) -> None:
        theirs = fake.put(MODEL_PATH, {"spec": {"lineage": {"processUid": "older"}}})
        with pytest.raises(Conflict, match="made by another"):
            applier.act(self.action(), "demo")
        assert fake.objects[MODEL_PATH] == theirs
        assert cache.get(MODEL, "demo/digits") is not None
