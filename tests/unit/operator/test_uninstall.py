"""What is left for a cluster without an operator: nothing that cannot be deleted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.cluster.fake_api import FakeApi, serving
from trainyard.api.meta import FINALIZER_EVIDENCE
from trainyard.cluster import names, parse
from trainyard.cluster.api_server import ApiServer
from trainyard.operator.settings import Settings, parse_settings
from trainyard.operator.uninstall import RunsLive, main, uninstall

SETTINGS = parse_settings(
    "{store: {bucket: models}, trainer: {image: x}, leaderElection: {namespace: system}}"
)
PODS, JOBS = "/api/v1/namespaces/team/pods", "/apis/batch/v1/namespaces/team/jobs"
LOCKS = "/apis/coordination.k8s.io/v1/namespaces/trainyard-locks/leases"
LEADER = "/apis/coordination.k8s.io/v1/namespaces/system/leases/trainyard-leader"
LOCK = f"{LOCKS}/{names.node_lease('gpu-1')}"
LABELS = {"trainyard.dev/role": "training", "trainyard.dev/process": "digits"}
OTHERS = "batch.kubernetes.io/job-tracking"
TRACKED = [OTHERS, FINALIZER_EVIDENCE]
ENDED = {"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}
RUNNING = {"phase": "Running", "containerStatuses": [{"state": {"running": {}}}]}
OVER = {"phase": "Succeeded", "containerStatuses": [ENDED]}


@pytest.fixture
def fake() -> FakeApi:
    made = FakeApi()
    made.put(LEADER, {"spec": {"holderIdentity": "the operator", "leaseTransitions": 3}})
    return made


@pytest.fixture
def api(fake: FakeApi) -> Iterator[ApiServer]:
    with serving(fake) as made:
        yield made


def put_pod(fake: FakeApi, name: str, status: dict[str, Any], path: str = PODS) -> dict[str, Any]:
    owner = {"kind": "Job", "name": "tp-1-1", "uid": "job-uid", "controller": True}
    meta = {"labels": LABELS, "finalizers": TRACKED, "ownerReferences": [owner]}
    return fake.put(
        f"{path}/{name}", {"metadata": meta, "spec": {"nodeName": "gpu-1"}, "status": status}
    )


def put_lock(fake: FakeApi, **annotations: str) -> None:
    whole = {
        "trainyard.dev/target-node": "gpu-1",
        "trainyard.dev/holder": "team/digits",
        "trainyard.dev/boot-id": "boot-1",
        **annotations,
    }
    fake.put(LOCK, {"metadata": {"annotations": whole}, "spec": {"holderIdentity": "job-uid"}})


def finalizers(fake: FakeApi, name: str, path: str = PODS) -> list[str]:
    return list(fake.objects[f"{path}/{name}"]["metadata"]["finalizers"])


def uninstalled(
    api: ApiServer, settings: Settings = SETTINGS, *, force: bool = False
) -> tuple[list[str], list[float]]:
    """What it said, and how long it waited."""
    said: list[str] = []
    waited: list[float] = []
    uninstall(api, settings, said.append, force=force, wait=waited.append)
    return said, waited


def test_pods_that_are_over_are_let_go_and_keep_the_finalizers_of_others(
    fake: FakeApi, api: ApiServer
) -> None:
    put_pod(fake, "over", OVER)
    put_lock(fake)
    before = fake.objects[LOCK]
    said, _ = uninstalled(api)
    assert finalizers(fake, "over") == [OTHERS]
    assert said[0] == "pod team/over can be deleted now"
    assert fake.objects[LOCK] == before, "the lock of a run that is over is the next operator's"


def test_operator_is_made_to_stand_by_before_anything_is_looked_at(
    fake: FakeApi, api: ApiServer
) -> None:
    def a_pass_in_flight(seconds: float) -> None:
        assert fake.objects[LEADER]["spec"]["holderIdentity"].startswith("uninstall-")
        assert seconds >= SETTINGS.leader_election.retry_seconds
        put_pod(fake, "late", RUNNING)

    with pytest.raises(RunsLive, match="pod team/late"):
        uninstall(api, SETTINGS, lambda _: None, wait=a_pass_in_flight)


def test_live_run_is_named_and_nothing_is_changed(fake: FakeApi, api: ApiServer) -> None:
    put_pod(fake, "over", OVER)
    put_pod(fake, "alive", RUNNING)
    put_lock(fake)
    with pytest.raises(RunsLive) as refusal:
        uninstalled(api)
    first, advice = str(refusal.value).splitlines()
    assert first == "pod team/alive of TrainingProcess team/digits on node gpu-1"
    assert "1 run lives, so Trainyard is not uninstalled" in advice
    assert "with --force, then helm uninstall --no-hooks" in advice
    assert finalizers(fake, "alive") == finalizers(fake, "over") == TRACKED
    assert fake.objects[LEADER]["spec"]["holderIdentity"] == "", "the operator leads again"
    assert {path for _, path in fake.writes()} == {LEADER}


def test_phase_that_the_pod_collector_wrote_is_no_end(fake: FakeApi, api: ApiServer) -> None:
    gone = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC"}
    put_pod(fake, "lost", {**OVER, "phase": "Failed", "conditions": [gone]})
    with pytest.raises(RunsLive, match="pod team/lost"):
        uninstalled(api)


def test_force_marks_the_lock_before_it_lets_the_pod_go(fake: FakeApi, api: ApiServer) -> None:
    put_pod(fake, "alive", RUNNING)
    put_lock(fake)
    said, _ = uninstalled(api, force=True)
    assert finalizers(fake, "alive") == [OTHERS]
    lease = parse.lease(fake.objects[LOCK])
    assert "Trainyard was uninstalled while pod team/alive ran on node gpu-1" in lease.quarantined
    assert "trainyard nodes release gpu-1" in lease.quarantined
    assert lease.boot_id == "", "nobody saw the pod run in the boot that the lock was taken in"
    assert lease.holder == "team/digits"
    writes = [path for _, path in fake.writes()]
    assert writes.index(LOCK) < writes.index(f"{PODS}/alive")
    assert said[0].startswith("node gpu-1 is quarantined")


def test_force_keeps_the_boot_that_the_pod_was_seen_in(fake: FakeApi, api: ApiServer) -> None:
    made = put_pod(fake, "alive", RUNNING)
    put_lock(fake, **{"trainyard.dev/seen-pod": made["metadata"]["uid"]})
    uninstalled(api, force=True)
    assert parse.lease(fake.objects[LOCK]).boot_id == "boot-1"


def test_force_makes_a_lock_for_a_run_that_has_none(fake: FakeApi, api: ApiServer) -> None:
    put_pod(fake, "alive", RUNNING)
    uninstalled(api, force=True)
    lease = parse.lease(fake.objects[LOCK])
    assert (lease.node, lease.holder_job_uid) == ("gpu-1", "job-uid")
    assert lease.quarantined


def test_job_that_starts_counts_as_live_and_is_suspended_by_force(
    fake: FakeApi, api: ApiServer
) -> None:
    meta = {"labels": LABELS, "annotations": {"trainyard.dev/target-node": "gpu-1"}}
    fake.put(f"{JOBS}/tp-1-1", {"metadata": meta, "spec": {"suspend": False}})
    with pytest.raises(RunsLive, match="Job team/tp-1-1 of TrainingProcess team/digits"):
        uninstalled(api)
    uninstalled(api, force=True)
    assert fake.objects[f"{JOBS}/tp-1-1"]["spec"]["suspend"] is True


def test_suspended_job_of_a_waiting_run_is_left_alone(fake: FakeApi, api: ApiServer) -> None:
    job = {"metadata": {"labels": LABELS}, "spec": {"suspend": True}}
    before = fake.put(f"{JOBS}/tp-1-1", job)
    uninstalled(api)
    assert fake.objects[f"{JOBS}/tp-1-1"] == before


def test_namespaces_of_another_installation_are_not_touched(fake: FakeApi, api: ApiServer) -> None:
    other = "/api/v1/namespaces/other/pods"
    put_pod(fake, "theirs", RUNNING, other)
    put_pod(fake, "over", OVER)
    uninstalled(api, SETTINGS.model_copy(update={"namespaces": ("team",)}))
    assert finalizers(fake, "theirs", other) == TRACKED
    assert finalizers(fake, "over") == [OTHERS]


def test_pod_that_changes_meanwhile_is_read_again(fake: FakeApi, api: ApiServer) -> None:
    put_pod(fake, "over", OVER)
    changed = False

    def change(method: str, url: str) -> None:
        nonlocal changed
        if method == "PATCH" and not changed:
            changed = True
            fake.put(f"{PODS}/over", fake.objects[f"{PODS}/over"])

    fake.before = change
    uninstalled(api)
    assert changed
    assert finalizers(fake, "over") == [OTHERS]


def test_without_an_election_there_is_no_lead_to_take(fake: FakeApi, api: ApiServer) -> None:
    election = SETTINGS.leader_election.model_copy(update={"enabled": False})
    before = fake.objects[LEADER]
    _, waited = uninstalled(api, SETTINGS.model_copy(update={"leader_election": election}))
    assert fake.objects[LEADER] == before
    assert waited == []


def test_bad_settings_are_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRAINYARD_SETTINGS", "/nowhere/settings.yaml")
    assert main([]) == 78
    assert "settings file /nowhere/settings.yaml cannot be read" in capsys.readouterr().err
