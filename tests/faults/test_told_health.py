"""Health as the kubelet asks for it, while the way to the API server fails in each way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from support.forked_operator import ForkedOperator
from support.plot import Plot
from support.scraping import scrape
from support.waiting import eventually, never

from trainyard.cluster.resources import PROCESS, WATCHED
from trainyard_local.web import ask

RESYNC_SECONDS, STALLED_SECONDS = 6, 8
INACTIVITY_SECONDS = 70
"""After so long without a word kopf opens a watch anew."""
PlotMaker = Callable[..., Plot]


def told(operator: ForkedOperator, path: str) -> tuple[int, str]:
    """What an operator answers."""
    answer = ask(f"http://127.0.0.1:{operator.health_port}{path}")
    return answer.status, answer.body.decode().strip()


def is_well(operator: ForkedOperator) -> bool:
    return told(operator, "/healthz")[0] == told(operator, "/readyz")[0] == 200


def ill(operator: ForkedOperator) -> str:
    """What is wrong; empty: nothing."""
    status, sentence = told(operator, "/healthz")
    return sentence if status == 503 else ""


@pytest.fixture
def small(new_plot: PlotMaker) -> Plot:
    """A plot whose operator looks often, and is patient for seconds only."""
    made = new_plot(resyncSeconds=RESYNC_SECONDS, stalledAfterSeconds=STALLED_SECONDS)
    # kopf says that it is ready a moment before it has opened them.
    eventually("its watches being open", lambda: made.proxy.open_watches == len(WATCHED))
    return made


@pytest.fixture
def standby(small: Plot) -> Iterator[ForkedOperator]:
    """Another operator, which stands by: somebody else holds the Lease."""
    election = {"enabled": True, "leaseSeconds": 4, "renewSeconds": 3, "retrySeconds": 0.3}
    leader = small.yard.operator(
        small.yard.folder / f"{small.namespace}-leader",
        small.proxy.kubeconfig,
        leaderElection=election,
    )
    leader.start()
    eventually("the lead", lambda: scrape(leader).get("trainyard_leader") == 1)
    before = small.proxy.open_watches
    made = small.yard.operator(
        small.yard.folder / f"{small.namespace}-standby",
        small.proxy.kubeconfig,
        leaderElection=election,
        resyncSeconds=RESYNC_SECONDS,
        stalledAfterSeconds=STALLED_SECONDS,
    )
    made.start()
    assert scrape(made)["trainyard_leader"] == 0
    watches = before + len(WATCHED)
    eventually("its watches being open", lambda: small.proxy.open_watches == watches)
    yield made
    made.stop()
    leader.stop()


def change(plot: Plot, mark: str) -> None:
    """Change something that is watched: a draft."""
    if plot.get(PROCESS, "draft") is None:
        plot.process("draft", suspend=True)
    plot.patch(PROCESS, "draft", {"metadata": {"labels": {"changed": mark}}})


def test_a_watch_that_says_nothing_makes_it_unhealthy_and_the_word_of_another_change_heals_it(
    small: Plot,
) -> None:
    assert is_well(small.operator)
    small.proxy.drop_events(lambda event: event["object"].get("kind") == "TrainingProcess")
    change(small, "unheard")
    sentence = eventually("its illness", lambda: ill(small.operator), within=60)
    assert sentence == (
        f"no event came of trainingprocesses {small.namespace}/draft, which has changed"
    )
    assert scrape(small.operator)["trainyard_healthy"] == 0
    small.proxy.heal()
    change(small, "heard")
    eventually("its health", lambda: is_well(small.operator), within=10)
    assert scrape(small.operator)["trainyard_healthy"] == 1


@pytest.mark.full
def test_a_standby_is_ill_as_well_when_it_is_told_nothing(
    small: Plot, standby: ForkedOperator
) -> None:
    small.proxy.drop_events(lambda event: event["object"].get("kind") == "TrainingProcess")
    change(small, "unheard")
    assert eventually("its illness", lambda: ill(standby), within=60).startswith("no event came of")
    small.proxy.heal()
    change(small, "heard")
    eventually("its health", lambda: is_well(standby), within=10)


def test_a_connection_that_stands_still_makes_it_unhealthy(small: Plot) -> None:
    small.proxy.stall_watches()
    change(small, "unheard")
    sentence = eventually("its illness", lambda: ill(small.operator), within=60)
    assert sentence.startswith("no event came of ")


@pytest.mark.full
def test_a_connection_that_stands_still_is_opened_anew_and_then_it_is_well(small: Plot) -> None:
    small.proxy.stall_watches()
    begun = time.monotonic()
    change(small, "unheard")
    eventually("its illness", lambda: ill(small.operator), within=60)
    eventually("its health", lambda: is_well(small.operator), within=INACTIVITY_SECONDS + 30)
    assert time.monotonic() - begun > INACTIVITY_SECONDS / 2, "not by the test's own doing"


def test_what_was_deleted_while_the_watches_were_forgotten_is_noticed_in_good_health(
    small: Plot,
) -> None:
    small.held("cats")
    small.process("next")
    small.wait_reason("next", "NodeReserved", "WaitingForNode")
    # Deletions are lost; then each watch is told that what it saw last is too old to go on from.
    small.proxy.drop_events(lambda event: event["type"] == "DELETED")
    small.delete(PROCESS, "cats")
    small.wait_gone("cats")
    small.proxy.heal()
    small.proxy.expire_watches()
    small.succeeds("next")
    never("an illness", lambda: ill(small.operator), during=RESYNC_SECONDS + STALLED_SECONDS + 2)
    assert is_well(small.operator)


@pytest.mark.full
def test_connections_that_break_again_and_again_are_no_illness(small: Plot) -> None:
    begun = time.monotonic()
    number = 0
    while time.monotonic() - begun < RESYNC_SECONDS + STALLED_SECONDS + 4:
        small.proxy.cut_connections()
        change(small, str(number := number + 1))
        assert not ill(small.operator)
        time.sleep(0.5)
    assert is_well(small.operator)


def test_a_watch_that_is_refused_ends_the_operator_and_the_next_one_goes_on(small: Plot) -> None:
    trainer = small.held("cats")
    small.proxy.forgetful = True
    small.proxy.cut_connections()
    eventually("its end", lambda: not small.operator.running(), within=60, seen=small.operator.log)
    log = small.operator.folder / "operator.log"
    assert "ERROR trainyard.operator: the operator ends" in log.read_text()
    # With a traceback, which is meant here and nowhere else.
    log.unlink()
    small.proxy.heal()
    small.operator.start()
    trainer.let_go.set()
    assert len(small.succeeds("cats")["attempts"]) == 1


@pytest.mark.full
def test_an_api_server_that_is_away_makes_it_ill_only_when_a_resync_is_long_overdue(
    small: Plot,
) -> None:
    begun = time.monotonic()
    small.proxy.available = False
    sentence = eventually("its illness", lambda: ill(small.operator), within=60)
    assert sentence.startswith("no resync since ")
    assert time.monotonic() - begun > STALLED_SECONDS
    assert told(small.operator, "/readyz")[0] == 200, "its cache is old, not empty"
    small.proxy.heal()
    eventually("its health", lambda: is_well(small.operator), within=30)


@pytest.mark.full
def test_an_operator_that_cannot_list_is_healthy_and_not_ready(
    new_plot: PlotMaker,
) -> None:
    plot = new_plot(resyncSeconds=RESYNC_SECONDS, stalledAfterSeconds=STALLED_SECONDS)
    plot.operator.kill()
    plot.proxy.available = False
    plot.operator.launch()
    eventually("its answer", lambda: told(plot.operator, "/readyz")[0] == 503)
    assert told(plot.operator, "/readyz")[1] == "the caches are not filled yet"
    never("an illness", lambda: ill(plot.operator), during=STALLED_SECONDS + 2)
    found = scrape(plot.operator)
    assert (found["trainyard_healthy"], found["trainyard_ready"]) == (1, 0)
    plot.proxy.heal()
    eventually("it being ready", lambda: is_well(plot.operator), within=60)


@pytest.mark.full
def test_pods_that_come_and_go_while_paused_are_no_illness(small: Plot) -> None:
    """SIGSTOP: on its return an operator is late with everything, and has missed nothing."""
    trainer = small.held("cats")
    small.operator.pause()
    trainer.let_go.set()
    eventually(
        "the pod's end",
        lambda: all(pod["status"]["phase"] == "Succeeded" for pod in small.pods("cats")),
    )
    time.sleep(STALLED_SECONDS + RESYNC_SECONDS + 1)
    small.operator.go_on()
    small.succeeds("cats")
    eventually("its health", lambda: is_well(small.operator), within=STALLED_SECONDS)
    never("an illness", lambda: ill(small.operator), during=RESYNC_SECONDS + STALLED_SECONDS + 2)
