"""The operator is killed at every write of a scenario; what comes of it is the same as without.

A scenario is played once undisturbed: that gives the list of its writes and its end. Then it is
played anew for every write, in a namespace and on nodes of its own: the operator dies just before
the API server has that write, or just after it has done it and before the operator knows, and is
started again. The end must be the same one.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from support.fault_proxy import (
    Exchange,
    Fault,
    Write,
    answered,
    answered_after,
    cut_after,
    cut_before,
    killed_after,
    killed_before,
)
from support.plot import INPUTS, Plot, Yard
from support.waiting import eventually
from trainyard.api.documents import load_yaml
from trainyard.api.manifest import MANIFEST_NAME
from trainyard.api.run import RUN_FILE, RunFile
from trainyard.cluster.resources import DATASET, MODEL, PROCESS
from trainyard.stores import join, verify_manifest

Json = dict[str, Any]
NAME = "cats"
PARALLEL = 8
TRIES = 3
"""How often a point is tried that is not reached."""
MOMENTS: dict[str, Callable[[Callable[[], None]], Fault]] = {
    "before": killed_before,
    "after": killed_after,
}
ANSWERS: dict[str, Callable[[Callable[[], None]], Fault]] = {
    "409 instead of": lambda _: answered(409, "Conflict"),
    "429 instead of": lambda _: answered(429, "TooManyRequests"),
    "500 instead of": lambda _: answered(500, "InternalError"),
    "504 after": lambda _: answered_after(504, "Timeout"),
    "connection cut after": lambda _: cut_after(),
    "connection cut before": lambda _: cut_before(),
}
"""What the API server may answer while the operator lives on."""
PATIENCE_SECONDS = 60.0
QUIET_SECONDS = 0.4


@dataclass(frozen=True)
class Scenario:
    """One part of a run's life.

    Attributes
    ----------
    prepare
        Brings the plot to where the part begins; not disturbed.
    act
        Begins the part and waits for its end; must not depend on the operator being alive.
    check
        Looks at the end beyond what `state_of` compares.
    """

    name: str
    act: Callable[[Plot], None]
    prepare: Callable[[Plot], None] = lambda _: None
    check: Callable[[Plot], None] = lambda _: None
    seed: bool = True
    """Whether the inputs of the run are there and Ready."""

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Point:
    """Where the operator dies.

    Two runs of a scenario do not make the same writes in the same order: what happens at the same
    time is seen in another order. So a write is named by its kind and its occurrence.
    """

    what: str
    """Kind of the write."""
    nth: int
    """Its occurrence, from 1."""
    moment: str

    def __str__(self) -> str:
        return f"{self.moment} {self.what} no. {self.nth}"


@dataclass
class Outcome:
    """What came of one point."""

    point: Point
    hit: bool = False
    """Whether it died; False: there was no such write this time."""
    problem: str = ""
    seconds: float = 0.0
    writes: list[tuple[str, int]] = field(default_factory=list)
    """What was written after the operator was started again, too."""


@dataclass
class Report:
    """What came of all points of a scenario."""

    scenario: str
    writes: list[tuple[str, int]]
    """Of the undisturbed run: kind and occurrence."""
    outcomes: list[Outcome] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def kills(self) -> int:
        """Points at which the operator died."""
        return sum(1 for outcome in self.outcomes if outcome.hit)

    @property
    def missed(self) -> list[Point]:
        """Writes of the undisturbed run at which it never died, in `TRIES` tries each."""
        hit = {outcome.point for outcome in self.outcomes if outcome.hit}
        wanted = {o.point for o in self.outcomes if (o.point.what, o.point.nth) in self.writes}
        return sorted(wanted - hit, key=str)

    @property
    def bad(self) -> list[Outcome]:
        """Points after which the end was another one."""
        return [outcome for outcome in self.outcomes if outcome.problem]

    def __str__(self) -> str:
        points = {outcome.point for outcome in self.outcomes if outcome.hit}
        lines = [
            f"{self.scenario}: {len(self.writes)} writes undisturbed, {len(points)} points, "
            f"{self.kills} kills, {len(self.missed)} points not reached, {len(self.bad)} with "
            f"another end; {self.seconds:.0f} s ({60 * self.kills / self.seconds:.0f} kills a "
            "minute)",
            *(f"  not reached: {point}" for point in self.missed),
            *(f"  {outcome.point}: {outcome.problem}" for outcome in self.bad),
        ]
        return "\n".join(lines)


class KillPoints:
    """Plays scenarios."""

    def __init__(self, yard: Yard, *, parallel: int = PARALLEL) -> None:
        self._yard = yard
        self._parallel = parallel

    def undisturbed(self, scenario: Scenario) -> tuple[list[tuple[str, int]], Json]:
        """The writes of a scenario and its end."""
        plot = self._yard.plot(seed=scenario.seed)
        try:
            self._prepare(scenario, plot)
            scenario.act(plot)
            _quiet(plot)
            state = state_of(plot)
            scenario.check(plot)
            return _numbered(plot), state
        finally:
            plot.demolish()

    def all(
        self,
        scenario: Scenario,
        *,
        moments: Iterable[str] = tuple(MOMENTS),
        choose: Callable[[list[tuple[str, int]]], list[tuple[str, int]]] = lambda writes: writes,
        closed: bool = False,
    ) -> Report:
        """Play a scenario for each of its writes and each moment.

        Parameters
        ----------
        choose
            Which of the writes of the undisturbed run.
        closed
            Whether also at the writes that were only made after a kill, until there are no others.
        """
        begun = time.monotonic()
        writes, wanted = self.undisturbed(scenario)
        report = Report(scenario.name, writes)
        points = [Point(what, nth, moment) for what, nth in choose(writes) for moment in moments]
        while points:
            tries = Counter(outcome.point for outcome in report.outcomes)
            with ThreadPoolExecutor(self._parallel, thread_name_prefix=scenario.name) as pool:
                done = list(pool.map(lambda point: self._one(scenario, point, wanted), points))
            report.outcomes += done
            again = [
                o.point
                for o in done
                if not o.hit
                and (o.point.what, o.point.nth) in writes
                and tries[o.point] + 1 < TRIES
            ]
            known = {outcome.point for outcome in report.outcomes}
            new = {
                Point(what, nth, moment)
                for outcome in done
                for what, nth in outcome.writes
                for moment in moments
                if nth <= 1 + sum(1 for known, _ in writes if known == what)
            }
            points = again + (sorted(new - known, key=str) if closed else [])
        report.seconds = time.monotonic() - begun
        print(report, flush=True)
        return report

    def _one(self, scenario: Scenario, point: Point, wanted: Json) -> Outcome:
        outcome, begun = Outcome(point), time.monotonic()
        plot = self._yard.plot(seed=scenario.seed)
        try:
            self._prepare(scenario, plot)
            plot.proxy.when(_occurrence(point), self._death(point, plot, outcome))
            scenario.act(plot)
            state: Json = {}

            def same() -> bool:
                nonlocal state
                state = state_of(plot)
                return state == wanted

            eventually("the same end", same, within=20, seen=lambda: _difference(wanted, state))
            _quiet(plot)
            assert same(), "the end did not last: " + _difference(wanted, state)
            scenario.check(plot)
            log = plot.operator.log()
            assert "Traceback" not in log, log[-3000:]
        except AssertionError as error:
            outcome.problem = f"{error}\n{_traces(plot)}"
        except Exception:  # noqa: BLE001 -- one point must not end the others
            outcome.problem = traceback.format_exc()
        finally:
            outcome.seconds = time.monotonic() - begun
            outcome.writes = _numbered(plot)
            plot.demolish()
        return outcome

    def _prepare(self, scenario: Scenario, plot: Plot) -> None:
        plot.operator.start()
        scenario.prepare(plot)
        _quiet(plot)
        plot.proxy.begin()

    def _death(self, point: Point, plot: Plot, outcome: Outcome) -> Fault:
        def kill() -> None:
            if not plot.operator.running():
                return
            plot.operator.kill()
            threading.Thread(target=plot.operator.launch, daemon=True).start()

        fatal = {**MOMENTS, **ANSWERS}[point.moment](kill)

        async def fault(exchange: Exchange) -> Any:
            outcome.hit = True
            return await fatal(exchange)

        return fault


def _numbered(plot: Plot) -> list[tuple[str, int]]:
    """The writes so far, by kind and occurrence."""
    counts: Counter[str] = Counter()
    found = []
    for write in list(plot.proxy.writes):
        counts[write.what] += 1
        found.append((write.what, counts[write.what]))
    return found


def _occurrence(point: Point) -> Callable[[Write], bool]:
    """Whether a write is the one of a point; to be asked about each write once."""
    count = 0

    def matches(write: Write) -> bool:
        nonlocal count
        count += write.what == point.what
        return write.what == point.what and count == point.nth

    return matches


def _traces(plot: Plot) -> str:
    """What is there, for a failed point."""
    jobs = [(job["metadata"], job["spec"].get("suspend"), job.get("status")) for job in plot.jobs()]
    pods = [(pod["metadata"], pod.get("status")) for pod in plot.pods()]
    for meta, *_ in [*jobs, *pods]:
        meta.pop("managedFields", None)
    log = plot.operator.log()[-3000:]
    return f"    {plot.explain(NAME)}\n    jobs {jobs}\n    pods {pods}\n    {log}"


def _quiet(plot: Plot) -> None:
    """Wait until the operator has written nothing for a moment."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        last = plot.proxy.writes[-1].time if plot.proxy.writes else 0.0
        if time.monotonic() - last > QUIET_SECONDS:
            return
        time.sleep(0.05)
    raise AssertionError(f"the operator writes without end: {plot.proxy.writes[-5:]}")


