"""Twelve processes on two nodes, checked at every step against a model of what a queue is.

The model knows nothing of statuses, Jobs and locks: it is a list for each node and a clock.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from tests.unit.decide.yard import Yard
from trainyard.api.process_status import ProcessPhase, TrainingProcessStatus
from trainyard.decide.forecast import tolerance

NODES = ("gpu-1", "gpu-2")
STEP = timedelta(minutes=5)
STEPS = 90
MINUTES = (11, 16, 21, 34, 47)
PROCESSES = 12
SLACK = timedelta(seconds=31)
"""What is shown is rounded to minutes."""


@dataclass
class Waiting:
    """A process in the model."""

    name: str
    priority: int
    created: datetime
    length: timedelta | None

    def before(self, other: Waiting) -> bool:
        """Whether it goes first: the higher priority, then the older, then by name."""
        if self.priority != other.priority:
            return self.priority > other.priority
        return (self.created, self.name) < (other.created, other.name)


@dataclass
class Model:
    """Who holds a node, until when, and who waits for it."""

    waiting: list[Waiting] = field(default_factory=list)
    holder: Waiting | None = None
    until: datetime | None = None
    starts: list[str] = field(default_factory=list)

    def ordered(self) -> list[Waiting]:
        found: list[Waiting] = []
        for item in self.waiting:
            place = next((i for i, other in enumerate(found) if item.before(other)), len(found))
            found.insert(place, item)
        return found

    def fill(self, now: datetime) -> None:
        """Whoever is first takes a free node."""
        if self.holder is None and self.waiting:
            self.holder = self.ordered()[0]
            self.waiting.remove(self.holder)
            self.until = now + (self.holder.length or timedelta(minutes=30))
            self.starts.append(self.holder.name)

    def predicted(self, name: str) -> datetime | None:
        """When a process that waits would start if all went as expected."""
        assert self.until is not None
        time = self.until
        for item in self.ordered():
            if item.name == name:
                return time
            if item.length is None:
                return None
            time += item.length
        raise AssertionError(f"{name} does not wait")


def run_to_end(seed: int, unknown: frozenset[int] = frozenset()) -> Yard:
    """Let a yard and the models go through the same hours and compare them at every step.

    Parameters
    ----------
    unknown
        Processes, by number, of whose length nothing is known.
    """
    dice = random.Random(seed)
    yard, models = Yard(), {node: Model() for node in NODES}
    born: dict[int, list[int]] = {}
    for number in range(PROCESSES):
        born.setdefault(dice.choice((0, 0, 1, 2, 5, 9, 30)), []).append(number)
    stops, failures, deletions = (dice.randrange(2, 20) for _ in range(3))
    parked: list[tuple[int, Waiting, str]] = []
    node_of: dict[str, str] = {}

    for step in range(STEPS):
        for number in born.get(step, ()):
            name, node = f"p{number:02d}", dice.choice(NODES)
            length = None if number in unknown else timedelta(minutes=dice.choice(MINUTES))
            priority = dice.choice((0, 0, 0, 5, -5))
            node_of[name] = node
            yard.create(
                name,
                None if length is None else length.total_seconds(),
                targetNode=node,
                priority=priority,
                retry={"limit": 1} if number % 2 else None,
            )
            models[node].waiting.append(Waiting(name, priority, yard.now, length))
        for node, model in models.items():
            if model.until is not None and model.until <= yard.now and model.holder is not None:
                yard.end(model.holder.name)
                model.holder = model.until = None
            elif step == failures and model.holder is not None:
                yard.end(model.holder.name, exit_code=70)
                if yard.runs[model.holder.name].process.spec.retry is not None:
                    # While it backs off the node is for others; then it has its age again.
                    parked.append((step + 1, model.holder, node))
                model.holder = model.until = None
            elif step == stops and model.holder is not None:
                yard.change(model.holder.name, suspend=True)
                parked.append((step + 6, model.holder, node))
                model.holder = model.until = None
            elif step == deletions and model.waiting:
                gone = dice.choice(model.waiting)
                yard.delete(gone.name)
                model.waiting.remove(gone)
        for due, item, node in [entry for entry in parked if entry[0] == step]:
            yard.change(item.name, suspend=False)
            models[node].waiting.append(item)
            parked.remove((due, item, node))
        if step == 7:
            for model in models.values():
                for item in model.waiting[:1]:
                    item.priority = 9
                    yard.change(item.name, priority=9)
        for model in models.values():
            model.fill(yard.now)
        yard.settle()
        for run in yard.runs.values():
            if run.ends is not None:
                run.told = run.ends
        writes = yard.settle()
        for model in models.values():
            compare(yard, model)
        budget_is_kept(writes)
        yard.now += STEP
    for node, model in models.items():
        assert [name for name in yard.started if node_of[name] == node] == model.starts
        assert not model.waiting, "everybody had a turn"
    return yard


def compare(yard: Yard, model: Model) -> None:
    """Positions, holders and starts are those of the model."""
    line = model.ordered()
    for position, item in enumerate(line, start=1):
        run = yard.runs[item.name]
        assert run.phase is ProcessPhase.QUEUED, item.name
        queue, holder = run.queue, model.holder
        assert queue is not None and holder is not None
        assert (queue.position, queue.waiting_for) == (position, f"demo/{holder.name}")
        condition = next(c for c in run.status.conditions if c.type == "NodeReserved")
        words = {1: "1st", 2: "2nd", 3: "3rd"}.get(position, f"{position}th")
        assert f"{words} of {len(line)} that wait" in condition.message
        assert f"is held by demo/{holder.name}" in condition.message
        start = model.predicted(item.name)
        if start is None:
            assert queue.estimated_start_time is None
            continue
        assert queue.estimated_start_time is not None, item.name
        off = abs(queue.estimated_start_time - start)
        assert off <= tolerance(start - yard.now) + SLACK, (item.name, off)
    if model.holder is not None:
        assert yard.runs[model.holder.name].phase is ProcessPhase.RUNNING
        assert yard.runs[model.holder.name].queue is None


def budget_is_kept(
    writes: list[tuple[str, TrainingProcessStatus, TrainingProcessStatus]],
) -> None:
    """Whoever waits is written anew for a new place, a new holder or a time that was wrong."""
    for name, old, new in writes:
        if old.queue is None or new.queue is None:
            continue
        # How many wait is in the sentence only.
        before, after = (
            (queue, [c.message for c in status.conditions if c.type == "NodeReserved"])
            for queue, status in ((old.queue, old), (new.queue, new))
        )
        assert before != after, f"{name} was written and says the same as before"


@pytest.mark.parametrize("seed", range(6))
def test_positions_holders_and_starts_are_those_of_the_model(seed: int) -> None:
    run_to_end(seed)


def test_nothing_is_foretold_from_a_length_that_nobody_knows() -> None:
    run_to_end(7, unknown=frozenset({1, 4, 8}))
