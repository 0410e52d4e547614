"""`onExistingRun: Reuse`: a run whose inputs gave a model before is not trained again.

An object that was deleted and comes back, from a backup or by GitOps, has the inputs that it had.
"""

from __future__ import annotations

from collections.abc import Iterable

from trainyard.api.model import TrainedModel
from trainyard.api.process import OnExistingRun
from trainyard.api.process_status import ProcessPhase
from trainyard.api.reasons import ConditionType, Reason
from trainyard.decide import results
from trainyard.decide.draft import POLL, StatusDraft
from trainyard.decide.facts import (
    DecisionSettings,
    ExistingRun,
    ProcessFacts,
    Unavailable,
    VerifiedArtefacts,
)
from trainyard.decide.inputs import resolve_now
from trainyard.decide.model import may_be_read
from trainyard.decide.validation import validate


def wanted_fingerprint(facts: ProcessFacts) -> str | None:
    """The fingerprint under which a model is looked for; None: none is looked for now."""
    spec, status = facts.process.spec, facts.process.status
    if spec.on_existing_run is not OnExistingRun.REUSE or spec.suspend or status.attempts:
        return None
    if validate(facts) is not None:
        return None
    return resolve_now(facts)[0].fingerprint


def candidates(
    models: Iterable[TrainedModel], fingerprint: str, settings: DecisionSettings
) -> list[TrainedModel]:
    """Models that say that they are of these inputs and lie where their namespace may write.

    The newest first. Whether it is true is in the store.
    """
    found = [
        model
        for model in models
        if model.spec.fingerprint == fingerprint and may_be_read(model, settings)
    ]
    return sorted(
        found, key=lambda model: (str(model.metadata.creation_timestamp), model.key), reverse=True
    )


def is_what_it_says(model: TrainedModel, found: VerifiedArtefacts, fingerprint: str) -> bool:
    """Whether verified files are those of the model and of these inputs.

    Users may make a TrainedModel that names any file.
    """
    weights = results.artefacts(found).weights
    return (
        found.manifest.fingerprint == fingerprint
        and weights is not None
        and weights == model.spec.artefacts.weights
    )


def is_reused(facts: ProcessFacts, draft: StatusDraft) -> bool:
    """Whether the process ends with, or waits for, the model of an earlier run."""
    match facts.existing:
        case None:
            return False
        case Unavailable(message=message):
            draft.phase(ProcessPhase.QUEUED, Reason.STORE_UNAVAILABLE)
            draft.condition(
                ConditionType.VALIDATED,
                False,
                Reason.STORE_UNAVAILABLE,
                f"there is a model of the same inputs, and {message}",
            )
            draft.again(draft.now + POLL)
        case ExistingRun(model=model, found=found):
            _take(facts, draft, model, found)
    return True


def _take(facts: ProcessFacts, draft: StatusDraft, model: str, found: VerifiedArtefacts) -> None:
    draft.changes.update(resolved=resolve_now(facts)[0], model=model)
    results.take(draft, found, before=None)
    said = f"nothing was trained: TrainedModel {model} has the same fingerprint"
    draft.condition(ConditionType.VALIDATED, True, Reason.VALID, "everything fits together")
    draft.condition(ConditionType.NODE_RESERVED, False, Reason.RELEASED, "no node is needed")
    draft.succeed(f"{said}, and its files at {found.location} were verified", Reason.RUN_REUSED)
