"""From the record of an attempt to its end: start its Job, follow the pod, verify the artefacts."""

from __future__ import annotations

from trainyard.api.meta import Condition
from trainyard.api.process import Attempt, ProcessPhase
from trainyard.api.reasons import ConditionType, Reason
from trainyard.decide import display, outcome, results
from trainyard.decide.actions import CreateModel, StartJob, SuspendJob
from trainyard.decide.before_start import POLL, node_is_free, recipe_gpus
from trainyard.decide.conditions import find
from trainyard.decide.draft import StatusDraft
from trainyard.decide.facts import JobFacts, Mismatch, PodFacts, ProcessFacts, VerifiedArtefacts


def during_attempt(facts: ProcessFacts, draft: StatusDraft, attempt: Attempt) -> None:
    """Start the attempt, follow it, harvest it."""
    job = facts.job
    if job is None or job.owner_uid != facts.process.metadata.uid:
        _end_attempt(facts, draft, attempt, Reason.JOB_DELETED)
        draft.fail(
            Reason.JOB_DELETED,
            f"the Job of attempt {attempt.number} was deleted: create a new process",
        )
    elif job.complete:
        _harvest(facts, draft, attempt)
    elif job.failed:
        ended = outcome.of_failure(job, facts.pod)
        _end_attempt(facts, draft, attempt, ended.reason, ended.message)
        _keep_progress(facts, draft)
        draft.fail(ended.reason, ended.message)
    elif job.suspended:
        _start(facts, draft, attempt, job)
    else:
        _say_that_stopping_does_not_act(facts, draft)
        _follow(facts, draft, attempt, job)


def _say_that_stopping_does_not_act(facts: ProcessFacts, draft: StatusDraft) -> None:
    if facts.process.spec.suspend:
        reason, message = Reason.NOT_YET_SUPPORTED, "stopping a started run is not supported yet"
    else:
        reason, message = Reason.STARTED, "spec.suspend is false"
    draft.condition(ConditionType.SUSPENDED, False, reason, message)


def _start(facts: ProcessFacts, draft: StatusDraft, attempt: Attempt, job: JobFacts) -> None:
    """Start the suspended Job when the node is ours or free."""
    if facts.run is None:
        message = (
            f"the ConfigMap {job.name} with run.yaml was deleted before the run started: create "
            "a new process"
        )
        _end_attempt(facts, draft, attempt, Reason.RUN_FILE_DELETED, message)
        draft.fail(Reason.RUN_FILE_DELETED, message)
        return
    if facts.process.spec.suspend and not _holds_lock(facts, job):
        draft.phase(ProcessPhase.SUSPENDED, Reason.DRAFT)
        draft.condition(
            ConditionType.SUSPENDED,
            True,
            Reason.DRAFT,
            "left the queue before it started: set spec.suspend to false to go on",
        )
        draft.condition(
            ConditionType.NODE_RESERVED, False, Reason.DRAFT, "it does not wait for its node"
        )
        return
    draft.condition(ConditionType.SUSPENDED, False, Reason.STARTED, "spec.suspend is false")
    if not _holds_lock(facts, job) and not node_is_free(facts, draft):
        if draft.changes["phase"] is ProcessPhase.FAILED:
            _end_attempt(facts, draft, attempt, Reason.INSUFFICIENT_GPUS)
        return
    draft.phase(ProcessPhase.STARTING, Reason.STARTING)
    draft.actions.append(_start_job(facts, job, attempt))
    draft.condition(
        ConditionType.NODE_RESERVED,
        False,
        Reason.STARTING,
        f"taking the lock of node {attempt.node}",
    )


def _start_job(facts: ProcessFacts, job: JobFacts, attempt: Attempt) -> StartJob:
    return StartJob(job=job, node=attempt.node, process=facts.process.key, attempt=attempt.number)


def _holds_lock(facts: ProcessFacts, job: JobFacts) -> bool:
    return facts.lease is not None and facts.lease.holder_job_uid == job.uid


def _follow(facts: ProcessFacts, draft: StatusDraft, attempt: Attempt, job: JobFacts) -> None:
    """The Job was unsuspended: hold the lock, follow the pod."""
    if facts.lease is not None and not _holds_lock(facts, job):
        draft.actions.append(SuspendJob(job))
        draft.phase(ProcessPhase.STARTING, Reason.WAITING_FOR_NODE)
        draft.condition(
            ConditionType.NODE_RESERVED,
            False,
            Reason.WAITING_FOR_NODE,
            f"node {attempt.node} is held by {facts.lease.holder}, so the Job is suspended again",
        )
        return
    if facts.lease is None:
        # Removed by hand: taken again, with every check, before anybody else does.
        draft.actions.append(_start_job(facts, job, attempt))
    draft.condition(
        ConditionType.NODE_RESERVED, True, Reason.RESERVED, f"node {attempt.node} is reserved"
    )
    _keep_progress(facts, draft)
    pod = facts.pod
    if pod is not None and pod.phase == "Running":
        draft.phase(ProcessPhase.RUNNING)
        draft.condition(ConditionType.RUNNING, True, Reason.PODS_READY, f"pod {pod.name} runs")
    elif pod is not None and pod.over:
        draft.phase(draft.old.phase or ProcessPhase.RUNNING, Reason.VERIFYING_ARTEFACTS)
        draft.condition(
            ConditionType.RUNNING, False, Reason.VERIFYING_ARTEFACTS, f"pod {pod.name} ended"
        )
    else:
        reason, message = _why_not_running(pod, find(draft.conditions, ConditionType.RUNNING))
        draft.phase(ProcessPhase.STARTING, reason)
        draft.condition(ConditionType.RUNNING, False, reason, message)


