"""Two operators that both decide, killed and paused at random: never two on a node, no orphans."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from support.fault_proxy import Exchange, FaultProxy, Scope, Write
from support.forked_operator import ForkedOperator
from support.invariants import InvariantChecker
from support.plot import Plot
from support.trainer import Epochs
from support.waiting import eventually

from trainyard.cluster.resources import PROCESS

PAST_ALL_TIMEOUTS_SECONDS = 35.0


@dataclass
class Pair:
    """Two operators of the same namespace and nodes."""

    plot: Plot
    operators: tuple[ForkedOperator, ForkedOperator]
    proxies: tuple[FaultProxy, FaultProxy]
    kills: int = 0
    pauses: int = 0

    def disturb(self, dice: random.Random, until: float, pauses: tuple[float, ...]) -> None:
        """Kill and pause one of them again and again; each pause of `pauses` once at least."""
        left = list(pauses)
        while time.monotonic() < until or left:
            victim = dice.choice(self.operators)
            time.sleep(dice.uniform(0.1, 1.5))
            if not victim.running():
                victim.launch()
                continue
            if left and dice.random() < 0.5:
                victim.pause()
                self.pauses += 1
                self._wait(victim, left.pop(0), dice)
                victim.go_on()
            elif dice.random() < 0.5:
                victim.kill()
                self.kills += 1
                time.sleep(dice.uniform(0, 1))
                victim.launch()
            else:
                victim.pause()
                self.pauses += 1
                time.sleep(dice.uniform(0.1, 2.5))
                victim.go_on()

    def _wait(self, paused: ForkedOperator, seconds: float, dice: random.Random) -> None:
        """The other one works, and dies now and then."""
        [other] = [item for item in self.operators if item is not paused]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(min(dice.uniform(1, 6), max(0.0, end - time.monotonic())))
            if dice.random() < 0.3 and other.running():
                other.kill()
                self.kills += 1
            other.launch()


def _pair(new_plot: Callable[..., Plot]) -> Pair:
    plot = new_plot(nodes=2)
    folder = plot.operator.folder.with_name(f"{plot.namespace}-2")
    proxy = FaultProxy(plot.yard.loop, folder, Scope(plot.namespace, frozenset(plot.nodes)))
    second = plot.yard.operator(folder, proxy.kubeconfig)
    second.shared_url = plot.operator.url
    return Pair(plot, (plot.operator, second.start()), (plot.proxy, proxy))


def _play(
    pair: Pair, checker: InvariantChecker, *, runs: int, seconds: float, pauses: tuple[float, ...]
) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    dice, plot = random.Random(seed), pair.plot
    names = [f"run-{number}" for number in range(runs)]
    trainers = {name: Epochs(seconds=0.2) for name in names}
    for number, name in enumerate(names):
        plot.kubelet.script(plot.namespace, name, trainers[name])
        plot.process(name, targetNode=plot.nodes[number % 2])
    try:
        pair.disturb(dice, time.monotonic() + seconds, pauses)
        for operator in pair.operators:
            operator.launch()
        for name in names:
            status = plot.succeeds(name, within=120)
            assert len(status["attempts"]) == 1, f"seed {seed}: {status['attempts']}"
            assert len(plot.jobs(name)) == 1, f"seed {seed}"
            assert len(plot.pods(name)) == 1, f"seed {seed}"
            assert len(plot.config_maps(name)) == 1, f"seed {seed}"
            assert trainers[name].trained == {1: [1, 2, 3, 4]}, f"seed {seed}"
        plot.wait_released(*plot.nodes)
    finally:
        pair.operators[1].stop()
        pair.proxies[1].stop()
    for node in plot.nodes:
        assert checker.most_live[node] == 1, f"seed {seed}"
    print(f"{runs} runs, {pair.kills} kills, {pair.pauses} pauses, no breach, no orphan")


def test_two_operators_killed_and_paused_at_random_never_put_two_on_a_node(
    new_plot: Callable[..., Plot], checker: InvariantChecker
) -> None:
    _play(_pair(new_plot), checker, runs=6, seconds=12, pauses=(2.0,))


@pytest.mark.full
@pytest.mark.timeout(1200)
def test_two_operators_for_the_length_of_a_demo_paused_past_any_timeout(
    new_plot: Callable[..., Plot], checker: InvariantChecker
) -> None:
    pauses = (PAST_ALL_TIMEOUTS_SECONDS, 5.0, PAST_ALL_TIMEOUTS_SECONDS)
    _play(_pair(new_plot), checker, runs=60, seconds=240, pauses=pauses)


def test_of_two_operators_the_one_that_was_paused_at_its_start_starts_nothing_late(
    new_plot: Callable[..., Plot], checker: InvariantChecker
) -> None:
    """Paused just before it unsuspends a Job, while the other one ends that run and starts one."""
    pair = _pair(new_plot)
    plot = pair.plot
    first, second = pair.operators
    second.kill()
    held = Epochs(hold_after=1)
    plot.kubelet.script(plot.namespace, "late", held)
    late: list[Write] = []
    gone = threading.Event()

    async def pause(exchange: Exchange) -> Any:
        late.append(exchange.write)
        while not gone.is_set():
            await asyncio.sleep(0.05)
        return await exchange.forward()

    pair.proxies[0].when(lambda write: write.what == "PATCH jobs suspend=False", pause)
    plot.process("late")
    eventually("the start being on its way", lambda: late)
    first.pause()
    second.start()
    plot.delete(PROCESS, "late")
    plot.wait_gone("late")
    plot.wait_released()
    trainer = plot.held("next")
    gone.set()
    first.go_on()
    time.sleep(2)
    assert late[0].status in (404, 409)
    trainer.let_go.set()
    plot.succeeds("next")
    second.stop()
    pair.proxies[1].stop()
    assert checker.most_live[plot.node] == 1
