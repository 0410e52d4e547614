"""One run, as five steps: prepare, train, evaluate, export, publish."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from trainyard.api.report import EpochReport, LastWords, Stage
from trainyard.api.run import RUN_FILE, RunFile
from trainyard.datasets.node_cache import NodeCache
from trainyard.stores import Store
from trainyard_trainer import checkpoint, export, metrics, model, publish
from trainyard_trainer.describe import describe
from trainyard_trainer.engines import engine_for
from trainyard_trainer.engines.base import (
    Resume,
    Saved,
    SplitResult,
    Trained,
    TrainSettings,
    Watcher,
)
from trainyard_trainer.engines.batch_size import is_automatic
from trainyard_trainer.faults import Stopped
from trainyard_trainer.illustrate import Story, illustrate
from trainyard_trainer.journal import Journal
from trainyard_trainer.keeper import Keeper, interval_seconds
from trainyard_trainer.prepare import Prepared, prepare
from trainyard_trainer.progress import Reporter, Ticker
from trainyard_trainer.settings import settings_of
from trainyard_trainer.starting_point import starting_point
from trainyard_trainer.stopping import StopRequest

if TYPE_CHECKING:
    from trainyard_trainer.engines.engine import TrainingEngine

_log = logging.getLogger("trainyard")


def execute(
    run: RunFile, store: Store, reporter: Reporter, folder: Path, device: str, stop: StopRequest
) -> LastWords:
    """Train the model that `run` describes and publish it.

    Parameters
    ----------
    run
        What to do.
    store
        Where the snapshots are and the artefacts go.
    reporter
        Told how far it is.
    folder
        An empty folder for everything in between.
    device
        `cpu` or `0`.
    stop
        Armed; disarmed when there is nothing left to stop.

    Raises
    ------
    Stopped
        If the pod was told to stop; the checkpoint of the last epoch is in the store, or the text
        says why not.
    """
    if (done := publish.already_published(store, run)) is not None:
        _log.info("this run is in the store already: %s", run.output)
        return done
    recipe = Recipe(run, store, reporter, Places.below(folder), device, stop)
    with recipe.kept():
        recipe.take_up()
        prepared = recipe.prepare()
        trained = recipe.train(prepared)
        results = recipe.evaluate(prepared, trained)
        files = recipe.export(prepared, trained, results)
        return recipe.publish(files, trained, results)


@dataclass(frozen=True)
class Places:
    """Where a run works on this machine.

    Attributes
    ----------
    work
        For checkpoints, the log and what is in between.
    data
        The images as the engine learns them.
    engine
        For what the engine's library writes: its checkpoints below `train`.
    base
        The weights that training starts from, if there are any; fetched unless they lie there.
    """

    work: Path
    data: Path
    engine: Path
    base: Path

    @classmethod
    def below(cls, folder: Path) -> Self:
        """Everything in one folder."""
        return cls(folder, folder / "data", folder / "engine", folder / "base.pth")


@dataclass
class Recipe:
    """The five steps; each takes what those before it made."""

    run: RunFile
    store: Store
    reporter: Reporter
    places: Places
    device: str
    stop: StopRequest

    def __post_init__(self) -> None:
        kind = self.run.template.engine
        self._engine: TrainingEngine = engine_for(kind, self.run.capability.type)
        base = starting_point(self.store, self.run, self.places.base)
        self._settings = settings_of(self.run, self._engine, self.device, base)
        self._out = self.places.work / "artefacts"
        self._out.mkdir(parents=True, exist_ok=True)
        self._journal = Journal(
            self.run,
            self.store,
            self.reporter,
            self.stop,
            self._out,
            self._settings.primary_metric,
        )
        self._resume: Resume | None = None
        self.keeper = Keeper(
            self.store,
            self.run,
            self.places.work / "checkpoints",
            self._engine.prove,
            interval_seconds(),
        )

    @property
    def engine(self) -> TrainingEngine:
        """What trains."""
        return self._engine

    @property
    def settings(self) -> TrainSettings:
        """What it is told."""
        return self._settings

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Whatever ends the steps, the last epoch's checkpoint is kept; once published, none is.

        Raises
        ------
        Stopped
            If the run was told to stop.
        """
        try:
            yield
        except BaseException as error:
            self.stop.disarm()
            with self._journal.ending():
                if self.stop.requested:
                    # Whatever it was raised as: a library may have made something else of it.
                    raise Stopped(self.keeper.stopped()) from error
                self.keeper.failed(error)
            raise
        self.keeper.forget()

    def take_up(self) -> None:
        """Fetch the checkpoint that the run goes on from, if it does."""
        if self.run.resume is None:
            return
        self._journal.say(Stage.PREPARE, "fetching the checkpoint", prepared=0.0)
        names, folder = self._engine.checkpoint_files, self.places.work / "resumed"
        resumed = checkpoint.fetch(self.store, self.run, self.run.resume, names, folder)
        self._engine.prove(folder, resumed.epoch)
        finished = resumed.notes.finished
        self._resume = Resume(folder, resumed.history, finished)
        self._journal.go_on(resumed)
        self.keeper.go_on(resumed)
        _log.info(
            "going on after epoch %d of %d from %s%s",
            resumed.epoch,
            self.run.template.hyperparameters.epochs,
            resumed.location,
            ": nothing is left to train" if finished else "",
        )

    def prepare(self) -> Prepared:
        """Fetch the snapshots and lay them out as the engine wants them."""
        _log.info("prepare: fetching the datasets")
        ticker: Ticker | None = None

        def progress(done: int, total: int) -> None:
            nonlocal ticker
            ticker = ticker or Ticker("unpacking images", total)
            ticker.at(done)
            self._journal.say(
                Stage.PREPARE, f"unpacked {done} of {total} images", prepared=done / total
            )

        self._journal.say(Stage.PREPARE, "fetching the datasets", prepared=0.0)
        return prepare(
            self.store,
            self.run.datasets,
            self.run.capability.outputs,
            self._engine,
            self.places.data,
            progress,
            NodeCache.from_environment(),
        )

    def train(self, prepared: Prepared) -> Trained:
        """Train from scratch or go on; afterwards the best epoch's tensors are in memory.

        What goes on from a checkpoint is not bit for bit what would have been without the stop.
        """
        hyper, settings = self.run.template.hyperparameters, self._settings
        _log.info(
            "train: %s, %d epochs, batches of %s, %d pixels, on %s with %d threads; %s",
            settings.architecture,
            hyper.epochs,
            "automatic size" if is_automatic(settings) else hyper.batch_size,
            hyper.image_size,
            "the CPU" if self.device == "cpu" else "the GPU",
            settings.threads,
            settings.variation,
        )

        def epoch(report: EpochReport, saved: Saved) -> None:
            # What is in the journal is kept and told too, whenever the signal to stop comes.
            with self.stop.held():
                self._journal.epoch(report)
                self.keeper.keep(self._journal.history, saved.files, finished=saved.finished)
                self._journal.log_epoch()
            self._journal.say(Stage.TRAIN, f"epoch {report.epoch} of {hyper.epochs} done")

        self._journal.say(Stage.TRAIN, "setting up")
        trained = self._engine.train(
            settings,
            prepared.layout.data,
            self.places.engine,
            Watcher(self._journal.training_started, self._journal.step, epoch),
            self._resume,
        )
        self._journal.training_ended()
        stopped = "" if trained.epochs == hyper.epochs else " (stopped early)"
        _log.info("train: %d epochs%s, best %d", trained.epochs, stopped, trained.best_epoch)
        return trained

    def evaluate(self, prepared: Prepared, trained: Trained) -> dict[str, SplitResult]:
        """How good the best epoch is on dev and, once, on test.

        What is chosen is chosen on dev: the best epoch, and the operating threshold where the
        capability states no confidence of its own.
        """
        self._journal.say(Stage.EVALUATE, "evaluating the best epoch")
        hyper = self._settings.hyperparameters.model_copy(update={"image_size": trained.image_size})
        settings = replace(self._settings, hyperparameters=hyper)
        built = self._engine.build(trained.architecture, len(settings.classes), trained.state)
        parameters = self.run.capability.parameters
        threshold = parameters.confidence if parameters else None
        results: dict[str, SplitResult] = {}
        for split, name in (("dev", "val"), ("test", "test")):
            if name in prepared.layout.counts:
                results[split] = self._engine.evaluate(
                    built,
                    prepared.layout.data,
                    name,
                    settings,
                    self.places.engine / name,
                    threshold,
                )
                threshold = results[split].threshold
                words = ", ".join(f"{k} {v:.4f}" for k, v in results[split].metrics.items())
                _log.info("evaluate: %s: %s", split, words)
        return results

    def export(
        self, prepared: Prepared, trained: Trained, results: dict[str, SplitResult]
    ) -> list[Path]:
        """Write the model in its forms, its description, the metrics and the pictures."""
        self._journal.say(Stage.EXPORT, "writing the model")
        # Matplotlib is not made for two threads that draw.
        self._journal.close()
        network = self._engine.build(
            trained.architecture, len(self._settings.classes), trained.state
        )
        outputs = export.output_tensors(self._engine, network, trained.image_size)
        config = describe(self.run, self._settings, self._engine, trained, outputs, results)
        images = [entry.path for entry in prepared.held_out]
        forms = export.export(
            self.run.template.exports, self._engine, network, config, images, self._out
        )
        config = config.model_copy(update={"exports": forms})
        weights, described = self._out / publish.WEIGHTS, self._out / publish.CONFIG
        model.save(weights, trained.state, config)
        model.write_config(described, config)
        archive = self._out / publish.ARCHIVE
        publish.write_archive(archive, [weights, described])
        measured = self._out / publish.METRICS
        metrics.write(
            measured,
            metrics.document(
                self._settings.primary_metric,
                results,
                prepared.names,
                best_epoch=trained.best_epoch,
                epochs=trained.epochs,
                train=prepared.train,
            ),
        )
        made_of = self._out / RUN_FILE
        publish.write_run(made_of, self.run)
        pictures = illustrate(
            Story(
                self.run.name,
                tuple(self._journal.history),
                self._settings.primary_metric,
                trained.best_epoch,
                results,
                prepared,
                trained.seen,
            ),
            model.load(weights, described),
            self._out,
        )
        _log.info("export: %s of %.1f MB", weights.name, weights.stat().st_size / 1e6)
        exported = [self._out / form.file for form in forms.values()]
        epochs = self._journal.files
        return [weights, described, *exported, archive, measured, *epochs, made_of, *pictures]

    def publish(
        self, files: list[Path], trained: Trained, results: dict[str, SplitResult]
    ) -> LastWords:
        """Upload everything, the manifest last.

        Once the manifest is on its way the run is not stopped any more: it may count as done.
        """
        self._journal.say(Stage.PUBLISH, "uploading the artefacts")
        # What the manifest states must not be overwritten by what was on its way before.
        self._journal.close()
        _log.info("publish: %d files to %s", len(files) + 1, self.run.output)
        stored = publish.upload(self.store, self.run, [*files, self.places.work / publish.LOG])
        self.stop.disarm()
        _log.info("publish: all files are stored, writing the manifest")
        words = publish.finish(
            self.store,
            self.run,
            stored,
            self._settings.primary_metric,
            results,
            trained.epochs,
        )
        self._journal.published(trained.epochs)
        return words