def state_of(plot: Plot) -> Json:
    """Everything of a plot that must be the same however often the operator died."""
    raw = plot.get(PROCESS, NAME)
    uid = "" if raw is None else str(raw["metadata"]["uid"])
    status = {} if raw is None else raw.get("status") or {}
    found = {
        "process": None if raw is None else _process(status),
        "jobs": sorted(
            (
                _neutral(job["metadata"]["name"], uid),
                bool(job["spec"].get("suspend")),
                sorted(
                    c["type"]
                    for c in (job.get("status") or {}).get("conditions") or []
                    if c["status"] == "True"
                ),
            )
            for job in plot.jobs()
        ),
        "pods": sorted(
            (
                _neutral(pod["metadata"]["labels"]["batch.kubernetes.io/job-name"], uid),
                (pod.get("status") or {}).get("phase"),
                sorted(pod["metadata"].get("finalizers") or []),
            )
            for pod in plot.pods()
        ),
        "config maps": sorted(
            _neutral(item["metadata"]["name"], uid) for item in plot.config_maps(NAME)
        ),
        "models": [
            item["metadata"]["name"] for item in plot.yard.mirror.all(MODEL, plot.namespace)
        ],
        "locks": [node for node in plot.nodes if plot.lease(node) is not None],
    }
    return json.loads(json.dumps(found).replace(plot.namespace, "NAMESPACE"))  # type: ignore[no-any-return]


