"""The records of attempts: how many failed, what the next one is made of."""

from __future__ import annotations

from datetime import datetime, timedelta

from trainyard.api.process import Retry
from trainyard.api.process_status import Attempt, CheckpointStatus
from trainyard.api.reasons import Reason
from trainyard.api.run import ResumeFrom, RunFile
from trainyard.api.template import Hyperparameters

KEPT = 100
"""Attempts that a status has room for."""
FIRST_BACK_OFF_SECONDS = 10
LONGEST_BACK_OFF_SECONDS = 360

NO_FAILURE = frozenset({Reason.STOPPED, Reason.EVICTED})
"""Ends after which the run goes on with another attempt, whatever the limit of retries says."""
NEVER_MENDS = frozenset(
    {
        Reason.BAD_DATA,
        Reason.BASE_MODEL_UNUSABLE,
        Reason.CLASSES_MISSING,
        Reason.LOSS_NOT_FINITE,
        Reason.INVALID_RUN_FILE,
        Reason.RUN_FILE_DELETED,
        Reason.INSUFFICIENT_GPUS,
        Reason.DEADLINE_EXCEEDED,
        Reason.START_DEADLINE_EXCEEDED,
    }
)
"""Failures that another attempt at the same thing would only repeat."""


def failures(attempts: tuple[Attempt, ...]) -> int:
    """Attempts that count against the limit of retries."""
    return sum(1 for attempt in attempts if attempt.finish_time and not is_no_failure(attempt))


def is_no_failure(attempt: Attempt) -> bool:
    """Whether the attempt was stopped or evicted."""
    return attempt.reason in NO_FAILURE


def may_follow(retry: Retry | None, attempts: tuple[Attempt, ...], batch_size: int | None) -> bool:
    """Whether another attempt follows the last one, which failed.

    Parameters
    ----------
    batch_size
        Of the last attempt: one that already had a batch of one image cannot shrink. None: the
        trainer chose it.
    """
    if retry is None or attempts[-1].reason in NEVER_MENDS:
        return False
    shrinks = retry.shrink_batch_on_out_of_memory
    if attempts[-1].reason == Reason.GPU_OUT_OF_MEMORY and shrinks and batch_size == 1:
        return False
    return failures(attempts) <= retry.limit


def back_off_until(attempts: tuple[Attempt, ...]) -> datetime | None:
    """When the attempt after the last one may begin, if that one failed."""
    last = attempts[-1]
    if last.finish_time is None or is_no_failure(last):
        return None
    doubled = FIRST_BACK_OFF_SECONDS * 2 ** (failures(attempts) - 1)
    return last.finish_time + timedelta(seconds=min(LONGEST_BACK_OFF_SECONDS, doubled))


def batch_size(
    recipe: Hyperparameters, attempts: tuple[Attempt, ...], retry: Retry | None
) -> int | None:
    """Batch size after `attempts`, if it is not what the recipe says.

    Halved each time that the GPU ran out of memory; where the trainer was to choose it, the first
    time is followed by the recipe's `batchSize`.

    Parameters
    ----------
    recipe
        Of the template with its overrides.
    """
    if retry is None or not retry.shrink_batch_on_out_of_memory:
        return None
    times = sum(attempt.reason == Reason.GPU_OUT_OF_MEMORY for attempt in attempts)
    if times == 0:
        return None
    return max(1, recipe.batch_size >> (times - recipe.automatic_batch_size))


def active_seconds(attempts: tuple[Attempt, ...], now: datetime) -> float:
    """Seconds that the attempts took together, the present one up to now."""
    return sum(
        ((attempt.finish_time or now) - attempt.start_time).total_seconds()
        for attempt in attempts
        if attempt.start_time is not None
    )


def run_of(
    base: RunFile,
    number: int,
    output: str,
    checkpoint: CheckpointStatus | None,
    batch_size: int | None,
) -> RunFile:
    """The run.yaml of a later attempt: the frozen inputs, and where it goes on.

    Parameters
    ----------
    base
        The run.yaml of the first attempt.
    output
        Folder of this attempt's artefacts.
    batch_size
        Instead of the recipe's, or of what the trainer would choose; None: as the recipe says.
    """
    hyper = base.template.hyperparameters
    if batch_size is not None:
        hyper = hyper.model_copy(update={"batch_size": batch_size, "automatic_batch_size": False})
    resume = None
    if checkpoint is not None:
        resume = ResumeFrom(
            location=checkpoint.location, sha256=checkpoint.sha256, epoch=checkpoint.epoch
        )
    return base.model_copy(
        update={
            "attempt": number,
            "output": output,
            "resume": resume,
            "template": base.template.model_copy(update={"hyperparameters": hyper}),
        }
    ).sealed()


def recorded(attempts: tuple[Attempt, ...], new: Attempt) -> tuple[Attempt, ...]:
    """`attempts` and a new one; when there are too many, the oldest that was only stopped goes."""
    whole = (*attempts, new)
    if len(whole) <= KEPT:
        return whole
    spare = next((item for item in whole[1:-1] if is_no_failure(item)), whole[0])
    return tuple(item for item in whole if item is not spare)
