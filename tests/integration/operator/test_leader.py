"""Two operators: one leads and the other takes over, whatever becomes of the first."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from support.fixtures import Cluster
from support.invariants import InvariantChecker
from support.operator_process import OperatorProcess
from support.scraping import leads, writes
from support.trainer import progress_of
from support.waiting import eventually, never
from support.world import World

from trainyard.cluster.resources import LEASE, PROCESS
from trainyard_local import processes
from trainyard_local.web import ask

SYSTEM, NAME = "trainyard-system", "trainyard-leader"
LEASE_SECONDS, RENEW_SECONDS, RETRY_SECONDS = 4, 3, 0.3
SLACK_SECONDS = 3.0
"""For a busy machine."""


@dataclass
class Pair:
    """Two operators of which one leads."""

    both: tuple[OperatorProcess, OperatorProcess]

    def start(self) -> Pair:
        """Start those that do not run, and wait until one leads."""
        for one in self.both:
            one.launch()
        for one in self.both:
            one.start()
        self.leader(within=LEASE_SECONDS + RETRY_SECONDS + SLACK_SECONDS)
        return self

    def leader(self, *, within: float = 1.0) -> OperatorProcess:
        """The one that leads."""
        return eventually(
            "one of two operators leading",
            lambda: next((one for one in self.both if leads(one)), None),
            within=within,
        )

    def other(self, than: OperatorProcess) -> OperatorProcess:
        """The one that is not this one."""
        return next(one for one in self.both if one is not than)

    def takes_over(self, one: OperatorProcess, *, within: float) -> float:
        """Wait until one leads; gives how long that took, in seconds."""
        begun = time.monotonic()
        eventually("the other one taking over", lambda: leads(one), within=within, every=0.05)
        return time.monotonic() - begun


def _pid(operator: OperatorProcess) -> int:
    record = processes.read_record(operator._service())
    assert record is not None
    return record.pid


def _answers(operator: OperatorProcess, path: str) -> int:
    return ask(f"http://127.0.0.1:{operator.health_port}{path}").status


@pytest.fixture
def pair(
    operator_of_session: OperatorProcess, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    operator_of_session.stop()
    old = cluster.api.get(LEASE, NAME, SYSTEM)
    if old is not None:
        cluster.api.delete(LEASE, NAME, SYSTEM, uid=old["metadata"]["uid"])
    election = {
        "leaseSeconds": LEASE_SECONDS,
        "renewSeconds": RENEW_SECONDS,
        "retrySeconds": RETRY_SECONDS,
    }
    one, another = (
        OperatorProcess(
            folder=tmp_path_factory.mktemp("operator"),
            kubeconfig=operator_of_session.kubeconfig,
            account=operator_of_session.account,
            settings={**operator_of_session.settings, "leaderElection": election},
        )
        for _ in range(2)
    )
    made = Pair((one, another))
    yield made.start()
    for operator in made.both:
        print(operator.log())
        if operator.running():
            operator.kill()
        assert "Traceback" not in operator.log(), operator.log()[-5000:]


@pytest.fixture
def operator(pair: Pair) -> OperatorProcess:
    """What the world asks for; the tests ask the pair."""
    return pair.both[0]


def test_killed_it_is_replaced_when_its_lease_has_run_out_and_the_run_goes_on(
    world: World, pair: Pair
) -> None:
    world.ready_inputs()
    hold = world.process("cats", held=True)
    assert hold.started.wait(60)
    world.wait_phase(PROCESS, "cats", "Running")
    first = pair.leader()
    second = pair.other(first)
    assert not leads(second)
    assert _answers(second, "/readyz") == _answers(second, "/healthz") == 200
    first.kill()
    took = pair.takes_over(second, within=LEASE_SECONDS + 2 * RETRY_SECONDS + SLACK_SECONDS)
    assert took > LEASE_SECONDS - RENEW_SECONDS, "not before the lease has run out"
    hold.let_go.set()
    status = world.succeeds("cats")
    assert len(status["attempts"]) == 1
    assert len(world.jobs("cats")) == 1
    first.start()
    never("a second leader", lambda: leads(first), during=1)


def test_asked_to_end_it_hands_over_at_once(world: World, pair: Pair) -> None:
    first = pair.leader()
    second = pair.other(first)
    codes: list[int] = []
    ending = threading.Thread(target=lambda: codes.append(first.terminate()))
    ending.start()
    took = pair.takes_over(second, within=LEASE_SECONDS + SLACK_SECONDS)
    ending.join()
    assert codes == [0]
    assert "has run out" not in second.log(), "the lease was given back"
    print(f"took over after {took:.1f} s")


def test_paused_past_its_lease_it_stands_by_when_it_wakes(
    world: World, pair: Pair, checker: InvariantChecker
) -> None:
    world.ready_inputs()
    hold = world.process("first", held=True)
    assert hold.started.wait(60)
    world.process("second")
    world.wait_reason("second", "NodeReserved", "WaitingForNode")
    paused = pair.leader()
    second = pair.other(paused)
    os.kill(_pid(paused), signal.SIGSTOP)
    try:
        hold.let_go.set()
        pair.takes_over(second, within=LEASE_SECONDS + 2 * RETRY_SECONDS + SLACK_SECONDS)
        world.succeeds("first")
        world.succeeds("second")
    finally:
        os.kill(_pid(paused), signal.SIGCONT)
    eventually("its answers", lambda: _answers(paused, "/readyz") == 200, within=10)
    never("two leaders", lambda: leads(paused), during=1)
    assert leads(second)
    assert _answers(paused, "/healthz") == 200
    assert paused.running(), "it stands by without a restart"
    for name in ("first", "second"):
        assert len(world.jobs(name)) == len(world.status(name)["attempts"]) == 1
    assert checker.most_live[world.node] == 1
    # And it is as good a leader as before.
    assert second.terminate() == 0
    pair.takes_over(paused, within=LEASE_SECONDS + SLACK_SECONDS)
    world.process("third")
    world.succeeds("third")


def test_a_standby_refuses_reports_and_they_reach_the_leader(world: World, pair: Pair) -> None:
    world.ready_inputs()
    hold = world.process("cats", held=True)
    assert hold.started.wait(60)
    assert hold.run is not None
    standby = pair.other(pair.leader())
    answer = ask(f"{standby.url}/v1/progress", method="POST", body={})
    assert answer.status == 503
    assert hold.run.report(progress_of(hold.run.run_file(), 1, 4)) == 204
    eventually("the report in status", lambda: "progress" in world.status("cats"))
    hold.let_go.set()
    world.succeeds("cats")


def test_settled_two_operators_write_nothing_but_the_renewal_of_their_lease(
    world: World, pair: Pair
) -> None:
    world.ready_inputs()
    hold = world.process("running", held=True)
    assert hold.started.wait(60)
    world.wait_phase(PROCESS, "running", "Running")
    world.process("queued")
    world.wait_reason("queued", "NodeReserved", "WaitingForNode")
    world.is_alone()
    time.sleep(2)
    before, lock = writes(world.api), world.lease()
    renewed = world.api.get(LEASE, NAME, SYSTEM)
    time.sleep(6)
    assert writes(world.api) - before == Counter()
    assert world.lease() == lock
    now = world.api.get(LEASE, NAME, SYSTEM)
    assert renewed is not None
    assert now is not None
    assert now["spec"]["renewTime"] > renewed["spec"]["renewTime"]
    assert now["spec"]["leaseTransitions"] == renewed["spec"]["leaseTransitions"]
    hold.let_go.set()
    world.succeeds("queued")
