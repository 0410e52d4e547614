"""Start-up, health and readiness of the process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.unit.builders import NOW, process, report
from tests.unit.cluster.fake_api import Answer, FakeApi, serving
from tests.unit.operator.test_auditor import pod
from trainyard.cluster.resources import JOB, POD, PROCESS
from trainyard.operator.health import PASS_LIMIT_SECONDS
from trainyard.operator.runtime import Runtime, StartError
from trainyard.operator.settings import LeaderElectionSettings, Settings, parse_settings

PROCESSES = "/apis/trainyard.dev/v1alpha1/namespaces"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def settings(**more: Any) -> Settings:
    made = parse_settings(
        "{store: {bucket: models}, trainer: {image: x}, leaderElection: {enabled: false}}"
    )
    progress = made.progress.model_copy(update={"port": free_port()})
    return made.model_copy(update={"progress": progress, "health_port": free_port(), **more})


def run(fake: FakeApi, test: Callable[[Runtime, Settings], Awaitable[None]], **more: Any) -> None:
    with serving(fake) as api:

        async def main() -> None:
            made = settings(**more)
            runtime = Runtime(made, api, "operator-0")
            runtime._loop = asyncio.get_running_loop()
            await asyncio.wait_for(test(runtime, made), 30)

        asyncio.run(main())


async def get(port: int, path: str) -> tuple[int, str]:
    async with ClientSession() as client, client.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, await answer.text()


async def post(port: int, path: str) -> int:
    async with ClientSession() as client, client.post(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status


def test_it_is_ready_when_everything_was_listed_and_the_watches_run() -> None:
    async def body(runtime: Runtime, made: Settings) -> None:
        port = made.health_port
        async with runtime._web():
            assert await get(port, "/healthz") == (200, "ok\n")
            assert (await get(port, "/readyz"))[0] == 503
            await runtime._first_sync()
            assert (await get(port, "/readyz"))[0] == 503
            runtime._health.watches_ready()
            assert await get(port, "/readyz") == (200, "ok\n")

    run(FakeApi(), body)


def test_port_that_is_taken_is_one_sentence() -> None:
    async def body(runtime: Runtime, made: Settings) -> None:
        with socket.socket() as taken:
            taken.bind(("0.0.0.0", made.health_port))
            taken.listen()
            with pytest.raises(StartError, match=f"port {made.health_port} cannot be listened on"):
                async with runtime._web():
                    pass

    run(FakeApi(), body)


def test_missing_crd_stops_the_start_with_the_remedy() -> None:
    async def body(runtime: Runtime, made: Settings) -> None:
        with pytest.raises(StartError, match=r"is not installed .*: apply the CRDs"):
            await runtime._first_sync()

    run(FakeApi(answers=[Answer(404, b'{"reason": "NotFound", "message": "x not found"}')]), body)


def test_api_server_that_is_not_up_yet_is_waited_for() -> None:
    async def body(runtime: Runtime, made: Settings) -> None:
        await runtime._first_sync()
        assert runtime._health._synced is not None

    run(FakeApi(answers=[Answer(503, b"{}")]), body)


def test_everything_listed_is_worked_on_and_deletions_are_noticed() -> None:
    fake = FakeApi()
    fake.put(f"{PROCESSES}/demo/trainingprocesses/digits", process().to_wire())

    async def body(runtime: Runtime, made: Settings) -> None:
        await runtime._sync()
        assert [raw["metadata"]["name"] for raw in runtime._cache.all(PROCESS)] == ["digits"]
        assert len(runtime._queue) == 1
        fake.objects.clear()
        fake.version += 1
        await runtime._sync()
        assert runtime._cache.all(PROCESS) == []

    run(fake, body)


def test_objects_of_other_namespaces_are_not_served_but_their_jobs_hold_nodes() -> None:
    fake = FakeApi()
    for namespace in ("demo", "team"):
        made = process(metadata={"namespace": namespace}).to_wire()
        fake.put(f"{PROCESSES}/{namespace}/trainingprocesses/digits", made)
        fake.put(
            f"/apis/batch/v1/namespaces/{namespace}/jobs/x",
            {"metadata": {"labels": {"trainyard.dev/role": "training"}}},
        )

    async def body(runtime: Runtime, made: Settings) -> None:
        await runtime._sync()
        assert [raw["metadata"]["namespace"] for raw in runtime._cache.all(PROCESS)] == ["demo"]
        assert len(runtime._cache.all(JOB)) == 2

    run(fake, body, namespaces=("demo",))


def test_event_of_a_watch_is_in_the_cache_and_wakes_what_it_concerns() -> None:
    async def body(runtime: Runtime, made: Settings) -> None:
        raw = process().to_wire()
        await asyncio.to_thread(runtime._feed.event, PROCESS, "ADDED", raw)
        await asyncio.sleep(0)
        assert runtime._cache.get(PROCESS, "demo/digits") == raw
        assert len(runtime._queue) == 1
        await asyncio.to_thread(runtime._feed.event, PROCESS, "DELETED", raw)
        assert runtime._cache.all(PROCESS) == []

    run(FakeApi(), body)


LEASE = "/apis/coordination.k8s.io/v1/namespaces/system/leases/trainyard-leader"
ELECTION = LeaderElectionSettings(
    namespace="system", lease_seconds=3, renew_seconds=2, retry_seconds=0.1
)


async def until(probe: Callable[[], object]) -> None:
    for _ in range(500):
        if probe():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen within 5 s")


@contextlib.asynccontextmanager
async def taking_part(runtime: Runtime) -> AsyncIterator[None]:
    """The lead and one worker, without watches."""
    assert runtime._elector is not None
    tasks = [asyncio.create_task(runtime._lead()), asyncio.create_task(runtime._work(0))]
    runtime._elector.start()
    try:
        yield
    finally:
        await asyncio.to_thread(runtime._elector.stop)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def test_standby_fills_its_cache_and_decides_nothing() -> None:
    fake = FakeApi()
    fake.put(f"{PROCESSES}/demo/trainingprocesses/digits", process().to_wire())
    fake.put(LEASE, {"spec": {"holderIdentity": "another", "leaseDurationSeconds": 60}})

    async def body(runtime: Runtime, made: Settings) -> None:
        await runtime._first_sync()
        async with taking_part(runtime), runtime._web():
            await asyncio.sleep(0.3)
            await asyncio.to_thread(runtime._feed.event, PROCESS, "ADDED", process("new").to_wire())
            await asyncio.sleep(0.1)
            assert len(runtime._cache.all(PROCESS)) == 2
            assert len(runtime._queue) == 0
            assert await post(made.progress.port, "/v1/progress") == 503
            assert fake.writes() == []
            assert "trainyard_leader 0.0" in (await get(made.health_port, "/metrics"))[1]

    run(fake, body, leader_election=ELECTION)


def test_who_wins_the_lead_works_on_everything_and_listens_from_then_on() -> None:
    fake = FakeApi()
    fake.put(f"{PROCESSES}/demo/trainingprocesses/digits", process().to_wire())

    async def body(runtime: Runtime, made: Settings) -> None:
        await runtime._first_sync()
        before = runtime._reports.listening_since
        status = f"{PROCESSES}/demo/trainingprocesses/digits/status"
        async with taking_part(runtime), runtime._web():
            await until(lambda: ("PATCH", status) in fake.writes())
            assert runtime._reports.listening_since > before
            assert "trainyard_leader 1.0" in (await get(made.health_port, "/metrics"))[1]
        assert fake.objects[LEASE]["spec"]["holderIdentity"] == "", "given back at the end"

    run(fake, body, leader_election=ELECTION)


def test_who_loses_the_lead_stops_and_begins_again_when_it_has_it_back() -> None:
    fake = FakeApi()

    async def body(runtime: Runtime, made: Settings) -> None:
        async with taking_part(runtime):
            await until(runtime._may_decide)
            fake.put(LEASE, {"spec": {"holderIdentity": "another", "leaseDurationSeconds": 1}})
            await until(lambda: not runtime._deciding.is_set())
            raw = process(metadata={"resourceVersion": "1"}).to_wire()
            await asyncio.to_thread(runtime._feed.event, PROCESS, "ADDED", raw)
            await asyncio.sleep(0.1)
            assert [path for _, path in fake.writes() if "trainingprocesses" in path] == []
            fake.put(f"{PROCESSES}/demo/trainingprocesses/digits", raw)
            await until(lambda: any("trainingprocesses" in path for _, path in fake.writes()))
            assert fake.objects[LEASE]["spec"]["holderIdentity"].startswith("operator-0_")

    run(fake, body, leader_election=ELECTION)


def test_worker_whose_renewal_is_late_keeps_its_key_until_that_is_known() -> None:
    fake = FakeApi()
    fake.put(f"{PROCESSES}/demo/trainingprocesses/digits", process().to_wire())

    async def body(runtime: Runtime, made: Settings) -> None:
        elector = runtime._elector
        assert elector is not None
        await runtime._first_sync()
        elector.step()
        await asyncio.sleep(0)
        lead = asyncio.create_task(runtime._lead())
        await until(runtime._deciding.is_set)
        lead.cancel()
        elector._renewed -= 100
        worker = asyncio.create_task(runtime._work(0))
        await asyncio.sleep(0.3)
        assert [path for _, path in fake.writes() if "trainingprocesses" in path] == []
        elector._renewed += 100
        await until(lambda: any("trainingprocesses" in path for _, path in fake.writes()))
        worker.cancel()

    run(fake, body, leader_election=ELECTION.model_copy(update={"renew_seconds": 60}))


def test_every_operator_decides_without_an_election() -> None:
    async def body(runtime: Runtime, made: Settings) -> None:
        assert runtime._may_decide()

    run(FakeApi(), body)


def test_reports_about_what_has_ended_are_forgotten() -> None:
    async def body(runtime: Runtime, made: Settings) -> None:
        raw = process().to_wire()
        uid = raw["metadata"]["uid"]

        def told(**status: str) -> bool:
            runtime._reports.put(report(10, uid=uid).report, NOW)
            runtime._feed.event(PROCESS, "MODIFIED", {**raw, "status": status})
            return runtime._reports.get(uid) is not None

        assert await asyncio.to_thread(told, phase="Running")
        assert not await asyncio.to_thread(told, phase="Succeeded")
        assert not await asyncio.to_thread(told, phase="Failed")
        runtime._reports.put(report(10, uid=uid).report, NOW)
        await runtime._sync()
        assert len(runtime._reports) == 0, "a LIST without the object"

    run(FakeApi(), body)


def test_two_live_pods_of_a_node_are_counted_from_events_and_from_lists() -> None:
    fake = FakeApi()
    doubles = "trainyard_node_double_placements_total"

    async def body(runtime: Runtime, made: Settings) -> None:
        async with runtime._web():
            for name in ("a", "b"):
                await asyncio.to_thread(runtime._feed.event, POD, "ADDED", pod(name))
            assert f"{doubles} 1.0" in (await get(made.health_port, "/metrics"))[1]
            for name in ("c", "d"):
                fake.put(f"/api/v1/namespaces/demo/pods/{name}", pod(name))
            await runtime._sync()
            assert f"{doubles} 2.0" in (await get(made.health_port, "/metrics"))[1]

    run(fake, body)


def test_health_names_what_hangs() -> None:
    async def body(runtime: Runtime, made: Settings) -> None:
        async with runtime._web():
            runtime._health._clock = lambda: time.monotonic() + PASS_LIMIT_SECONDS
            runtime._health._passes[0] = (0.0, "Node gpu-1")
            status, text = await get(made.health_port, "/healthz")
            assert status == 503
            assert text.startswith("a worker has been busy with Node gpu-1 for ")

    run(FakeApi(), body)
