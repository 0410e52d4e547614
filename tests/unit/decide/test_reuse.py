"""onExistingRun: Reuse: what has a model of the same inputs is not trained again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.builders import (
    LOCATION,
    NOW,
    OTHERS_LEASE,
    SETTINGS,
    STORE_ROOT,
    after,
    attempted,
    facts,
    manifest,
    process,
    template,
    trained_model,
    with_status,
)
from trainyard.api.model import TrainedModel
from trainyard.api.process_status import ProcessPhase
from trainyard.api.reasons import ConditionType
from trainyard.decide.conditions import find, is_true
from trainyard.decide.facts import ExistingRun, ProcessFacts, Unavailable, VerifiedArtefacts
from trainyard.decide.process import decide_process
from trainyard.decide.reuse import candidates, is_what_it_says, wanted_fingerprint

REUSING = process(onExistingRun="Reuse")


def known(**changes: Any) -> ProcessFacts:
    return facts(**{"process": REUSING, **changes})


def fingerprint(**changes: Any) -> str:
    found = wanted_fingerprint(known(**changes))
    assert found is not None
    return found


def earlier(**changes: Any) -> VerifiedArtefacts:
    made = manifest(**{"uid": "another", "fingerprint": fingerprint(), **changes})
    return VerifiedArtefacts(LOCATION, made)


def listed(name: str = "older", **changes: Any) -> TrainedModel:
    artefacts = {
        "location": LOCATION,
        "weights": {
            "uri": f"{LOCATION}/model.pth",
            "sha256": "1" * 64,
            "sizeBytes": 3_500_000,
        },
    }
    return trained_model(name, **{"fingerprint": fingerprint(), "artefacts": artefacts, **changes})


class TestEnd:
    def test_is_success_at_once_without_a_job(self) -> None:
        decision = decide_process(known(existing=ExistingRun("older", earlier())), NOW)
        status = decision.status
        assert decision.actions == ()
        assert (status.phase, status.model) == (ProcessPhase.SUCCEEDED, "older")
        assert status.attempts == ()
        for type_ in (ConditionType.COMPLETE, ConditionType.FINISHED):
            found = find(status.conditions, type_)
            assert found is not None
            assert (found.status, found.reason) == ("True", "RunReused")
            assert found.message == (
                "nothing was trained: TrainedModel older has the same fingerprint, and its files "
                f"at {LOCATION} were verified"
            )
        reserved = find(status.conditions, ConditionType.NODE_RESERVED)
        assert reserved is not None and reserved.status == "False"
        assert is_true(status.conditions, ConditionType.VALIDATED)
        assert status.artefacts is not None and status.artefacts.location == LOCATION
        assert status.evaluation is not None and status.evaluation.test is not None
        assert status.resolved is not None and status.resolved.fingerprint == fingerprint()
        assert status.display is not None
        assert (status.display.progress, status.display.metric) == ("100% (30/30)", "top-1 0.938")
        assert [event.reason for event in decision.events] == ["Succeeded"]

    def test_needs_no_node(self) -> None:
        busy = known(existing=ExistingRun("older", earlier()), lease=OTHERS_LEASE, node=None)
        assert decide_process(busy, NOW).status.phase is ProcessPhase.SUCCEEDED

    def test_comes_too_when_the_model_appears_while_it_waits(self) -> None:
        waiting = known(lease=OTHERS_LEASE)
        status = decide_process(waiting, NOW).status
        assert status.phase is ProcessPhase.QUEUED
        later = with_status(waiting, status, existing=ExistingRun("older", earlier()))
        ended = decide_process(later, NOW).status
        assert (ended.phase, ended.queue) == (ProcessPhase.SUCCEEDED, None)

    def test_waits_for_a_store_that_does_not_answer(self) -> None:
        away = Unavailable("the artefacts cannot be verified yet: 503")
        decision = decide_process(known(existing=away), NOW)
        assert (decision.status.phase, decision.actions) == (ProcessPhase.QUEUED, ())
        found = find(decision.status.conditions, ConditionType.VALIDATED)
        assert found is not None
        assert (found.reason, found.message) == (
            "StoreUnavailable",
            "there is a model of the same inputs, and the artefacts cannot be verified yet: 503",
        )
        assert found.status == "False"
        assert decision.look_again_at == after(15)

    def test_without_a_model_it_is_trained(self) -> None:
        status = decide_process(known(), NOW).status
        started = decide_process(with_status(known(), status), NOW)
        assert [type(action).__name__ for action in started.actions] == ["CreateTrainingJob"]


class TestWhatIsLookedFor:
    @pytest.mark.parametrize(
        "asked",
        [
            pytest.param(facts(), id="it always trains"),
            pytest.param(known(process=process(onExistingRun="Reuse", suspend=True)), id="a draft"),
            pytest.param(known(datasets={}), id="its data is not there yet"),
            pytest.param(known(capability=None), id="its capability is not there"),
            pytest.param(
                replace(attempted(), process=attempted(process=REUSING).process), id="it runs"
            ),
        ],
    )
    def test_is_nothing_where(self, asked: ProcessFacts) -> None:
        assert wanted_fingerprint(asked) is None

    def test_is_another_fingerprint_where_any_input_differs(self) -> None:
        assert fingerprint(template=template(hyperparameters={"epochs": 31})) != fingerprint()
        assert fingerprint(settings=replace(SETTINGS, image="trainer:2")) != fingerprint()


class TestModels:
    def test_of_the_fingerprint_come_newest_first(self) -> None:
        old, new = listed("a"), listed("b")
        new = new.model_copy(
            update={"metadata": new.metadata.model_copy(update={"creation_timestamp": NOW})}
        )
        other = listed("c", fingerprint="0" * 64)
        found = candidates([old, other, new], fingerprint(), SETTINGS)
        assert [model.metadata.name for model in found] == ["b", "a"]

    def test_that_lie_elsewhere_are_not_read(self) -> None:
        elsewhere = {"location": f"{STORE_ROOT}/runs/other-team/1"}
        assert candidates([listed(artefacts=elsewhere)], fingerprint(), SETTINGS) == []

    def test_are_what_their_files_are(self) -> None:
        mark = fingerprint()
        assert is_what_it_says(listed(), earlier(), mark)
        assert not is_what_it_says(listed(), earlier(fingerprint="0" * 64), mark)
        lies = listed(
            artefacts={
                "location": LOCATION,
                "weights": {"uri": f"{LOCATION}/model.pth", "sha256": "9" * 64, "sizeBytes": 1},
            }
        )
        assert not is_what_it_says(lies, earlier(), mark)
