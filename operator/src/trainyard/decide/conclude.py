"""The end of an attempt: its record is completed, and what follows is decided in one write."""

from __future__ import annotations

from trainyard.api.process_status import Attempt, CheckpointStatus, ProcessPhase
from trainyard.api.reasons import ConditionType, Reason
from trainyard.decide import attempts
from trainyard.decide.before_start import recipe_gpus
from trainyard.decide.conditions import find
from trainyard.decide.draft import POLL, StatusDraft
from trainyard.decide.facts import ProcessFacts, Unavailable, VerifiedCheckpoint
from trainyard.decide.scrub import plain, scrubbed

LONGEST_MESSAGE = 1024
"""Characters of an attempt's message; a status has room for a hundred of them."""
LONGEST_TAIL = 2048


def conclude(
    facts: ProcessFacts,
    draft: StatusDraft,
    attempt: Attempt,
    reason: Reason,
    message: str,
    log_tail: str = "",
) -> None:
    """End an attempt that gave no model; another one follows, or the process has failed.

    The last checkpoint is verified before the end is written, so that no stop and no retry loses
    one because the store did not answer for a moment.
    """
    ended = attempt.model_copy(update={"reason": str(reason)})
    closed = (
        *draft.old.attempts[:-1],
        ended.model_copy(update={"finish_time": draft.now.replace(microsecond=0)}),
    )
    spec = facts.process.spec
    follows = attempts.is_no_failure(ended) or attempts.may_follow(
        spec.retry, closed, _batch_size(facts, attempt)
    )
    if follows and isinstance(facts.checkpoint, Unavailable):
        draft.phase(draft.old.phase or ProcessPhase.SUSPENDING, Reason.STORE_UNAVAILABLE)
        draft.condition(
            ConditionType.RUNNING, False, Reason.STORE_UNAVAILABLE, facts.checkpoint.message
        )
        draft.again(draft.now + POLL)
        return
    close_attempt(facts, draft, attempt, reason, message, log_tail)
    _keep_checkpoint(facts, draft)
    if not follows:
        limit = spec.retry.limit if spec.retry is not None else 0
        if limit and reason not in attempts.NEVER_MENDS:
            draft.fail(
                Reason.RETRIES_EXHAUSTED,
                f"attempt {attempt.number} failed too, and retry.limit is {limit}: "
                f"{reason}: {message}",
            )
        else:
            draft.fail(reason, message)
    elif attempts.is_no_failure(ended) and spec.suspend:
        draft.phase(ProcessPhase.SUSPENDING, Reason.STOPPING)
    else:
        draft.phase(ProcessPhase.QUEUED, reason)


def close_attempt(
    facts: ProcessFacts,
    draft: StatusDraft,
    attempt: Attempt,
    reason: Reason,
    message: str | None = None,
    log_tail: str = "",
) -> None:
    """Complete the record of the attempt."""
    at = draft.now.replace(microsecond=0)
    ended = attempt.model_copy(
        update={
            "finish_time": at,
            "reason": str(reason),
            "message": None if message is None else plain(message)[:LONGEST_MESSAGE],
            "log_tail": scrubbed(log_tail)[-LONGEST_TAIL:] or None,
        }
    )
    draft.changes["attempts"] = (*draft.old.attempts[:-1], ended)
    over = f"attempt {attempt.number} is over: {reason}"
    if find(draft.conditions, ConditionType.RUNNING) is not None:
        draft.condition(ConditionType.RUNNING, False, reason, over)
    draft.condition(ConditionType.NODE_RESERVED, False, Reason.RELEASED, over)
    draft.show(eta="")
    if attempt.start_time is not None:
        seconds = round((at - attempt.start_time).total_seconds())
        draft.changes["gpu_seconds"] = (draft.old.gpu_seconds or 0) + recipe_gpus(facts) * seconds


def _keep_checkpoint(facts: ProcessFacts, draft: StatusDraft) -> None:
    found, old = facts.checkpoint, draft.old.checkpoint
    if not isinstance(found, VerifiedCheckpoint) or (old is not None and old.epoch > found.epoch):
        return
    draft.changes["checkpoint"] = CheckpointStatus(
        location=found.location, sha256=found.sha256, epoch=found.epoch, attempt=found.attempt
    )


def _batch_size(facts: ProcessFacts, attempt: Attempt) -> int | None:
    if facts.run is None:
        return attempt.batch_size or 1
    hyper = facts.run.template.hyperparameters
    return None if hyper.automatic_batch_size else hyper.batch_size
