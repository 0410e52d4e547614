"""How long a run still takes: from measured times only, with the time as an argument."""

from __future__ import annotations

from statistics import median

# The epochs that tell how long the next ones take: the newer half, for a machine is not always ours
# alone and becomes what it was before; and so many of the newest, for a change may be there to
# stay. Midway between the medians of both was nearer to the truth, over runs that were recorded on
# a busy machine and over drawn ones (steps, bursts, drifts), than either, than means, and than
# rules that look for a change.
_RECENT = 5
# Until an epoch was measured: how much longer it takes than its training steps (evaluation).
_EVALUATION_SHARE = 1.2
# What comes after training: evaluation and upload, as a share of an epoch and at least, and each
# form that the model is exported to, which is compared with the model.
_TAIL_SHARE = 0.5
_TAIL_SECONDS = 5.0
_EXPORT_SECONDS = 5.0
# Preparation is given this part of the whole until its length can be told.
_PREPARE_PERCENT = 3.0
# Where a run that goes on starts again: what follows on the training is left out.
_TRAINING_PERCENT = 95.0


class Estimate:
    """Remaining time and percentage of a run.

    Parameters
    ----------
    now
        When the run began, in seconds of a clock that never goes back.
    epochs
        Epochs asked for; stopping early only makes it shorter.
    exports
        Forms that the model is exported to.
    """

    def __init__(self, now: float, epochs: int, exports: int = 0) -> None:
        self._began, self._epochs, self._exports = now, epochs, exports
        self._epoch_began = now
        self._steps_an_epoch = 0
        self._steps = 0
        self._done = 0
        self._durations: list[float] = []
        self._ended: float | None = None
        self._percent = 0.0

    def go_on(self, done: int, seconds: float) -> None:
        """Epochs were done by earlier attempts: they count as passed, and are not to come.

        Parameters
        ----------
        done
            How many.
        seconds
            How long they took.
        """
        self._done, self._began = done, self._began - seconds
        self._percent = _TRAINING_PERCENT * done / self._epochs

    def training_started(self, now: float, steps_an_epoch: int) -> None:
        """The first epoch begins."""
        self._epoch_began, self._steps_an_epoch = now, max(1, steps_an_epoch)

    def step(self) -> None:
        """One step of the current epoch is done."""
        self._steps += 1

    def epoch(self, now: float) -> None:
        """An epoch is done, its evaluation included."""
        self._durations.append(now - self._epoch_began)
        self._epoch_began, self._steps = now, 0
        self._done += 1

    def training_ended(self, now: float) -> None:
        """No more epochs will come, however many were asked for."""
        self._epochs, self._ended = self._done, now

    def remaining(self, now: float) -> float | None:
        """Seconds to the end of the run, or None before anything was measured."""
        length = self._epoch_length(now)
        if length is None:
            return None
        tail = max(_TAIL_SECONDS, _TAIL_SHARE * length) + self._exports * _EXPORT_SECONDS
        if self._ended is not None:
            return max(0.0, tail - (now - self._ended))
        current = min(now - self._epoch_began, length) if self._done < self._epochs else 0.0
        return (self._epochs - self._done) * length - current + tail

    def preparing(self, fraction: float) -> float:
        """Percent of the run while `fraction` (0..1) of the preparation is done."""
        self._percent = max(self._percent, _PREPARE_PERCENT * fraction)
        return self._percent

    def percent(self, now: float) -> float:
        """Percent of the run, 0..99; never goes back."""
        remaining = self.remaining(now)
        if remaining is not None:
            elapsed = now - self._began
            self._percent = max(self._percent, 100 * elapsed / (elapsed + remaining))
        self._percent = min(99.0, self._percent)
        return self._percent

    def _epoch_length(self, now: float) -> float | None:
        if self._durations:
            newer = self._durations[-max(_RECENT, len(self._durations) // 2) :]
            return (median(newer) + median(newer[-_RECENT:])) / 2
        if not self._steps:
            return None
        share = min(1.0, self._steps / self._steps_an_epoch)
        return _EVALUATION_SHARE * (now - self._epoch_began) / share
