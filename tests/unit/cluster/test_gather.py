"""Facts from the cache, and what is read directly because the cache may lag or does not hold it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.builders import (
    DATASET_UID,
    JOB_NAME,
    SETTINGS,
    UID,
    after,
    attempted,
    capability,
    dataset,
    process,
    report,
    run_of,
    snapshot_status,
    template,
    trained_model,
)
from tests.unit.cluster.fake_api import FakeApi
from tests.unit.snapshots import Snapshots, sample
from trainyard.api.comparison import Comparison, SplitContent
from trainyard.api.documents import dump_yaml
from trainyard.api.meta import ANNOTATION_EVALUATIONS
from trainyard.api.reasons import Reason
from trainyard.api.report import LastWords
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.artefacts import ArtefactReader
from trainyard.cluster.cache import Cache
from trainyard.cluster.gather import Gatherer
from trainyard.cluster.lock import NodeLock
from trainyard.cluster.resources import (
    CAPABILITY,
    DATASET,
    JOB,
    MODEL,
    NODE,
    POD,
    PROCESS,
    TEMPLATE,
)
from trainyard.decide.facts import (
    DecisionSettings,
    FoundEvaluations,
    Mismatch,
    ReceivedReport,
    StartFailure,
)
from trainyard.stores.folder import FolderStore

JOB_PATH = f"/apis/batch/v1/namespaces/demo/jobs/{JOB_NAME}"
MAP_PATH = f"/api/v1/namespaces/demo/configmaps/{JOB_NAME}"
POD_PATH = "/api/v1/namespaces/demo/pods/the-pod"
SECRET_PATH = "/api/v1/namespaces/demo/secrets/trainyard-store"


class World:
    """A cache and an API server that a gatherer reads."""

    def __init__(
        self, api: ApiServer, fake: FakeApi, folder: Path, settings: DecisionSettings = SETTINGS
    ) -> None:
        self.fake, self.cache = fake, Cache()
        self.reports: dict[str, ReceivedReport] = {}
        self.gatherer = Gatherer(
            api,
            self.cache,
            NodeLock(api),
            ArtefactReader(FolderStore()),
            self.reports.get,
            settings,
        )
        self.cache.put(CAPABILITY, capability().to_wire())
        self.cache.put(TEMPLATE, template().to_wire())
        self.cache.put(NODE, {"metadata": {"name": "gpu-1", "uid": "n", "resourceVersion": "1"}})

    def process(self, **status: Any) -> None:
        self.cache.put(PROCESS, {**process().to_wire(), "status": status})

    def job(self, *conditions: str, owner: str = UID, name: str = JOB_NAME) -> dict[str, Any]:
        raw: dict[str, Any] = {
            "metadata": {
                "namespace": "demo",
                "name": name,
                "uid": "job-uid",
                "resourceVersion": "5",
                "ownerReferences": [{"controller": True, "uid": owner}],
            },
            "spec": {"suspend": False},
            "status": {"conditions": [{"type": c, "status": "True"} for c in conditions]},
        }
        self.cache.put(JOB, raw)
        return raw

    def pod(self, phase: str, **terminated: Any) -> dict[str, Any]:
        state = {"terminated": terminated} if terminated else {}
        return {
            "metadata": {
                "namespace": "demo",
                "name": "the-pod",
                "uid": "pod-uid",
                "resourceVersion": "6",
                "labels": {
                    "batch.kubernetes.io/controller-uid": "job-uid",
                    "trainyard.dev/process-uid": UID,
                    "trainyard.dev/attempt": "1",
                },
                "ownerReferences": [{"controller": True, "uid": "job-uid"}],
            },
            "status": {"phase": phase, "containerStatuses": [{"state": state}]},
        }


@pytest.fixture
def world(api: ApiServer, fake: FakeApi, tmp_path: Path) -> World:
    return World(api, fake, tmp_path)


ATTEMPT = {"phase": "Running", "attempts": [{"number": 1, "node": "gpu-1"}]}


def test_unknown_process_has_no_facts(world: World) -> None:
    assert world.gatherer.process("demo/digits") is None


def test_new_process_is_seen_with_all_that_it_names(world: World) -> None:
    world.process()
    world.fake.put(SECRET_PATH, {})
    world.cache.put(DATASET, dataset("train").to_wire())
    facts = world.gatherer.process("demo/digits")
    assert facts is not None
    assert facts.capability is not None and facts.template is not None and facts.node is not None
    assert set(facts.datasets) == {"train"}
    assert facts.secret_present
    assert (facts.job, facts.lease, facts.run, facts.verdict, facts.data) == (
        *(None, None, None, None),
        None,
    )


class TestExpectation:
    """How long a process will take is known from finished ones; nothing is asked for it."""

    def finished(self, name: str, seconds: int, **spec: Any) -> dict[str, Any]:
        attempt = {
            "number": 1,
            "node": "gpu-1",
            "startTime": after(0).isoformat(),
            "finishTime": after(seconds).isoformat(),
        }
        raw = process(name, uid=f"uid-{name}", **spec).to_wire()
        return {**raw, "status": {"phase": "Succeeded", "attempts": [attempt]}}

    def test_is_that_of_finished_runs_for_it_and_its_rivals(self, world: World) -> None:
        world.cache.put(PROCESS, self.finished("done", 600))
        world.cache.put(PROCESS, self.finished("elsewhere", 9, targetNode="gpu-2"))
        world.cache.put(PROCESS, process("other", uid="uid-other").to_wire())
        world.process(phase="Queued")
        found = world.gatherer.process("demo/digits")
        assert found is not None
        assert found.expected_seconds == 600
        assert [(rival.key, rival.rest_seconds) for rival in found.rivals] == [("demo/other", 600)]
        assert not any(
            method == "GET" and "/trainyard.dev/" in path for method, path, _ in world.fake.requests
        )

    def test_is_forgotten_with_the_run_that_it_came_from(self, world: World) -> None:
        done = self.finished("done", 600)
        world.cache.put(PROCESS, done)
        world.process(phase="Queued")
        world.gatherer.process("demo/digits")
        world.cache.drop(PROCESS, done)
        found = world.gatherer.process("demo/digits")
        assert found is not None
        assert found.expected_seconds is None

    def test_of_one_that_cannot_be_read_is_none(self, world: World) -> None:
        raw = self.finished("done", 600)
        raw["spec"]["targetNode"] = 7
        world.cache.put(PROCESS, raw)
        world.process(phase="Queued")
        found = world.gatherer.process("demo/digits")
        assert found is not None
        assert found.expected_seconds is None


class TestBaseModel:
    def test_that_the_template_starts_from_is_seen(self, world: World) -> None:
        world.cache.put(TEMPLATE, template(baseModel={"trainedModel": "older"}).to_wire())
        world.cache.put(PROCESS, process().to_wire())
        found = world.gatherer.process("demo/digits")
        assert found is not None
        assert found.base_model is None
        world.cache.put(MODEL, trained_model("older").to_wire())
        found = world.gatherer.process("demo/digits")
        assert found is not None and found.base_model is not None
        assert found.base_model.metadata.name == "older"

    def test_of_another_namespace_is_none(self, world: World) -> None:
        world.cache.put(TEMPLATE, template(baseModel={"trainedModel": "older"}).to_wire())
        world.cache.put(PROCESS, process().to_wire())
        raw = trained_model("older").to_wire()
        raw["metadata"]["namespace"] = "team"
        world.cache.put(MODEL, raw)
        found = world.gatherer.process("demo/digits")
        assert found is not None
        assert found.base_model is None


class TestModel:
    def test_that_is_not_there_has_no_facts(self, world: World) -> None:
        assert world.gatherer.model("demo/older") is None

    def test_that_nobody_marked_is_not_looked_up_in_the_store(self, world: World) -> None:
        world.cache.put(MODEL, trained_model("older").to_wire())
        found = world.gatherer.model("demo/older")
        assert found is not None
        assert found.evaluations is None

    def test_that_lies_elsewhere_is_not_looked_up(self, world: World, tmp_path: Path) -> None:
        raw = trained_model("older", location=f"file://{tmp_path}").to_wire()
        raw["metadata"]["annotations"] = {ANNOTATION_EVALUATIONS: "now"}
        world.cache.put(MODEL, raw)
        found = world.gatherer.model("demo/older")
        assert found is not None
        assert found.evaluations is None

    def test_that_was_marked_has_the_evaluations_of_the_store(
        self, api: ApiServer, fake: FakeApi, tmp_path: Path
    ) -> None:
        settings = replace(SETTINGS, store_root=f"file://{tmp_path}")
        world = World(api, fake, tmp_path, settings)
        location = f"file://{tmp_path}/runs/demo/uid/1"
        raw = trained_model("older", location=location).to_wire()
        raw["metadata"]["annotations"] = {ANNOTATION_EVALUATIONS: "now"}
        world.cache.put(MODEL, raw)
        found = world.gatherer.model("demo/older")
        assert found is not None
        assert found.evaluations == FoundEvaluations(())


def test_missing_secret_is_seen(world: World) -> None:
    world.process()
    facts = world.gatherer.process("demo/digits")
    assert facts is not None
    assert not facts.secret_present


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_nothing_is_read_for_a_process_that_is_over(world: World, phase: str) -> None:
    world.process(**{**ATTEMPT, "phase": phase})
    assert world.gatherer.process("demo/digits") is not None
    assert world.fake.requests == []


@pytest.mark.parametrize("phase", ["Ready", "Failed"])
def test_nothing_is_read_for_a_dataset_that_is_over(world: World, phase: str) -> None:
    world.cache.put(DATASET, {**dataset("train").to_wire(), "status": {"phase": phase}})
    assert world.gatherer.dataset("demo/train") is not None
    assert world.fake.requests == []


def test_job_of_an_attempt_that_the_watch_has_not_told_yet_is_read(world: World) -> None:
    world.process(**ATTEMPT)
    raw = world.job()
    world.cache.drop(JOB, {"metadata": {**raw["metadata"]}})
    world.fake.put(JOB_PATH, raw)
    facts = world.gatherer.process("demo/digits")
    assert facts is not None and facts.job is not None
    assert facts.job.uid == "job-uid"


class TestPodOfAFinishedJob:
    WORDS = LastWords(reason="BadData", message="a.txt:3: NaN").model_dump_json()

    def test_is_read_anew_when_its_watch_lags_behind_the_jobs(self, world: World) -> None:
        world.process(**ATTEMPT)
        world.job("Failed")
        world.cache.put(POD, world.pod("Running"))
        world.fake.put(POD_PATH, world.pod("Failed", exitCode=65, message=self.WORDS))
        facts = world.gatherer.process("demo/digits")
        assert facts is not None and facts.pod is not None
        assert facts.pod.last_words == LastWords(reason="BadData", message="a.txt:3: NaN")

    def test_is_taken_from_the_cache_when_its_end_is_known(self, world: World) -> None:
        world.process(**ATTEMPT)
        world.job("Failed")
        world.cache.put(POD, world.pod("Failed", exitCode=65, message=self.WORDS))
        facts = world.gatherer.process("demo/digits")
        assert facts is not None and facts.pod is not None
        assert facts.pod.exit_code == 65
        assert not [url for _, url, _ in world.fake.requests if "/pods" in url]

    def test_of_a_snapshot_does_not_lose_its_last_words(self, world: World) -> None:
        words = LastWords(reason="Succeeded", location=f"{SETTINGS.store_root}/datasets/demo/a")
        world.cache.put(
            DATASET, {**dataset("train").to_wire(), "status": {"phase": "Snapshotting"}}
        )
        world.job("Complete", owner=DATASET_UID, name="tds-999999998888")
        world.cache.put(POD, world.pod("Running"))
        world.fake.put(
            POD_PATH, world.pod("Succeeded", exitCode=0, message=words.model_dump_json())
        )
        facts = world.gatherer.dataset("demo/train")
        assert facts is not None and facts.pod is not None
        assert facts.pod.last_words == words

    def test_of_a_snapshot_that_is_really_gone_is_a_mismatch(self, world: World) -> None:
        world.cache.put(
            DATASET, {**dataset("train").to_wire(), "status": {"phase": "Snapshotting"}}
        )
        world.job("Complete", owner=DATASET_UID, name="tds-999999998888")
        facts = world.gatherer.dataset("demo/train")
        assert facts is not None
        assert isinstance(facts.snapshot, Mismatch)
        assert "its pod's last words are gone" in facts.snapshot.message


def test_pods_of_a_snapshot_that_their_kubelets_ended_are_counted(world: World) -> None:
    world.cache.put(DATASET, {**dataset("train").to_wire(), "status": {"phase": "Snapshotting"}})
    world.job(owner=DATASET_UID, name="tds-999999998888")
    for number, phase, reason in (
        (1, "Failed", "TerminationByKubelet"),
        (2, "Failed", "TerminationByKubelet"),
        (3, "Failed", "EvictionByEvictionAPI"),
        (4, "Running", "TerminationByKubelet"),
        (5, "Failed", None),
    ):
        raw = world.pod(phase)
        raw["metadata"] |= {"name": f"pod-{number}", "uid": f"pod-{number}"}
        if reason is not None:
            named = {"type": "DisruptionTarget", "status": "True", "reason": reason}
            raw["status"]["conditions"] = [named]
        world.cache.put(POD, raw)
    facts = world.gatherer.dataset("demo/train")
    assert facts is not None
    assert facts.pressed == 2


def test_snapshot_outside_of_its_namespaces_folder_is_a_mismatch(world: World) -> None:
    words = LastWords(reason="Succeeded", location="s3://trainyard/datasets/team/a")
    world.cache.put(DATASET, {**dataset("train").to_wire(), "status": {"phase": "Snapshotting"}})
    world.job("Complete", owner=DATASET_UID, name="tds-999999998888")
    world.cache.put(POD, world.pod("Succeeded", exitCode=0, message=words.model_dump_json()))
    facts = world.gatherer.dataset("demo/train")
    assert facts is not None
    assert isinstance(facts.snapshot, Mismatch)
    assert "outside of s3://trainyard/datasets/demo" in facts.snapshot.message


class TestRunFile:
    def test_is_read_from_its_config_map(self, world: World) -> None:
        run = run_of(attempted())
        world.process(**ATTEMPT)
        world.fake.put(MAP_PATH, {"data": {"run.yaml": dump_yaml(run.to_wire())}})
        facts = world.gatherer.process("demo/digits")
        assert facts is not None
        assert facts.run == run

    @pytest.mark.parametrize(
        "data",
        [
            None,
            {"other": "x"},
            {"run.yaml": "["},
            {"run.yaml": "kind: Run"},
            {"run.yaml": dump_yaml({**run_of(attempted()).to_wire(), "output": "s3://x/y"})},
        ],
        ids=["no data", "another key", "no YAML", "incomplete", "changed"],
    )
    def test_that_cannot_be_trusted_is_none(self, world: World, data: Any) -> None:
        world.process(**ATTEMPT)
        world.fake.put(MAP_PATH, {"data": data})
        facts = world.gatherer.process("demo/digits")
        assert facts is not None
        assert facts.run is None


class TestRivals:
    def put(self, name: str, **changes: Any) -> None:
        raw = process(name, uid=f"uid-{name}").to_wire()
        raw["metadata"].update(changes.get("metadata", {}))
        raw["spec"].update(changes.get("spec", {}))
        raw["status"] = changes.get("status", {"phase": "Queued"})
        self.world.cache.put(PROCESS, raw)

    def test_are_the_unfinished_processes_of_the_node_in_all_namespaces(self, world: World) -> None:
        self.world = world
        world.process()
        self.put("rival")
        self.put("elsewhere", metadata={"namespace": "team"})
        self.put("over", status={"phase": "Failed"})
        self.put("going", metadata={"deletionTimestamp": "2026-11-23T12:00:00Z"})
        self.put("other-node", spec={"targetNode": "gpu-2"})
        self.put("unreadable", spec={"priority": "high"})
        facts = world.gatherer.process("demo/digits")
        assert facts is not None
        assert {item.key for item in facts.rivals} == {"demo/rival", "team/elsewhere"}


def test_live_pod_of_another_is_seen_and_the_own_one_is_not(world: World) -> None:
    world.process()
    for name, uid in (("mine", UID), ("theirs", "other-uid")):
        raw = world.pod("Running")
        raw["metadata"] |= {
            "name": name,
            "labels": {
                "trainyard.dev/process": name,
                "trainyard.dev/process-uid": uid,
            },
            "annotations": {"trainyard.dev/target-node": "gpu-1"},
        }
        world.cache.put(POD, raw)
    facts = world.gatherer.process("demo/digits")
    assert facts is not None
    assert facts.live_holder == "demo/theirs"


def test_report_of_another_attempt_is_not_this_ones(world: World) -> None:
    world.process(**ATTEMPT)
    world.reports[UID] = report(attempt=2)
    facts = world.gatherer.process("demo/digits")
    assert facts is not None and facts.report is None
    world.reports[UID] = report()
    facts = world.gatherer.process("demo/digits")
    assert facts is not None and facts.report is not None


@pytest.mark.parametrize(("lineage", "made_by"), [({"processUid": "older"}, "older"), (None, "")])
def test_model_of_the_same_name_says_who_made_it(world: World, lineage: Any, made_by: str) -> None:
    world.process()
    spec = {
        "capability": "pets",
        "type": "ImageClassifierElement",
        "engine": "yolo-cls",
        "classes": [{"attribute": "class", "value": "cat", "position": 0}],
        "artefacts": {"location": "s3://trainyard/x"},
    }
    if lineage is not None:
        spec["lineage"] = lineage
    meta = {"namespace": "demo", "name": "digits", "uid": "m", "resourceVersion": "3"}
    world.cache.put(MODEL, {"metadata": meta, "spec": spec})
    facts = world.gatherer.process("demo/digits")
    assert facts is not None
    assert facts.model_made_by == made_by


class TestComparedSplits:
    @pytest.fixture(autouse=True)
    def ready(self, world: World, tmp_path: Path) -> None:
        """Train and dev are ready."""
        snapshots = Snapshots(FolderStore(), f"file://{tmp_path}/objects", tmp_path)
        for name in ("train", "dev"):
            snapshot = snapshot_status(name[0] * 64) | {"uri": snapshots.make([sample(name)])}
            world.cache.put(DATASET, dataset(name, snapshot=snapshot).to_wire())

    def test_are_known_before_the_first_attempt(self, world: World) -> None:
        world.process(phase="Queued")
        facts = world.gatherer.process("demo/digits")
        assert facts is not None
        assert facts.data == Comparison({"train": SplitContent(1), "dev": SplitContent(1)})

    def test_are_not_asked_for_before_all_snapshots_are_there(self, world: World) -> None:
        world.cache.put(DATASET, dataset("dev").to_wire())
        world.process()
        facts = world.gatherer.process("demo/digits")
        assert facts is not None and facts.data is None

    def test_are_not_asked_for_once_an_attempt_is_on_record(self, world: World) -> None:
        world.process(**ATTEMPT)
        facts = world.gatherer.process("demo/digits")
        assert facts is not None and facts.data is None

    def test_are_not_asked_for_of_a_draft(self, world: World) -> None:
        world.cache.put(PROCESS, process(suspend=True).to_wire())
        facts = world.gatherer.process("demo/digits")
        assert facts is not None and facts.data is None


@pytest.mark.parametrize("phase", ["Running", "Succeeded"])
def test_job_is_read_anew_whose_pod_is_seen_before_it_is_seen_started(
    world: World, phase: str
) -> None:
    """Else a run that is done is recorded, and its Job removed, before its controller knows."""
    world.process(**ATTEMPT)
    seen = world.job()
    later = {"resourceVersion": "7"}
    world.fake.put(JOB_PATH, {**seen, "metadata": seen["metadata"] | later})
    seen["spec"] = {"suspend": True}
    world.cache.put(POD, world.pod(phase, exitCode=0))
    world.fake.put(POD_PATH, world.pod(phase, exitCode=0))
    facts = world.gatherer.process("demo/digits")
    assert facts is not None and facts.job is not None
    assert facts.job.live
    assert facts.verdict is None


class TestLaterAttempts:
    BETWEEN = {
        "phase": "Queued",
        "attempts": [
            {
                "number": 1,
                "node": "gpu-1",
                "reason": "Stopped",
                "finishTime": "2026-11-23T12:00:00Z",
            }
        ],
    }

    def test_are_made_of_the_run_file_of_the_first(self, world: World) -> None:
        run = run_of(attempted())
        later = run.model_copy(update={"attempt": 2}).sealed()
        world.fake.put(MAP_PATH, {"data": {"run.yaml": dump_yaml(run.to_wire())}})
        world.fake.put(MAP_PATH[:-1] + "2", {"data": {"run.yaml": dump_yaml(later.to_wire())}})
        first = self.BETWEEN["attempts"][0]  # type: ignore[index]
        world.process(phase="Starting", attempts=[first, {"number": 2, "node": "gpu-1"}])
        facts = world.gatherer.process("demo/digits")
        assert facts is not None
        assert (facts.base, facts.run) == (run, later)

    def test_next_job_is_looked_for_between_attempts(self, world: World) -> None:
        world.job(name=JOB_NAME[:-1] + "2")
        world.process(**self.BETWEEN)
        facts = world.gatherer.process("demo/digits")
        assert facts is not None and facts.next_job is not None
        assert facts.job is None

    def test_pod_of_a_deleted_job_is_found_by_process_and_attempt(self, world: World) -> None:
        world.process(**ATTEMPT)
        world.fake.put(POD_PATH, world.pod("Running"))
        facts = world.gatherer.process("demo/digits")
        assert facts is not None and facts.job is None
        assert facts.pod is not None and facts.pod.name == "the-pod"


class TestRefusedPod:
    def test_reason_is_read_from_the_events_of_the_job(self, world: World) -> None:
        world.process(**ATTEMPT)
        world.job()
        path = "/api/v1/namespaces/demo/events/"
        about = {"involvedObject": {"uid": "job-uid"}}
        old = {
            **about,
            "reason": "FailedCreate",
            "message": "old",
            "lastTimestamp": "2026-11-23T12:00:00Z",
        }
        world.fake.put(f"{path}a", old)
        new = {"message": "exceeded quota", "lastTimestamp": "2026-11-23T12:01:00Z"}
        world.fake.put(f"{path}b", {**old, **new})
        world.fake.put(
            f"{path}c", {**about, "reason": "Other", "lastTimestamp": "2026-11-23T12:02:00Z"}
        )
        facts = world.gatherer.process("demo/digits")
        assert facts is not None
        assert facts.refusal == "exceeded quota"
        (asked,) = [url for _, url, _ in world.fake.requests if "/events" in url]
        assert "involvedObject.uid%3Djob-uid" in asked

    def test_nothing_is_asked_while_a_pod_is_there(self, world: World) -> None:
        world.process(**ATTEMPT)
        world.job()
        world.cache.put(POD, world.pod("Running"))
        world.gatherer.process("demo/digits")
        assert not [url for _, url, _ in world.fake.requests if "/events" in url]


class TestPodThatCannotBeSetUp:
    def starting(self, world: World, *reasons: str) -> StartFailure | None:
        world.process(**ATTEMPT)
        world.job()
        pod = world.pod("Pending")
        pod["spec"] = {"nodeName": "gpu-1"}
        (container,) = pod["status"]["containerStatuses"]
        container["state"] = {"waiting": {"reason": "ContainerCreating"}}
        world.cache.put(POD, pod)
        for second, reason in enumerate(reasons):
            event = {
                "involvedObject": {"uid": pod["metadata"]["uid"]},
                "reason": reason,
                "message": f"{reason} said",
                "lastTimestamp": f"2026-11-23T12:00:0{second}Z",
            }
            world.fake.put(f"/api/v1/namespaces/demo/events/{second}", event)
        facts = world.gatherer.process("demo/digits")
        assert facts is not None
        return facts.start_failure

    @pytest.mark.parametrize(
        ("event", "reason"),
        [
            ("FailedMount", Reason.VOLUME_NOT_MOUNTED),
            ("FailedAttachVolume", Reason.VOLUME_NOT_MOUNTED),
            ("FailedCreatePodSandBox", Reason.CONTAINER_NOT_CREATED),
        ],
    )
    def test_its_kubelets_last_word_is_read_from_the_events_of_the_pod(
        self, world: World, event: str, reason: Reason
    ) -> None:
        found = self.starting(world, "Scheduled", event)
        assert found == StartFailure(reason, f"{event} said")

    def test_one_that_was_only_late_is_none(self, world: World) -> None:
        assert self.starting(world, "Scheduled", "FailedMount", "Pulling") is None

    def test_without_events_nothing_is_said(self, world: World) -> None:
        assert self.starting(world) is None


def test_finished_process_is_seen_with_its_jobs_and_reads_nothing_else(world: World) -> None:
    world.process(phase="Succeeded", attempts=ATTEMPT["attempts"])
    world.job("Complete")
    facts = world.gatherer.process("demo/digits")
    assert facts is not None
    assert [job.name for job in facts.jobs] == [JOB_NAME]
    assert world.fake.requests == []
