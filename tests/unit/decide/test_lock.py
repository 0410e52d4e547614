"""What is done about a node's lock: pods let go, nodes quarantined, locks released."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pytest

from tests.unit.builders import (
    COMPLETE_JOB,
    FAILED_JOB,
    JOB,
    LEASE,
    NODE,
    NOW,
    POD,
    RUNNING_JOB,
    after,
)
from trainyard.decide.actions import DeleteJob, DeletePod
from trainyard.decide.facts import DELETED_BY_POD_GC, OUT_OF_SERVICE, LockFacts, Taint
from trainyard.decide.lock import (
    AGAIN,
    EndPod,
    FenceJob,
    LetPodGo,
    NoteNode,
    Plan,
    Quarantine,
    Release,
    tend,
)

EVIDENCE = 60
MACHINE = replace(NODE, system_uuid="s", boot_id="b1")
HELD = replace(LEASE, node_uid="node-uid", system_uuid="s", boot_id="b1", seen=POD.uid)
LIVE = replace(POD, kept=True)
OVER = replace(LIVE, phase="Failed", ended=True)
PENDING = replace(LIVE, phase="Pending", node="", uid="pending-pod")
OTHERS = replace(LIVE, job_uid="another", uid="other-pod")
ENDING = replace(LIVE, deletion_time=NOW)
COLLECTED = replace(ENDING, phase="Failed", disruption=DELETED_BY_POD_GC)
REBOOTED = replace(MACHINE, boot_id="b2")
OFF = replace(MACHINE, taints=(Taint(OUT_OF_SERVICE, "", "NoExecute"),))
TOLD = replace(MACHINE, release=HELD.uid)
MARKED = replace(HELD, quarantined="nobody knows")
ANOTHER_MACHINE = replace(MACHINE, system_uuid="t", boot_id="c1")
OTHERS_MARKED = replace(MARKED, holder_job_uid="waiting-job", seen="")
WAITING_JOB = replace(JOB, uid="waiting-job", name="tp-waiting")
DELETING_JOB = replace(JOB, deleting=True)
RECORDED = frozenset({POD.uid, PENDING.uid, OTHERS.uid})


@dataclass(frozen=True)
class Case:
    """Facts, when they are looked at, and what is done in which order."""

    facts: dict[str, Any]
    steps: tuple[str, ...] = ()
    now: datetime = NOW


def facts(**changes: Any) -> LockFacts:
    known: dict[str, Any] = {
        "lease": HELD,
        "holder_job": RUNNING_JOB,
        "pods": (LIVE,),
        "node": MACHINE,
        **changes,
    }
    return LockFacts(**known)


def names(plan: Plan) -> tuple[str, ...]:
    """The steps as words, pods by their UID."""
    said = []
    for step in plan.steps:
        match step:
            case LetPodGo() | EndPod() | DeletePod():
                said.append(f"{type(step).__name__} {step.pod.uid}")
            case FenceJob() | DeleteJob():
                said.append(f"{type(step).__name__} {step.job.uid}")
            case _:
                said.append(type(step).__name__)
    return tuple(said)


GO, END = f"LetPodGo {POD.uid}", f"EndPod {POD.uid}"
FENCE, DELETE = f"FenceJob {JOB.uid}", f"DeleteJob {JOB.uid}"

RELEASE: dict[str, Case] = {
    "a complete Job whose pod is over": Case(
        {"holder_job": COMPLETE_JOB, "pods": (OVER,)}, ("Release",)
    ),
    "a failed Job whose pod is gone": Case({"holder_job": FAILED_JOB, "pods": ()}, ("Release",)),
    "a deleted Job without a pod": Case({"holder_job": None, "pods": ()}, ("Release",)),
    "a Job that may still make a pod": Case({"pods": ()}),
    "a Job that is about to be started": Case({"holder_job": JOB, "pods": ()}),
    "a complete Job whose pod still runs": Case({"holder_job": COMPLETE_JOB}),
    "a failed Job whose pod has only a phase": Case(
        {"holder_job": FAILED_JOB, "pods": (replace(OVER, ended=False),)}
    ),
    "a deleted Job whose pod still runs": Case({"holder_job": None}),
    "a deleted Job whose pod is not bound yet": Case({"holder_job": None, "pods": (PENDING,)}),
    "a deleted Job while the pod of another lives": Case({"holder_job": None, "pods": (OTHERS,)}),
    "one pod over and one alive": Case({"holder_job": FAILED_JOB, "pods": (OVER, OTHERS)}),
    "no lock": Case({"lease": None, "holder_job": None, "pods": ()}),
    "a suspended Job whose attempt is over is deleted first": Case(
        {"holder_job": JOB, "pods": (), "leftover": (JOB,)}, (DELETE, "Release")
    ),
    "a suspended Job whose attempt is over, and whose pod is not": Case(
        {"holder_job": JOB, "leftover": (JOB,)}, (DELETE,)
    ),
    "a Job that was live when it was read may have made a pod since": Case(
        {"pods": (), "leftover": (RUNNING_JOB,)}, (DELETE,)
    ),
    "a Job that is being deleted is waited for": Case(
        {"pods": (), "holder_job": DELETING_JOB, "leftover": (DELETING_JOB,)}
    ),
    "a stray Job that runs for an attempt that is over": Case(
        {"lease": None, "holder_job": None, "pods": (), "leftover": (RUNNING_JOB,)}, (DELETE,)
    ),
    "a stray Job that is suspended is left to its process": Case(
        {"lease": None, "holder_job": None, "pods": (), "leftover": (JOB,)}
    ),
}

PODS: dict[str, Case] = {
    "over and on record: goes": Case(
        {"holder_job": COMPLETE_JOB, "pods": (OVER,), "recorded": RECORDED}, (GO, "Release")
    ),
    "over and not on record: stays": Case({"pods": (OVER,)}),
    "over without our finalizer: nothing to take off": Case(
        {"pods": (replace(OVER, kept=False),), "recorded": RECORDED}
    ),
    "never bound and deleted: goes": Case(
        {"pods": (replace(PENDING, deletion_time=NOW),), "recorded": RECORDED},
        (f"LetPodGo {PENDING.uid}",),
    ),
    "running: stays": Case({}),
    "running alone, its Job orphaned it and its process is gone: is asked to end": Case(
        {"pods": (replace(LIVE, job_uid=""),), "orphaned": RECORDED, "holder_job": None},
        (f"DeletePod {POD.uid}",),
    ),
    "running after its process, its Job is being collected: stays": Case(
        {"orphaned": RECORDED, "holder_job": None}
    ),
    "being deleted while its process is there: stays however long it takes": Case(
        {"pods": (ENDING,), "recorded": RECORDED}, now=after(1e6)
    ),
    "being deleted after its process, in time: stays": Case(
        {"pods": (ENDING,), "recorded": RECORDED, "orphaned": RECORDED}, now=after(EVIDENCE - 1)
    ),
    "being deleted after its process, late: first the mark, then the pod": Case(
        {"pods": (ENDING,), "recorded": RECORDED, "orphaned": RECORDED, "holder_job": None},
        ("Quarantine", GO),
        after(EVIDENCE),
    ),
    "late on a node that is marked already": Case(
        {
            "lease": MARKED,
            "pods": (ENDING,),
            "recorded": RECORDED,
            "orphaned": RECORDED,
            "holder_job": None,
        },
        (GO,),
        after(EVIDENCE),
    ),
    "late without a lock: one is made": Case(
        {
            "lease": None,
            "holder_job": None,
            "pods": (ENDING,),
            "recorded": RECORDED,
            "orphaned": RECORDED,
        },
        ("Quarantine", GO),
        after(EVIDENCE),
    ),
    "late while the lock waits for another: that one is fenced before the pod goes": Case(
        {
            "lease": replace(HELD, holder_job_uid="waiting-job", seen=""),
            "holder_job": WAITING_JOB,
            "pods": (ENDING,),
            "recorded": RECORDED,
            "orphaned": RECORDED,
        },
        ("Quarantine", "FenceJob waiting-job", GO),
        after(EVIDENCE),
    ),
    "its node is gone and it is not deleted yet: a kubelet may come back": Case({"node": None}),
    "its node is gone, the end not on record: only the mark": Case(
        {"node": None, "pods": (ENDING,)}, ("Quarantine",)
    ),
    "its node is gone, the end on record": Case(
        {"node": None, "pods": (ENDING,), "recorded": RECORDED, "holder_job": FAILED_JOB},
        ("Quarantine", GO),
    ),
    "written off by the garbage collector, although the node is back": Case(
        {"pods": (COLLECTED,), "recorded": RECORDED, "holder_job": FAILED_JOB}, ("Quarantine", GO)
    ),
    "on a machine that is another one now": Case({"node": ANOTHER_MACHINE}, ("Quarantine",)),
    "unbound while its node is gone": Case({"node": None, "pods": (PENDING,)}),
    "without our finalizer while its node is gone": Case(
        {"node": None, "pods": (replace(ENDING, kept=False),)}
    ),
}

WORDS: dict[str, Case] = {
    "an administrator, while the Job runs: it is suspended first, and no more in this pass": Case(
        {"node": TOLD}, ("Quarantine", FENCE)
    ),
    "an administrator, when the Job is suspended": Case(
        {"node": TOLD, "holder_job": JOB, "lease": MARKED}, (FENCE, END, GO, "Release")
    ),
    "an administrator, when the Job is gone": Case(
        {"node": TOLD, "holder_job": None}, (END, GO, "Release")
    ),
    "an administrator, about an earlier lock": Case({"node": replace(TOLD, release="older")}),
    "an administrator, while the pod of another lives there": Case(
        {"node": TOLD, "holder_job": None, "pods": (LIVE, OTHERS)}, (END, GO)
    ),
    "an administrator, while a pod of it is not bound yet": Case(
        {"node": TOLD, "holder_job": None, "pods": (PENDING,)}
    ),
    "an administrator, about a node marked for the pod of another": Case(
        {
            "lease": replace(OTHERS_MARKED, uid=HELD.uid),
            "node": TOLD,
            "holder_job": WAITING_JOB,
            "pods": (COLLECTED,),
        },
        ("FenceJob waiting-job", END, GO, "Release"),
    ),
    "the node is off": Case({"node": OFF, "holder_job": None}, (END, GO, "Release")),
    "the node is off, there is no lock, a pod cannot end": Case(
        {"lease": None, "node": OFF, "holder_job": None, "pods": (ENDING,)}, (END, GO)
    ),
    "the node is off, there is no lock and nothing to end": Case(
        {"lease": None, "node": OFF, "holder_job": None}
    ),
    "a marked node rebooted": Case(
        {"lease": MARKED, "node": REBOOTED, "holder_job": None, "pods": ()}, ("Release",)
    ),
    "a marked node rebooted while the pod is still there": Case(
        {"lease": MARKED, "node": REBOOTED, "holder_job": FAILED_JOB, "pods": (COLLECTED,)},
        (END, GO, "Release"),
    ),
    "a node rebooted that is not marked: its kubelet will tell": Case({"node": REBOOTED}),
    "a marked node without a reboot": Case({"lease": MARKED, "holder_job": None, "pods": ()}),
    "a marked node is another machine now": Case(
        {"lease": MARKED, "node": ANOTHER_MACHINE, "holder_job": None, "pods": ()}
    ),
    "a marked node whose machine is not known": Case(
        {
            "lease": replace(MARKED, system_uuid=""),
            "node": REBOOTED,
            "holder_job": None,
            "pods": (),
        }
    ),
    "a marked node that shows no boot": Case(
        {
            "lease": MARKED,
            "node": replace(MACHINE, boot_id=""),
            "holder_job": None,
            "pods": (),
        }
    ),
    "a marked node that is not there": Case(
        {"lease": MARKED, "node": None, "holder_job": None, "pods": ()}
    ),
    "a marked node that came back: its boot is noted, the next one frees it": Case(
        {"lease": replace(MARKED, boot_id=""), "node": REBOOTED, "holder_job": None, "pods": ()},
        ("NoteNode",),
    ),
    "a marked node whose pod turns out to be over": Case(
        {"lease": MARKED, "holder_job": FAILED_JOB, "pods": (OVER,), "recorded": RECORDED}, (GO,)
    ),
}

SEEN: dict[str, Case] = {
    "a pod that runs is noted with its boot": Case(
        {"lease": replace(HELD, seen="")}, ("NoteNode",)
    ),
    "a second pod of the holder is noted as well": Case(
        {"lease": replace(HELD, seen="earlier")}, ("NoteNode",)
    ),
    "a pod that was noted is not noted again": Case({}),
    "a pod that was noted stays with the boot it was noted in": Case({"node": REBOOTED}),
    "a pod that is not running yet": Case(
        {"lease": replace(HELD, seen=""), "pods": (replace(LIVE, phase="Pending"),)}
    ),
    "a pod of another": Case({"lease": replace(HELD, seen=""), "pods": (OTHERS,)}),
    "a node that shows no boot": Case({"lease": replace(HELD, seen=""), "node": NODE}),
}


@pytest.mark.parametrize("case", RELEASE.values(), ids=RELEASE)
def test_release(case: Case) -> None:
    assert names(tend(facts(**case.facts), case.now, EVIDENCE)) == case.steps


@pytest.mark.parametrize("case", PODS.values(), ids=PODS)
def test_pod(case: Case) -> None:
    assert names(tend(facts(**case.facts), case.now, EVIDENCE)) == case.steps


@pytest.mark.parametrize("case", WORDS.values(), ids=WORDS)
def test_word(case: Case) -> None:
    assert names(tend(facts(**case.facts), case.now, EVIDENCE)) == case.steps


@pytest.mark.parametrize("case", SEEN.values(), ids=SEEN)
def test_note_of_what_runs(case: Case) -> None:
    assert names(tend(facts(**case.facts), case.now, EVIDENCE)) == case.steps


class TestQuarantine:
    def mark(self, **changes: Any) -> Quarantine:
        plan = tend(facts(**changes), after(EVIDENCE), EVIDENCE)
        return next(step for step in plan.steps if isinstance(step, Quarantine))

    def late(self, **changes: Any) -> Quarantine:
        gone = frozenset({POD.uid})
        return self.mark(pods=(ENDING,), recorded=gone, orphaned=gone, **changes)

    def test_says_which_pod_which_node_since_when_and_the_ways_out(self) -> None:
        said = self.late().sentence
        assert f"pod demo/{POD.name} still runs on node gpu-1" in said
        assert "its process was deleted" in said
        assert "since 2026-11-23T12:01:00Z" in said
        assert "Reboot the machine" in said
        assert "trainyard nodes release gpu-1" in said
        assert OUT_OF_SERVICE in said

    def test_says_that_the_node_was_removed_or_is_another_machine(self) -> None:
        assert "was removed from the cluster" in self.mark(pods=(COLLECTED,)).sentence
        assert "another machine is node gpu-1" in self.mark(node=ANOTHER_MACHINE).sentence

    def test_ends_with_the_boot_that_the_pod_was_seen_in(self) -> None:
        assert self.late(node=REBOOTED).boot_id == "b1"
        assert self.mark(node=None, pods=(ENDING,)).boot_id == "b1"

    def test_of_a_pod_that_was_not_seen_ends_with_the_present_boot(self) -> None:
        # It may have been started after a reboot that nobody saw.
        unseen = replace(HELD, seen="")
        assert self.late(lease=unseen, node=REBOOTED).boot_id == "b2"
        assert self.late(lease=None, holder_job=None).boot_id == "b1"

    def test_of_a_pod_that_was_not_seen_on_a_node_that_is_gone_ends_with_no_known_boot(
        self,
    ) -> None:
        unseen = replace(HELD, seen="")
        assert self.mark(lease=unseen, node=None, pods=(ENDING,)).boot_id == ""

    def test_does_not_end_with_a_boot_of_another_machine(self) -> None:
        unseen = replace(HELD, seen="")
        assert self.mark(lease=unseen, node=ANOTHER_MACHINE, pods=(ENDING,)).boot_id == ""

    def test_names_the_pod_of_which_a_lock_is_made(self) -> None:
        assert self.late(lease=None, holder_job=None).pod == ENDING


def test_the_note_names_machine_boot_and_pod() -> None:
    plan = tend(facts(lease=replace(HELD, seen="", boot_id="b0")), NOW, EVIDENCE)
    assert plan.steps == (NoteNode("s", "b1", LIVE),)


def test_the_mark_of_a_freed_lock_keeps_the_boot_only_if_its_pod_was_seen_in_it() -> None:
    seen, unseen = facts(node=TOLD), facts(node=TOLD, lease=replace(HELD, seen=""))
    marks = [tend(known, NOW, EVIDENCE).steps[0] for known in (seen, unseen)]
    assert [mark.boot_id for mark in marks if isinstance(mark, Quarantine)] == ["b1", ""]


def test_release_says_why() -> None:
    freed = tend(facts(node=TOLD, holder_job=None, pods=()), NOW, EVIDENCE).steps
    assert freed == (
        Release("an administrator says that nothing of demo/digits runs on node gpu-1"),
    )


AGAIN_CASES: dict[str, tuple[dict[str, Any], datetime, datetime | None]] = {
    "nothing happens: not at all": ({}, NOW, None),
    "an end is to be recorded: soon": ({"pods": (OVER,)}, NOW, NOW + AGAIN),
    "a pod is being deleted: when it is late": ({"pods": (ENDING,)}, NOW, after(EVIDENCE)),
    "a pod is late: from time to time": ({"pods": (ENDING,)}, after(100), after(160)),
    "a lost node's pod is not on record: soon": ({"pods": (COLLECTED,)}, NOW, NOW + AGAIN),
    "a Job was suspended on a word: soon": ({"node": TOLD}, NOW, NOW + AGAIN),
}


@pytest.mark.parametrize(("known", "now", "again"), AGAIN_CASES.values(), ids=AGAIN_CASES)
def test_look_again(known: dict[str, Any], now: datetime, again: datetime | None) -> None:
    assert tend(facts(**known), now, EVIDENCE).look_again_at == again


def test_clock_that_jumps_frees_no_node() -> None:
    ending = facts(pods=(ENDING,), orphaned=frozenset({POD.uid}), holder_job=None)
    for hours in (-1, 0, 1, 10_000):
        steps = tend(ending, after(3600 * hours), EVIDENCE).steps
        assert not any(isinstance(step, Release | EndPod) for step in steps)
        goes = [number for number, step in enumerate(steps) if isinstance(step, LetPodGo)]
        marks = [number for number, step in enumerate(steps) if isinstance(step, Quarantine)]
        assert not goes or marks < goes
