"""1,000 transitions, operators that are killed anywhere: nobody is told twice.

The API server and the mail server are here in a few lines, so that a kill can fall between any two
steps; what decides is the code itself, and statuses go through the wire format.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from tests.unit.builders import after
from tests.unit.notify.ended import ended
from trainyard.api.process_status import NotificationState, TrainingProcessStatus
from trainyard.decide.after_end import after_end
from trainyard.decide.facts import ProcessFacts
from trainyard.decide.outbox import (
    CUT_OFF_AFTER,
    Delivered,
    Deliveries,
    Message,
    NotDelivered,
    Outcome,
    Unknown,
)
from trainyard.notify.dispatcher import AT_ONCE

TRANSITIONS = 1000
KNOWN = ended(notifications={"email": ["team@example.org"], "webhooks": ["https://h.example.org"]})
RECIPIENTS = 2


class Killed(Exception):
    """kill -9."""


@dataclass
class Stored:
    """A process as the API server has it."""

    version: int
    facts: ProcessFacts


@dataclass
class Everything:
    """What outlives an operator, and the time."""

    chance: random.Random
    processes: list[Stored]
    now: datetime = field(default_factory=lambda: after(70))
    taken: Counter[tuple[int, str]] = field(default_factory=Counter)
    """Messages that the servers took, by process and record."""
    kills: int = 0

    def maybe_die(self) -> None:
        if self.chance.random() < 0.005:
            self.kills += 1
            raise Killed


@dataclass
class Operator:
    """What one life of an operator knows: a cache that may be stale, and outcomes."""

    world: Everything
    cache: dict[int, Stored] = field(default_factory=dict)
    outcomes: dict[tuple[int, str, int], Outcome] = field(default_factory=dict)

    def step(self, number: int) -> None:
        world = self.world
        if number not in self.cache or world.chance.random() < 0.7:
            self.cache[number] = world.processes[number]
        seen = self.cache[number]
        outcomes = {
            (id_, attempt): outcome
            for (of, id_, attempt), outcome in self.outcomes.items()
            if of == number
        }
        free = max(0, AT_ONCE - len(self.outcomes))
        known = replace(seen.facts, deliveries=Deliveries(free, outcomes))
        decision = after_end(known, world.now)
        if decision.status == known.process.status:
            return
        world.maybe_die()
        if world.processes[number].version != seen.version:
            del self.cache[number]  # A conflict.
            return
        stored = TrainingProcessStatus.model_validate(decision.status.to_wire())
        process = known.process.model_copy(update={"status": stored})
        world.processes[number] = Stored(seen.version + 1, replace(seen.facts, process=process))
        for key in [key for key in self.outcomes if key[0] == number]:
            del self.outcomes[key]
        world.maybe_die()  # The write is done, and the answer is lost.
        for message in decision.messages:
            self.send(number, message)

    def send(self, number: int, message: Message) -> None:
        world = self.world
        world.maybe_die()
        luck = world.chance.random()
        outcome: Outcome
        if luck < 0.25:
            outcome = NotDelivered("down", again=luck < 0.2)
        else:
            world.taken[number, message.id] += 1
            world.maybe_die()  # The server has it, and nobody knows.
            outcome = Unknown("no answer") if luck < 0.3 else Delivered()
        self.outcomes[number, message.id, message.attempt] = outcome


def play(seed: int, operators: int, transitions: int = TRANSITIONS) -> Everything:
    """Until nothing is left to do."""
    world = Everything(random.Random(seed), [Stored(1, KNOWN)] * transitions)
    alive = [Operator(world) for _ in range(operators)]
    while left := [
        number
        for number, stored in enumerate(world.processes)
        if any(
            record.state in (NotificationState.PENDING, NotificationState.SENDING)
            for record in stored.facts.process.status.notifications
        )
    ]:
        for number in left:
            which = world.chance.randrange(operators)
            try:
                alive[which].step(number)
                # What came of a message wakes its process, sooner or later.
                if world.chance.random() < 0.8:
                    alive[which].step(number)
            except Killed:
                alive[which] = Operator(world)
        world.now += timedelta(seconds=world.chance.randrange(1, 90))
    return world


@pytest.mark.parametrize("operators", [1, 2])
def test_of_1000_transitions_each_is_told_at_most_once_however_often_operators_die(
    operators: int,
) -> None:
    seed = random.randrange(1_000_000)
    world = play(seed, operators)
    assert world.kills > 20, f"seed {seed}"
    assert max(world.taken.values()) == 1, f"seed {seed}"
    states: Counter[NotificationState] = Counter()
    for number, stored in enumerate(world.processes):
        for record in stored.facts.process.status.notifications:
            states[record.state] += 1
            if record.state is NotificationState.SENT:
                assert world.taken[number, record.id] == 1, f"seed {seed}"
    # Kills cost messages, and few.
    assert states.total() == RECIPIENTS * TRANSITIONS
    assert states[NotificationState.SENT] > 0.5 * states.total(), f"seed {seed}: {states}"


def _send_before_it_is_on_record(monkeypatch: pytest.MonkeyPatch) -> None:
    original: Callable[..., None] = Operator.step

    def step(self: Operator, number: int) -> None:
        decision = after_end(
            replace(self.world.processes[number].facts, deliveries=Deliveries(2)), self.world.now
        )
        for message in decision.messages:
            self.send(number, message)
        original(self, number)

    monkeypatch.setattr(Operator, "step", step)


def _sent_again_when_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    original = after_end

    def again(known: ProcessFacts, now: datetime) -> object:
        records = tuple(
            record.model_copy(update={"state": NotificationState.PENDING, "tries": 0})
            if record.state is NotificationState.SENDING and now > record.time + CUT_OFF_AFTER / 2
            else record
            for record in known.process.status.notifications
        )
        status = known.process.status.model_copy(update={"notifications": records})
        process = known.process.model_copy(update={"status": status})
        return original(replace(known, process=process), now)

    monkeypatch.setattr("tests.unit.notify.test_at_most_once.after_end", again)


@pytest.mark.parametrize("mistake", [_send_before_it_is_on_record, _sent_again_when_cut_off])
def test_the_game_finds_an_outbox_that_sends_twice(
    mistake: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mistake(monkeypatch)
    assert max(play(1, 1, transitions=100).taken.values()) > 1