def _why_not_running(pod: PodFacts | None, before: Condition | None) -> tuple[Reason, str]:
    failed_pull = Reason.IMAGE_PULL_FAILED
    if pod is None:
        return Reason.STARTING, "waiting for the Job's pod"
    if pod.waiting_reason == "ImagePullBackOff" and before and before.reason == failed_pull:
        # It alternates with the reason of the failure, which says more.
        return failed_pull, before.message
    if pod.image_missing:
        return (
            failed_pull,
            f"the trainer image cannot be had on the node: {pod.waiting_message[:300]}",
        )
    if pod.unschedulable:
        return Reason.UNSCHEDULABLE, f"the pod cannot be placed: {pod.unschedulable[:300]}"
    return Reason.STARTING, f"pod {pod.name} is being started"


def _keep_progress(facts: ProcessFacts, draft: StatusDraft) -> None:
    """Take over the newest report; without one, as after a restart, the last values stay."""
    status = draft.old.progress if facts.report is None else results.progress(facts.report)
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


def _harvest(facts: ProcessFacts, draft: StatusDraft, attempt: Attempt) -> None:
    """The Job is complete: it succeeded if and only if its artefacts are what they should be."""
    verdict = facts.verdict
    if isinstance(verdict, VerifiedArtefacts) and not _is_of_this_run(verdict, facts, attempt):
        verdict = Mismatch(
            f"the manifest at {verdict.location} was written by another run: create a new process"
        )
    _keep_progress(facts, draft)
    if isinstance(verdict, VerifiedArtefacts):
        _succeed(facts, draft, attempt, verdict)
    elif isinstance(verdict, Mismatch):
        _end_attempt(facts, draft, attempt, Reason.ARTEFACT_UPLOAD_FAILED, verdict.message)
        draft.fail(Reason.ARTEFACT_UPLOAD_FAILED, verdict.message)
    else:
        message = verdict.message if verdict is not None else "the artefacts are being verified"
        draft.phase(ProcessPhase.RUNNING, Reason.VERIFYING_ARTEFACTS)
        draft.condition(ConditionType.RUNNING, False, Reason.VERIFYING_ARTEFACTS, message)
        draft.look_again_at = draft.now + POLL


def _is_of_this_run(found: VerifiedArtefacts, facts: ProcessFacts, attempt: Attempt) -> bool:
    manifest, run = found.manifest, facts.run
    if (manifest.uid, manifest.attempt) != (facts.process.metadata.uid, attempt.number):
        return False
    return run is None or manifest.run_digest == run.digest


def _succeed(
    facts: ProcessFacts, draft: StatusDraft, attempt: Attempt, verified: VerifiedArtefacts
) -> None:
    manifest = verified.manifest
    # Without its run.yaml nothing says what was resolved: no model is made of guesses.
    if facts.run is not None:
        name = results.model_name(facts.process, facts.model_made_by)
        spec = results.model_spec(facts.process, facts.run, verified, draft.now)
        draft.actions.append(CreateModel(name=name, spec=spec))
        draft.changes["model"] = name
    _end_attempt(facts, draft, attempt, Reason.TRAINING_SUCCEEDED)
    done = results.finished_progress(draft.old.progress, manifest.epochs_trained, draft.now)
    draft.changes.update(
        artefacts=results.artefacts(verified),
        evaluation=results.evaluation(manifest),
        metrics=results.metric_values(manifest.dev.metrics),
        progress=done,
    )
    draft.show(progress=display.progress(done), metric=results.primary(manifest))
    draft.succeed(f"the model is at {verified.location}")


def _end_attempt(
    facts: ProcessFacts,
    draft: StatusDraft,
    attempt: Attempt,
    reason: Reason,
    message: str | None = None,
) -> None:
    """Complete the record of the attempt."""
    at = draft.now.replace(microsecond=0)
    ended = attempt.model_copy(
        update={"finish_time": at, "reason": str(reason), "message": message}
    )
    draft.changes["attempts"] = (*draft.old.attempts[:-1], ended)
    if find(draft.conditions, ConditionType.RUNNING) is not None:
        draft.condition(ConditionType.RUNNING, False, reason, "the run is over")
    draft.condition(ConditionType.NODE_RESERVED, False, Reason.RELEASED, "the run is over")
    if attempt.start_time is not None:
        seconds = round((at - attempt.start_time).total_seconds())
        draft.changes["gpu_seconds"] = (draft.old.gpu_seconds or 0) + recipe_gpus(facts) * seconds
