"""What a running or finished attempt gave: progress, and in the end the model."""

from __future__ import annotations

from trainyard.api.process_status import Attempt, ProcessPhase
from trainyard.api.reasons import ConditionType, Reason
from trainyard.decide import display, results
from trainyard.decide.actions import CreateModel
from trainyard.decide.conclude import close_attempt, conclude
from trainyard.decide.draft import POLL, StatusDraft
from trainyard.decide.expectation import expected_end
from trainyard.decide.facts import Mismatch, ProcessFacts, VerifiedArtefacts


def keep_progress(facts: ProcessFacts, draft: StatusDraft) -> None:
    """Take over the newest report; without one, as after a restart, the last values stay."""
    if facts.report is None:
        status = draft.old.progress
    else:
        status = results.progress(facts.report, expected_end(draft.old, facts.expected_seconds))
    if status is None:
        return
    remaining = status.estimated_remaining_seconds
    draft.show(
        progress=display.progress(status),
        eta="" if remaining is None else f"~{display.duration(remaining)}",
    )
    if facts.report is None:
        return
    report = facts.report.report
    draft.changes["progress"] = status
    if report.history:
        last = report.history[-1]
        draft.changes["history"] = results.history(report)
        draft.changes["metrics"] = results.metric_values(last.metrics)
        if last.dev_accuracy is not None and facts.run is not None:
            name = results.primary_metric_name(facts.run.template)
            draft.show(metric=display.metric(name, last.dev_accuracy))


def is_published(facts: ProcessFacts, attempt: Attempt) -> bool:
    """Whether the model of this attempt is in the store, whole."""
    verdict = facts.verdict
    return isinstance(verdict, VerifiedArtefacts) and _is_of_this_run(verdict, facts, attempt)


def harvest(facts: ProcessFacts, draft: StatusDraft, attempt: Attempt) -> None:
    """The Job is complete: it succeeded if and only if its artefacts are what they should be."""
    verdict = facts.verdict
    if isinstance(verdict, VerifiedArtefacts) and not _is_of_this_run(verdict, facts, attempt):
        verdict = Mismatch(
            f"the manifest at {verdict.location} was written by another run: create a new process"
        )
    keep_progress(facts, draft)
    if isinstance(verdict, VerifiedArtefacts):
        _succeed(facts, draft, attempt, verdict)
    elif isinstance(verdict, Mismatch):
        conclude(facts, draft, attempt, Reason.ARTEFACT_UPLOAD_FAILED, verdict.message)
    else:
        message = verdict.message if verdict is not None else "the artefacts are being verified"
        draft.phase(ProcessPhase.RUNNING, Reason.VERIFYING_ARTEFACTS)
        draft.condition(ConditionType.RUNNING, False, Reason.VERIFYING_ARTEFACTS, message)
        draft.again(draft.now + POLL)


def _is_of_this_run(found: VerifiedArtefacts, facts: ProcessFacts, attempt: Attempt) -> bool:
    manifest, run = found.manifest, facts.run
    if (manifest.uid, manifest.attempt) != (facts.process.metadata.uid, attempt.number):
        return False
    return run is None or manifest.run_digest == run.digest


def _succeed(
    facts: ProcessFacts, draft: StatusDraft, attempt: Attempt, verified: VerifiedArtefacts
) -> None:
    # Without its run.yaml nothing says what was resolved: no model is made of guesses.
    if facts.run is not None:
        name = results.model_name(facts.process, facts.model_made_by)
        spec = results.model_spec(facts.process, facts.run, verified, draft.now)
        draft.actions.append(CreateModel(name=name, spec=spec))
        draft.changes["model"] = name
    close_attempt(facts, draft, attempt, Reason.TRAINING_SUCCEEDED)
    results.take(draft, verified, draft.old.progress)
    draft.succeed(f"the model is at {verified.location}")
