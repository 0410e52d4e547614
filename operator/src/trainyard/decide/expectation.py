"""How long a run will probably take, before it has measured itself: as long as those before it.

Runs of the same template on the same node are what it is compared with, scaled by epochs and
train images where both are known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from trainyard.api.process import TrainingProcess
from trainyard.api.process_status import Attempt, ProcessPhase, TrainingProcessStatus
from trainyard.api.template import TrainingTemplate
from trainyard.decide.resolve import OverrideError, resolve_template

RECENT = 5
"""Runs that are compared with, the newest: machines and recipes change."""


@dataclass(frozen=True)
class PastRun:
    """A run that gave a model.

    Attributes
    ----------
    template
        `namespace/name`.
    seconds
        From the creation of its Job to its end, without what it waited between attempts.
    work
        Epochs asked for times train images; None: not known.
    """

    template: str
    node: str
    seconds: float
    work: float | None
    finished: datetime


def past_run(process: TrainingProcess) -> PastRun | None:
    """What a finished process says about those to come; None if it did not train to its end."""
    status, spec = process.status, process.spec
    if status.phase is not ProcessPhase.SUCCEEDED or not status.attempts:
        return None
    finished = status.attempts[-1].finish_time
    seconds = sum(map(_seconds, _of_one_training(status.attempts)))
    if finished is None or seconds <= 0:
        return None
    epochs = None if status.progress is None else status.progress.epochs
    return PastRun(
        template=f"{process.metadata.namespace}/{spec.template}",
        node=spec.target_node,
        seconds=seconds,
        work=_work(status, epochs),
        finished=finished,
    )


def _of_one_training(attempts: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
    """The last attempt, and those that it went on from; not what was lost before them."""
    first = max(
        (place for place, attempt in enumerate(attempts) if not attempt.resumed_from_epoch),
        default=0,
    )
    return attempts[first:]


def _seconds(attempt: Attempt) -> float:
    if attempt.start_time is None or attempt.finish_time is None:
        return 0.0
    return (attempt.finish_time - attempt.start_time).total_seconds()


def _work(status: TrainingProcessStatus, epochs: int | None) -> float | None:
    split = None if status.data is None else status.data.train
    if epochs is None or split is None or not split.samples:
        return None
    return float(epochs * split.samples)


def expected_seconds(
    process: TrainingProcess, template: TrainingTemplate | None, past: Iterable[PastRun]
) -> float | None:
    """How long the whole run will probably take; None if nothing is known.

    The median, so that one run on a busy machine does not count.

    Parameters
    ----------
    template
        The one that the process names, if it is there.
    past
        Runs of its node.
    """
    key = f"{process.metadata.namespace}/{process.spec.template}"
    alike = [run for run in past if (run.template, run.node) == (key, process.spec.target_node)]
    alike.sort(key=lambda run: run.finished)
    if not alike:
        return None
    work = _work(process.status, _epochs(process, template))
    return median(
        run.seconds * (work / run.work if work is not None and run.work is not None else 1.0)
        for run in alike[-RECENT:]
    )


def _epochs(process: TrainingProcess, template: TrainingTemplate | None) -> int | None:
    progress = process.status.progress
    if progress is not None and progress.epochs is not None:
        return progress.epochs
    if template is None:
        return None
    try:
        return resolve_template(template.spec, process.spec.overrides).hyperparameters.epochs
    except OverrideError:
        return None


def rest_seconds(status: TrainingProcessStatus, whole: float | None) -> float | None:
    """How much of the whole run is left for an attempt that begins at the last checkpoint."""
    point, progress = status.checkpoint, status.progress
    if whole is None or point is None or progress is None or not progress.epochs:
        return whole
    return whole * max(0.0, 1.0 - point.epoch / progress.epochs)


def expected_end(status: TrainingProcessStatus, whole: float | None) -> datetime | None:
    """When the present attempt would be over if it took as long as runs before it."""
    rest = rest_seconds(status, whole)
    if rest is None or not status.attempts or status.attempts[-1].start_time is None:
        return None
    return status.attempts[-1].start_time + timedelta(seconds=rest)


def done_at(status: TrainingProcessStatus, whole: float | None) -> datetime | None:
    """When the present attempt will probably be over: as its trainer says, or as those before."""
    progress, began = status.progress, status.attempts[-1].start_time if status.attempts else None
    if progress is None or progress.last_updated_time is None or began is None:
        return expected_end(status, whole)
    # What the trainer of the attempt before said is of no use.
    told = progress.estimated_completion_time if progress.last_updated_time >= began else None
    return told or expected_end(status, whole)
