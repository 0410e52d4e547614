"""Reports of trainer pods: shown in status, and believed of nobody but the pod itself."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import requests
from support.scraping import scrape
from support.trainer import Hold, PodRun, pod_token, progress_of, send
from support.waiting import eventually, never
from support.world import World

from trainyard.api.report import LONGEST_REMAINING_SECONDS, ProgressReport, Stage
from trainyard.cluster.resources import DATASET, POD, PROCESS
from trainyard.operator.reports import ReportOutcome


def _running(world: World, name: str, **spec: object) -> PodRun:
    hold = world.process(name, held=True, **spec)
    assert hold.started.wait(60), world.explain(name)
    world.wait_phase(PROCESS, name, "Running")
    assert hold.run is not None
    return hold.run


def _shows(world: World, epoch: int) -> bool:
    return bool(world.status("cats").get("progress", {}).get("epoch") == epoch)


def test_the_newest_report_shows_in_status_and_in_the_columns(world: World) -> None:
    world.ready_inputs()
    run = _running(world, "cats")
    for epoch in (1, 2):
        assert run.report(progress_of(run.run_file(), epoch, 4)) == 204
        eventually("the report in status", partial(_shows, world, epoch))
    status = world.status("cats")
    progress = status["progress"]
    assert (progress["percent"], progress["epoch"], progress["epochs"]) == (50, 2, 4)
    assert progress["estimatedRemainingSeconds"] == 200
    assert progress["estimatedCompletionTime"] > progress["lastUpdatedTime"]
    assert status["history"] == [
        {"epoch": 1, "learningRate": "0.01", "trainLoss": "2", "devAccuracy": "0.5"},
        {"epoch": 2, "learningRate": "0.005", "trainLoss": "1", "devAccuracy": "0.75"},
    ]
    assert status["metrics"] == [{"name": "top-1", "value": "0.75"}]
    row = world.row(PROCESS, "cats")
    assert (row["PROGRESS"], row["ETA"], row["METRIC"]) == ("50% (2/4)", "~3m", "top-1 0.750")


@contextmanager
def _counted(world: World, **expected: int) -> Iterator[None]:
    """What is done in between counts so many reports of each outcome, and of no other."""
    before = scrape(world.operator)
    yield
    after = scrape(world.operator)
    name = "trainyard_progress_reports_total"
    grown = {
        outcome: int(after[key] - before[key])
        for outcome in map(str, ReportOutcome)
        if after[key := f'{name}{{outcome="{outcome}"}}'] != before[key]
    }
    assert grown == expected


def test_a_report_without_a_token_or_with_one_that_is_not_ours_is_refused(world: World) -> None:
    world.ready_inputs()
    run = _running(world, "cats")
    report, url = progress_of(run.run_file(), 3, 4), world.operator.url
    other_audience = run.token("https://kubernetes.default.svc")
    with _counted(world, no_token=1, bad_token=2):
        assert send(url, report, None).status_code == 401
        assert send(url, report, "x.y.z").status_code == 401
        assert send(url, report, other_audience).status_code == 401
    never("progress in status", lambda: world.status("cats").get("progress"), during=1)


def test_a_pod_can_report_about_itself_only(world: World) -> None:
    world.ready_inputs()
    mine = _running(world, "mine")
    theirs = _running(world, "theirs", targetNode=world.other_node)
    other_attempt = progress_of(mine.run_file(), 1, 4).model_copy(update={"attempt": 2})
    with _counted(world, other_object=2):
        answer = send(world.operator.url, progress_of(theirs.run_file(), 3, 4), mine.token())
        assert answer.status_code == 403
        assert answer.json()["message"] == "the report is about something else than the pod"
        assert send(world.operator.url, other_attempt, mine.token()).status_code == 403
    never("progress in status", lambda: world.status("theirs").get("progress"), during=1)


def test_a_pod_that_is_not_ours_cannot_report_although_it_says_so_in_its_labels(
    world: World,
) -> None:
    world.ready_inputs()
    run = _running(world, "cats")
    labels = run.pod["metadata"]["labels"]
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "impostor",
            "namespace": world.namespace,
            # Without the role: it would count as a training on the node.
            "labels": {key: labels[key] for key in labels if not key.endswith("/role")},
        },
        "spec": {
            "nodeSelector": {"nowhere": "true"},
            "containers": [{"name": "x", "image": "x"}],
        },
    }
    impostor = world.api.create(POD, body, world.namespace)
    token = pod_token(world.api, impostor)
    with _counted(world, unknown_pod=1):
        answer = send(world.operator.url, progress_of(run.run_file(), 3, 4), token)
    assert answer.status_code == 403
    assert answer.json()["message"] == "the pod is not one of ours"


def test_what_is_no_report_is_refused_without_harm(world: World) -> None:
    world.ready_inputs()
    run = _running(world, "cats")
    url, token = f"{world.operator.url}/v1/progress", run.token()
    with requests.Session() as session, _counted(world, malformed=8, too_large=2):
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {token}"
        good = progress_of(run.run_file(), 1, 4).to_wire()
        bodies = [b"{", b'{"percent": 101}', b"[" * 100_000, b"\xff\x00"]
        # Each alone would keep the operator from deciding about the process, or from writing it.
        for field, value in (
            ("percent", 1e9),
            ("epoch", 2**63),
            ("estimatedRemainingSeconds", 10**18),
            ("history", [{"epoch": 1, "trainLoss": float("nan")}]),
        ):
            bodies.append(json.dumps({**good, field: value}).encode())
        for body in bodies:
            assert session.post(url, data=body, timeout=5).status_code == 422, body[:200]
        assert session.post(url, data=b"x" * 300_000, timeout=5).status_code == 413
        # Without its length, and far more than is read of it.
        endless = (b"x" * 10_000 for _ in range(100))
        with contextlib.suppress(requests.ConnectionError):
            assert session.post(url, data=endless, timeout=5).status_code == 413
        assert session.get(url, timeout=5).status_code == 405
    most = progress_of(run.run_file(), 1, 4).model_copy(
        update={"epoch": 2**31 - 1, "estimated_remaining_seconds": LONGEST_REMAINING_SECONDS}
    )
    with _counted(world, accepted=2):
        assert run.report(most) == 204
        eventually("the most that can be said", partial(_shows, world, 2**31 - 1))
        assert run.report(progress_of(run.run_file(), 1, 4)) == 204
        eventually("the report in status", partial(_shows, world, 1))


def test_a_report_after_the_end_changes_nothing(world: World) -> None:
    world.ready_inputs()
    run = _running(world, "cats")
    report, token = progress_of(run.run_file(), 1, 4), run.token()
    hold = world.kubelet._script_of(run.pod)
    assert isinstance(hold, Hold)
    hold.let_go.set()
    status = world.succeeds("cats")
    send(world.operator.url, report, token)
    never("a change of status", lambda: world.status("cats") != status, during=2)


def test_a_snapshot_reports_its_progress_as_well(world: World) -> None:
    hold = Hold()
    world.kubelet.script(world.namespace, "train", hold)
    world.dataset("train")
    assert hold.started.wait(60)
    assert hold.run is not None
    told = hold.run.snapshot_file()
    report = ProgressReport(
        kind="snapshot", uid=told.uid, stage=Stage.READ, percent=40, message="400 of 1000 images"
    )
    assert hold.run.report(report) == 204
    eventually(
        "the progress in status",
        lambda: (
            world.status("train", DATASET).get("progress")
            == {"percent": 40, "message": "400 of 1000 images"}
        ),
    )
    hold.let_go.set()
    assert "progress" not in world.wait_phase(DATASET, "train", "Ready")
