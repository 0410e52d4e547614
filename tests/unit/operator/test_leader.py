"""Who leads: one of several, for as long as it renews its Lease."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.unit.cluster.fake_api import Answer, FakeApi, serving
from trainyard.cluster.api_server import ApiServer
from trainyard.operator.leader import Elector
from trainyard.operator.settings import LeaderElectionSettings

PATH = "/apis/coordination.k8s.io/v1/namespaces/system/leases/lead"
SETTINGS = LeaderElectionSettings(
    namespace="system", name="lead", lease_seconds=15, renew_seconds=10, retry_seconds=2
)


@dataclass
class Candidate:
    """An elector whose time is moved by hand."""

    api: ApiServer
    name: str
    settings: LeaderElectionSettings = SETTINGS
    time: float = 1000.0
    told: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.elector = Elector(
            self.api, self.settings, self.name, self.told.append, lambda: self.time
        )

    def step(self, seconds: float = 0.0) -> bool:
        """Let time pass, then look."""
        self.time += seconds
        self.elector.step()
        return self.elector.leading


@contextmanager
def candidates(fake: FakeApi, *names: str) -> Iterator[list[Candidate]]:
    with serving(fake) as api:
        yield [Candidate(api, name) for name in names]


def spec(fake: FakeApi) -> dict[str, Any]:
    found: dict[str, Any] = fake.objects[PATH]["spec"]
    return found


def test_first_one_makes_the_lease_and_leads() -> None:
    fake = FakeApi()
    with candidates(fake, "a") as (a,):
        assert not a.elector.leading
        assert a.step()
        assert a.told == [True]
        assert spec(fake)["holderIdentity"] == "a"
        assert spec(fake)["leaseDurationSeconds"] == 15
        assert spec(fake)["leaseTransitions"] == 0


def test_another_one_stands_by_while_the_lease_is_renewed() -> None:
    with candidates(FakeApi(), "a", "b") as (a, b):
        a.step()
        for _ in range(20):
            assert a.step(2)
            assert not b.step(2)
        assert b.told == []


def test_it_takes_over_when_the_lease_has_not_changed_for_its_duration() -> None:
    fake = FakeApi()
    with candidates(fake, "a", "b") as (a, b):
        a.step()
        assert not b.step()
        assert not b.step(14.9)
        assert b.step(0.1)
        assert spec(fake)["holderIdentity"] == "b"
        assert spec(fake)["leaseTransitions"] == 1


def test_it_counts_from_the_change_that_it_saw_and_not_by_the_holders_clock() -> None:
    fake = FakeApi()
    with candidates(fake, "b") as (b,):
        stale = {
            "holderIdentity": "a",
            "leaseDurationSeconds": 15,
            "renewTime": "1999-01-01T00:00:00.000000Z",
        }
        fake.put(PATH, {"spec": stale})
        assert not b.step()
        # Another machine's clock went back by an hour: still it was renewed.
        fake.put(PATH, {"spec": {**stale, "renewTime": "1998-12-31T23:00:00.000000Z"}})
        assert not b.step(14)
        assert not b.step(14)
        assert b.step(1)


def test_it_waits_for_as_long_as_the_holder_said() -> None:
    fake = FakeApi()
    with candidates(fake, "b") as (b,):
        fake.put(PATH, {"spec": {"holderIdentity": "a", "leaseDurationSeconds": 60}})
        b.step()
        assert not b.step(59)
        assert b.step(1)


@pytest.mark.parametrize("seconds", [None, "15", 0, -1, 10**9])
def test_duration_that_makes_no_sense_counts_as_ones_own(seconds: Any) -> None:
    fake = FakeApi()
    with candidates(fake, "b") as (b,):
        fake.put(PATH, {"spec": {"holderIdentity": "a", "leaseDurationSeconds": seconds}})
        b.step()
        assert not b.step(14)
        assert b.step(1)


def test_it_stops_leading_the_moment_a_renewal_is_overdue_also_if_nobody_looked() -> None:
    with candidates(FakeApi(), "a") as (a,):
        a.step()
        a.time += 9.9
        assert a.elector.leading
        a.time += 0.2
        assert not a.elector.leading
        assert a.told == [True], "only the clock has moved"


def test_one_that_was_paused_past_its_lease_stands_by_when_it_wakes() -> None:
    fake = FakeApi()
    with candidates(fake, "a", "b") as (a, b):
        a.step()
        b.step()
        assert b.step(15)
        assert not a.step(100)
        assert a.told == [True, False]
        assert not a.step(2)
        assert spec(fake)["holderIdentity"] == "b"
        assert b.step(2)


def test_one_that_was_paused_and_not_missed_leads_again() -> None:
    fake = FakeApi()
    with candidates(fake, "a") as (a,):
        a.step()
        assert not a.step(100)
        assert a.step(2)
        assert a.told == [True, False, True]


def test_leader_bears_an_api_server_that_is_down_for_a_moment() -> None:
    fake = FakeApi()
    with candidates(fake, "a") as (a,):
        a.step()
        fake.answers.append(Answer(503, b"{}"))
        assert a.step(2)
        fake.answers.append(Answer(0))
        assert a.step(2)
        assert a.step(2)
        assert a.told == [True]


def test_leader_gives_up_when_the_api_server_is_down_for_longer() -> None:
    fake = FakeApi()
    with candidates(fake, "a") as (a,):
        a.step()
        fake.answers.extend([Answer(503, b"{}")] * 5)
        assert [a.step(2) for _ in range(6)] == [True, True, True, True, True, False]
        assert a.told == [True, False]
        assert a.step(2), "nobody else has taken it"


def test_answer_that_was_lost_does_not_cost_the_lead() -> None:
    fake = FakeApi()
    with candidates(fake, "a") as (a,):
        a.step()
        # The renewal was committed, and its answer never came.
        fake.put(PATH, fake.objects[PATH])
        assert a.step(2)
        assert a.told == [True]


def test_lease_that_another_one_took_is_not_taken_back() -> None:
    fake = FakeApi()
    with candidates(fake, "a") as (a,):
        a.step()
        fake.put(PATH, {"spec": {"holderIdentity": "b", "leaseDurationSeconds": 60}})
        assert not a.step(2)
        assert not a.step(2)
        assert a.told == [True, False]
        assert spec(fake)["holderIdentity"] == "b"


def test_two_that_try_at_once_do_not_both_lead() -> None:
    fake = FakeApi()
    with candidates(fake, "b", "c") as (b, c):
        fake.put(PATH, {"spec": {"holderIdentity": "a", "leaseDurationSeconds": 15}})
        b.step()
        c.step()
        both = threading.Barrier(2)

        def late(one: Candidate) -> None:
            both.wait()
            one.step(15)

        threads = [threading.Thread(target=late, args=(one,)) for one in (b, c)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [b.elector.leading, c.elector.leading].count(True) == 1


def test_lease_that_is_deleted_is_lost_and_made_anew() -> None:
    fake = FakeApi()
    with candidates(fake, "a") as (a,):
        a.step()
        fake.objects.clear()
        a.step(2)
        a.step(10)
        assert a.step(2)
        assert spec(fake)["holderIdentity"] == "a"


def test_it_writes_nothing_but_renewals_and_a_standby_writes_nothing() -> None:
    fake = FakeApi()
    with candidates(fake, "a", "b") as (a, b):
        a.step()
        b.step()
        fake.requests.clear()
        for _ in range(3):
            a.step(2)
        assert fake.writes() == [("PUT", PATH)] * 3
        fake.requests.clear()
        b.step(2)
        assert fake.writes() == []


class TestStopping:
    fast = SETTINGS.model_copy(update={"retry_seconds": 0.01})

    def test_lease_is_given_back_so_that_the_next_one_leads_at_once(self) -> None:
        fake = FakeApi()
        with serving(fake) as api:
            leads = threading.Event()
            told: list[bool] = []

            def on_change(leading: bool) -> None:
                told.append(leading)
                leads.set()

            elector = Elector(api, self.fast, "a", on_change)
            elector.start()
            assert leads.wait(5)
            b = Candidate(api, "b")
            assert not b.step()
            elector.stop()
            assert told == [True, False]
            assert not elector.leading
            assert spec(fake)["holderIdentity"] == ""
            assert b.step()

    def test_standby_leaves_the_lease_alone(self) -> None:
        fake = FakeApi()
        with serving(fake) as api:
            fake.put(PATH, {"spec": {"holderIdentity": "a", "leaseDurationSeconds": 15}})
            elector = Elector(api, self.fast, "b", lambda _: None)
            elector.start()
            elector.stop()
            assert fake.writes() == []

    def test_one_that_never_began_stops_too(self) -> None:
        with serving(FakeApi()) as api:
            Elector(api, self.fast, "b", lambda _: None).stop()