def _process(status: Json) -> Json:
    artefacts = status.get("artefacts") or {}
    return {
        "phase": status.get("phase"),
        "conditions": sorted(
            (c["type"], c["status"], c["reason"])
            for c in status.get("conditions") or []
            # It is not there when nobody looked while the pod ran.
            if (c["type"], c["status"]) != ("Running", "False")
        ),
        "attempts": [
            (
                item["number"],
                item["node"],
                item.get("reason"),
                item.get("resumedFromEpoch"),
                "finishTime" in item,
            )
            for item in status.get("attempts") or []
        ],
        "resolved": status.get("resolved"),
        "checkpoint": (status.get("checkpoint") or {}).get("epoch"),
        "epoch": (status.get("progress") or {}).get("epoch"),
        "metrics": status.get("metrics"),
        "evaluation": status.get("evaluation"),
        "artefacts": {
            role: value["sizeBytes"] for role, value in artefacts.items() if role != "location"
        },
        "model": status.get("model"),
        "display": status.get("display"),
    }


def _neutral(name: str, uid: str) -> str:
    return name.replace(uid.replace("-", "")[:12], "UID") if uid else name


def _difference(wanted: Json, found: Json) -> str:
    flat_wanted, flat_found = _flat(wanted), _flat(found)
    return "; ".join(
        f"{key}: {flat_found.get(key)} instead of {flat_wanted.get(key)}"
        for key in sorted({*flat_wanted, *flat_found})
        if flat_wanted.get(key) != flat_found.get(key)
    )


def _flat(value: Json) -> Json:
    process = value.get("process") or {}
    rest = {key: item for key, item in value.items() if key != "process"}
    return {**rest, **{f"process.{key}": item for key, item in process.items()}}


# What must hold at the end


def what_ran_is_what_was_resolved(plot: Plot) -> None:
    """run.yaml of each attempt carries the fingerprint in status; the manifest names run.yaml."""
    status = plot.status(NAME)
    for config_map in plot.config_maps(NAME):
        run = RunFile.model_validate(load_yaml(config_map["data"][RUN_FILE], RUN_FILE))
        run.verify(RUN_FILE)
        assert run.fingerprint == status["resolved"]["fingerprint"]


def succeeded_with_verified_files(plot: Plot) -> None:
    """The manifest is in the store, each file is what it says, and the status says the same."""
    status = plot.status(NAME)
    assert status["phase"] == "Succeeded"
    location = status["artefacts"]["location"]
    manifest = verify_manifest(plot.store, location)
    digests = {file.name: file.sha256 for file in manifest.files}
    for role, name in manifest.roles.items():
        assert status["artefacts"][role]["sha256"] == digests[name]
    number = status["attempts"][-1]["number"]
    last = next(
        item for item in plot.config_maps(NAME) if item["metadata"]["name"].endswith(f"-{number}")
    )
    run = RunFile.model_validate(load_yaml(last["data"][RUN_FILE], RUN_FILE))
    assert (manifest.run_digest, manifest.attempt) == (run.digest, number)
    assert hashlib.sha256(plot.store.read_bytes(join(location, MANIFEST_NAME))).hexdigest()
    what_ran_is_what_was_resolved(plot)


def inputs_of(yard: Yard) -> dict[str, Json]:
    """Let the inputs of a run become Ready once; gives them by kind and name."""
    plot = yard.plot(seed=False)
    try:
        plot.operator.start()
        plot.inputs()
        for name in ("train", "dev"):
            plot.wait_phase(DATASET, name, "Ready")
        _quiet(plot)
        found = {}
        for type_, name in INPUTS:
            raw = plot.get(type_, name)
            assert raw is not None
            found[f"{type_.kind} {name}"] = {"spec": raw["spec"], "status": raw["status"]}
        return found
    finally:
        plot.demolish()
