"""Start-up, health and readiness of the process."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.unit.builders import process
from tests.unit.cluster.fake_api import Answer, FakeApi, serving
from trainyard.cluster.resources import JOB, PROCESS
from trainyard.operator.runtime import Runtime, StartError
from trainyard.operator.settings import Settings, parse_settings

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
