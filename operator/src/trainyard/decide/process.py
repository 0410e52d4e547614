"""What to do about a TrainingProcess: from the facts to the writes and the status.

The life of a run: it is checked; it waits for its node; its suspended Job is created and the
attempt recorded; in a later pass, which has read that record back, the lock is taken and the
Job unsuspended; the pod is followed; its artefacts are verified; it has succeeded or failed,
and that never changes.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from trainyard.api.process import (
    Attempt,
    ProcessPhase,
    QueueStatus,
    TrainingProcess,
    TrainingProcessStatus,
)
from trainyard.api.reasons import ConditionType, Reason
from trainyard.decide import display, outcome, results
from trainyard.decide.actions import (
    CreateModel,
    CreateTrainingJob,
    Decision,
    StartJob,
    SuspendJob,
)
from trainyard.decide.conditions import find, is_true, with_condition
from trainyard.decide.draft import StatusDraft
from trainyard.decide.facts import (
    JobFacts,
    Mismatch,
    PodFacts,
    ProcessFacts,
    Rival,
    VerifiedArtefacts,
)
from trainyard.decide.node import check_node
from trainyard.decide.queue import place
from trainyard.decide.resolve import resolve, resolve_template, run_file
from trainyard.decide.validation import validate

POLL = timedelta(seconds=15)
"""How often something is looked at again that no event announces."""


def decide_process(facts: ProcessFacts, now: datetime) -> Decision[TrainingProcessStatus]:
    """The next step of a TrainingProcess.

    Parameters
    ----------
    facts
        Everything that was gathered, read at one time.
    now
        The time of the decision, with a time zone.
    """
    status, meta = facts.process.status, facts.process.metadata
    if meta.deletion_timestamp is not None or (status.phase and status.phase.terminal):
        return Decision(status)
    draft = StatusDraft(status, now, meta.generation)
    if not status.attempts:
        _before_first_attempt(facts, draft)
    else:
        _during_attempt(facts, draft, status.attempts[-1])
    return draft.decision()


def when_refused(
    process: TrainingProcess, status: TrainingProcessStatus, message: str, now: datetime
) -> TrainingProcessStatus:
    """The status of a process whose Job could not be started just now."""
    conditions = with_condition(
        status.conditions,
        ConditionType.NODE_RESERVED,
        False,
        Reason.WAITING_FOR_NODE,
        message,
        now=now,
        generation=process.metadata.generation,
    )
    return status.model_copy(update={"conditions": conditions})


def when_not_created(
    process: TrainingProcess, message: str, now: datetime
) -> TrainingProcessStatus:
    """The status of a process whose Job the API server does not accept: it stays queued."""
    conditions = with_condition(
        process.status.conditions,
        ConditionType.RUNNING,
        False,
        Reason.POD_REFUSED,
        f"the Job was refused: {message}",
        now=now,
        generation=process.metadata.generation,
    )
    return process.status.model_copy(
        update={"conditions": conditions, "phase": ProcessPhase.QUEUED}
    )


def as_rival(process: TrainingProcess) -> Rival:
    """The process as the queue of its node sees it."""
    status, meta = process.status, process.metadata
    created = meta.creation_timestamp
    if created is None:
        raise ValueError(f"TrainingProcess {process.key} has no creationTimestamp")
    return Rival(
        key=process.key,
        uid=meta.uid,
        phase=status.phase,
        validated=is_true(status.conditions, ConditionType.VALIDATED),
        suspended=process.spec.suspend,
        priority=process.spec.priority,
        created=created,
    )


def _before_first_attempt(facts: ProcessFacts, draft: StatusDraft) -> None:
    process = facts.process
    if process.spec.suspend:
        draft.phase(ProcessPhase.CREATED, Reason.DRAFT)
        draft.condition(
            ConditionType.SUSPENDED,
            True,
            Reason.DRAFT,
            "a draft: set spec.suspend to false to start it",
        )
        return
    draft.condition(ConditionType.SUSPENDED, False, Reason.STARTED)
    draft.phase(ProcessPhase.QUEUED)
    finding = validate(facts)
    if finding is not None:
        draft.condition(ConditionType.VALIDATED, False, finding.reason, finding.message)
        if finding.final:
            whole = (
                Reason.NOT_YET_SUPPORTED
                if finding.reason is Reason.NOT_YET_SUPPORTED
                else Reason.VALIDATION_FAILED
            )
            draft.fail(whole, finding.message)
        else:
            draft.phase(ProcessPhase.QUEUED, finding.reason)
            draft.look_again_at = draft.now + POLL
        return
    draft.condition(ConditionType.VALIDATED, True, Reason.VALID)
    if facts.job is not None and facts.job.owner_uid != process.metadata.uid:
        _name_taken(facts.job, draft)
    elif _node_is_free(facts, draft):
        _create_attempt(facts, draft)


def _name_taken(job: JobFacts, draft: StatusDraft) -> None:
    message = (
        f"Job {job.name} was made by another and has the name that this run needs: delete it "
        f"with kubectl delete job {job.name}"
    )
    draft.phase(ProcessPhase.QUEUED, Reason.JOB_NAME_TAKEN)
    draft.condition(ConditionType.RUNNING, False, Reason.JOB_NAME_TAKEN, message)
    draft.look_again_at = draft.now + POLL


def _node_is_free(facts: ProcessFacts, draft: StatusDraft) -> bool:
    """Whether the process may start on its node now; if not, the draft says why."""
    name, template = facts.process.spec.target_node, _recipe_gpus(facts)
    finding = check_node(name, facts.node, template, facts.settings)
    if finding is not None:
        status = None if finding.bounded else False
        draft.phase(ProcessPhase.QUEUED, finding.reason)
        draft.condition(ConditionType.NODE_RESERVED, status, finding.reason, finding.message)
        if finding.bounded:
            _bound_wait(facts, draft, finding.reason, finding.message)
        return False
    spot = place(as_rival(facts.process), facts.rivals, facts.lease, facts.live_holder)
    if spot.first:
        return True
    holder = spot.waiting_for
    draft.phase(ProcessPhase.QUEUED, Reason.WAITING_FOR_NODE)
    held = facts.lease is not None or facts.live_holder is not None
    verb = "is held by" if held and spot.position == 1 else "goes first to"
    draft.condition(
        ConditionType.NODE_RESERVED,
        False,
        Reason.WAITING_FOR_NODE,
        f"node {name} {verb} {holder}; this process is {display.ordinal(spot.position)} of "
        f"{spot.length} that wait",
    )
    draft.changes["queue"] = QueueStatus(position=spot.position, waiting_for=holder)
    draft.show(queue=f"{display.ordinal(spot.position)}, after {holder}", eta="")
    return False


def _bound_wait(facts: ProcessFacts, draft: StatusDraft, reason: Reason, message: str) -> None:
    """Fail when the condition NodeReserved has been Unknown for too long."""
    condition = find(draft.conditions, ConditionType.NODE_RESERVED)
    since = condition.last_transition_time if condition is not None else draft.now
    deadline = since + timedelta(seconds=facts.settings.gpu_wait_seconds)
    if draft.now >= deadline:
        draft.fail(reason, message)
    else:
        draft.look_again_at = deadline


def _recipe_gpus(facts: ProcessFacts) -> int:
    if facts.run is not None:
        return facts.run.template.resources.gpus
    if facts.template is None:
        return 0
    return resolve_template(facts.template.spec, facts.process.spec.overrides).resources.gpus


def _create_attempt(facts: ProcessFacts, draft: StatusDraft) -> None:
    """Create the suspended Job, then record the attempt and what it is made of."""
    process, settings = facts.process, facts.settings
    if facts.capability is None or facts.template is None:
        raise ValueError(f"TrainingProcess {process.key} was not validated")
    recipe = resolve_template(facts.template.spec, process.spec.overrides)
    resolved = resolve(
        capability_name=process.spec.capability,
        capability=facts.capability.spec,
        template_name=process.spec.template,
        template=recipe,
        splits=process.spec.datasets,
        datasets=facts.datasets,
        image=settings.image,
    )
    run = run_file(
        process=process,
        attempt=1,
        resolved=resolved,
        capability=facts.capability.spec,
        template=recipe,
        datasets=facts.datasets,
        store_root=settings.store_root,
        store=settings.store,
        progress_url=settings.progress_url,
    )
    node = process.spec.target_node
    draft.actions.append(CreateTrainingJob(run=run, attempt=1, node=node))
    draft.changes["resolved"] = resolved
    draft.changes["attempts"] = (
        Attempt(number=1, node=node, start_time=draft.now.replace(microsecond=0)),
    )
    draft.phase(ProcessPhase.STARTING, Reason.STARTING)
    draft.condition(
        ConditionType.NODE_RESERVED, False, Reason.STARTING, f"taking the lock of node {node}"
    )


def _during_attempt(facts: ProcessFacts, draft: StatusDraft, attempt: Attempt) -> None:
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
        _follow(facts, draft, attempt, job)


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
    if not _holds_lock(facts, job) and not _node_is_free(facts, draft):
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
        reason, message = _why_not_running(pod)
        draft.phase(ProcessPhase.STARTING, reason)
        draft.condition(ConditionType.RUNNING, False, reason, message)


def _why_not_running(pod: PodFacts | None) -> tuple[Reason, str]:
    if pod is None:
        return Reason.STARTING, "waiting for the Job's pod"
    if pod.waiting_reason in ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull"):
        return (
            Reason.IMAGE_PULL_FAILED,
            f"the trainer image cannot be had on the node: {pod.waiting_message[:300]}",
        )
    if pod.unschedulable:
        return Reason.UNSCHEDULABLE, f"the pod cannot be placed: {pod.unschedulable[:300]}"
    return Reason.STARTING, f"pod {pod.name} is being started"


def _keep_progress(facts: ProcessFacts, draft: StatusDraft) -> None:
    """Take over the newest report; without one the last values stay."""
    if facts.report is None:
        return
    report = facts.report.report
    status = results.progress(facts.report)
    draft.changes["progress"] = status
    remaining = status.estimated_remaining_seconds
    draft.show(
        progress=display.progress(status),
        eta="" if remaining is None else f"~{display.duration(remaining)}",
    )
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
        draft.changes["gpu_seconds"] = (draft.old.gpu_seconds or 0) + _recipe_gpus(facts) * seconds
