"""Everything that decides about one object, read once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from pydantic import ValidationError

from trainyard.api.capability import Capability
from trainyard.api.dataset import Dataset, DatasetPhase
from trainyard.api.documents import DocumentError, load_yaml
from trainyard.api.meta import STORE_SECRET
from trainyard.api.model import TrainedModel
from trainyard.api.process import TrainingProcess
from trainyard.api.run import RUN_FILE, RunFile
from trainyard.api.template import TrainingTemplate
from trainyard.cluster import names, parse
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.artefacts import ArtefactReader
from trainyard.cluster.cache import Cache
from trainyard.cluster.existing import ExistingRuns
from trainyard.cluster.lock import NodeLock
from trainyard.cluster.resources import (
    CAPABILITY,
    CONFIG_MAP,
    DATASET,
    MODEL,
    NODE,
    PROCESS,
    SECRET,
    TEMPLATE,
)
from trainyard.cluster.rivals import Rivals
from trainyard.cluster.typed import TypedCache
from trainyard.cluster.workloads import Workloads
from trainyard.decide.dataset import snapshot_root
from trainyard.decide.facts import (
    DatasetFacts,
    DecisionSettings,
    JobFacts,
    Mismatch,
    ModelFacts,
    PodFacts,
    ProcessFacts,
    ReceivedReport,
    Unavailable,
    VerifiedArtefacts,
    VerifiedCheckpoint,
    VerifiedSnapshot,
)
from trainyard.decide.model import may_be_read, unread_mark
from trainyard.decide.outbox import Deliveries
from trainyard.decide.resolve import output_location

Reports = Callable[[str], ReceivedReport | None]
"""The newest report for the UID of a process or dataset."""


class Gatherer:
    """Builds facts from the cache, and reads directly what the cache does not hold."""

    def __init__(
        self,
        api: ApiServer,
        cache: Cache,
        lock: NodeLock,
        artefacts: ArtefactReader,
        reports: Reports,
        settings: DecisionSettings,
        listening_since: Callable[[], datetime | None] = lambda: None,
        deliveries: Callable[[str], Deliveries] = lambda _: Deliveries(),
    ) -> None:
        self._api = api
        self._cache = cache
        self._lock = lock
        self._artefacts = artefacts
        self._reports = reports
        self._settings = settings
        self._listening_since = listening_since
        self._deliveries = deliveries
        self._workloads = Workloads(api, cache)
        self.typed = TypedCache(cache)
        self._rivals = Rivals(cache, self.typed)
        self._existing_runs = ExistingRuns(cache, self.typed, artefacts, settings)

    def process(self, key: str) -> ProcessFacts | None:
        """Facts about a TrainingProcess; None if there is none."""
        process = self.typed(PROCESS, TrainingProcess, key)
        if process is None:
            return None
        spec, meta, status = process.spec, process.metadata, process.status
        if status.phase is not None and status.phase.terminal:
            # Only what is left of it is cleared away, so little is read for it at each resync.
            jobs = self._workloads.jobs_of(meta.uid)
            told = self._deliveries(meta.uid) if status.notifications else Deliveries()
            return ProcessFacts(
                process=process, settings=self._settings, jobs=jobs, deliveries=told
            )
        namespace = meta.namespace
        attempted = bool(status.attempts)
        last = status.attempts[-1] if attempted else None
        datasets = self._datasets(process)
        starting = not attempted and not spec.suspend
        ready = all(
            name in datasets and datasets[name].status.snapshot is not None
            for name in (*spec.datasets.train, *spec.datasets.dev, *spec.datasets.test)
        )
        number = last.number if last is not None else 1
        between = last is not None and last.finish_time is not None
        job = self._workloads.job(
            namespace, names.training_job(meta.uid, number), meta.uid, attempted and not between
        )
        pod = self._workloads.pod_of_attempt(process, number, job) if attempted else None
        if job is not None and job.suspended and pod is not None:
            # They are watched apart: a pod may be seen, and may even be over, before its Job is
            # seen started, and must not be taken for one whose Job somebody suspended.
            job = self._workloads.job_now(job) or job
        run = self._run_file(namespace, meta.uid, number) if attempted else None
        raw_node = self._cache.get(NODE, spec.target_node)
        template = self.typed(TEMPLATE, TrainingTemplate, f"{namespace}/{spec.template}")
        facts = ProcessFacts(
            process=process,
            settings=self._settings,
            capability=self.typed(CAPABILITY, Capability, f"{namespace}/{spec.capability}"),
            template=template,
            base_model=self._base_model(template),
            datasets=datasets,
            secret_present=not starting or self._secret(namespace),
            data=self._artefacts.comparison(spec.datasets, datasets)
            if ready and starting
            else None,
            node=None if raw_node is None else parse.node(raw_node),
            job=job,
            next_job=self._workloads.job(
                namespace, names.training_job(meta.uid, number + 1), meta.uid, expected=False
            )
            if between
            else None,
            run=run,
            base=run if number == 1 else self._run_file(namespace, meta.uid, 1),
            pod=pod,
            checkpoint=self._checkpoint(process, number, job, pod),
            refusal=self._workloads.refusal(job) if pod is None else "",
            start_failure=None if pod is None else self._workloads.start_failure(pod),
            listening_since=self._listening_since(),
            lease=None if spec.suspend and not attempted else self._lock.read(spec.target_node),
            live_holder=self._workloads.live_holder(spec.target_node, meta.uid),
            rivals=self._rivals.of(process),
            expected_seconds=self._rivals.expected_seconds(process),
            report=self._report(meta.uid, number),
            verdict=self._verdict(process, job, pod, number),
            model_made_by=self._model_made_by(key),
        )
        return replace(facts, existing=self._existing_runs.like(facts))

    def dataset(self, key: str) -> DatasetFacts | None:
        """Facts about a Dataset; None if there is none."""
        dataset = self.typed(DATASET, Dataset, key)
        if dataset is None:
            return None
        meta = dataset.metadata
        if dataset.status.phase in (DatasetPhase.READY, DatasetPhase.FAILED):
            return DatasetFacts(dataset=dataset, settings=self._settings)
        job = self._workloads.job(
            meta.namespace, names.snapshot_job(meta.uid), meta.uid, dataset.status.phase
        )
        pod = None if job is None else self._workloads.pod_of(job)
        return DatasetFacts(
            dataset=dataset,
            settings=self._settings,
            secret_present=job is not None or dataset.spec.suspend or self._secret(meta.namespace),
            job=job,
            pod=pod,
            start_failure=None if pod is None else self._workloads.start_failure(pod),
            pressed=0 if job is None else self._workloads.pressed(job),
            report=self._report(meta.uid, 1),
            snapshot=self._snapshot(meta.namespace, job, pod),
        )

    def model(self, key: str) -> ModelFacts | None:
        """Facts about a TrainedModel; None if there is none."""
        model = self.typed(MODEL, TrainedModel, key)
        if model is None:
            return None
        evaluations = None
        if unread_mark(model) is not None and may_be_read(model, self._settings):
            evaluations = self._artefacts.evaluations(model.spec.artefacts.location)
        return ModelFacts(model=model, settings=self._settings, evaluations=evaluations)

    def _base_model(self, template: TrainingTemplate | None) -> TrainedModel | None:
        """The TrainedModel that a template starts from."""
        name = None if template is None else template.spec.base_model.trained_model
        if template is None or name is None:
            return None
        return self.typed(MODEL, TrainedModel, f"{template.metadata.namespace}/{name}")

    def _datasets(self, process: TrainingProcess) -> dict[str, Dataset]:
        splits, namespace = process.spec.datasets, process.metadata.namespace
        found = {
            name: self.typed(DATASET, Dataset, f"{namespace}/{name}")
            for name in (*splits.train, *splits.dev, *splits.test)
        }
        return {name: dataset for name, dataset in found.items() if dataset is not None}

    def _secret(self, namespace: str) -> bool:
        return self._api.get(SECRET, STORE_SECRET, namespace) is not None

    def _checkpoint(
        self, process: TrainingProcess, number: int, job: JobFacts | None, pod: PodFacts | None
    ) -> VerifiedCheckpoint | Unavailable | None:
        """The newest checkpoint of an attempt whose pod has ended without a finished run."""
        if pod is None or not (pod.over or pod.terminal) or (job is not None and job.complete):
            return None
        if process.status.attempts[-1].finish_time is not None:
            return None
        return self._artefacts.checkpoint(
            output_location(self._settings.store_root, process, number), process.metadata.uid
        )

    def _run_file(self, namespace: str, uid: str, attempt: int) -> RunFile | None:
        raw = self._api.get(CONFIG_MAP, names.training_job(uid, attempt), namespace)
        text = ((raw or {}).get("data") or {}).get(RUN_FILE)
        if text is None:
            return None
        try:
            run = RunFile.model_validate(load_yaml(text, RUN_FILE))
            run.verify(RUN_FILE)
        except (DocumentError, ValidationError):
            return None
        return run

    def _report(self, uid: str, attempt: int) -> ReceivedReport | None:
        received = self._reports(uid)
        if received is None or received.report.attempt != attempt:
            return None
        return received

    def _verdict(
        self, process: TrainingProcess, job: JobFacts | None, pod: PodFacts | None, attempt: int
    ) -> VerifiedArtefacts | Mismatch | Unavailable | None:
        """What the attempt published, once it is over.

        Also of one that was stopped, killed or lost its Job: it may just have been done.
        """
        complete = job is not None and job.complete
        over = pod is not None and pod.over and not (job is not None and job.live)
        open_ = process.status.attempts and process.status.attempts[-1].finish_time is None
        if not complete and not (over and open_):
            return None
        words = pod.last_words if pod is not None else None
        return self._artefacts.verify(
            output_location(self._settings.store_root, process, attempt),
            words.manifest_sha256 if words is not None else None,
        )

    def _snapshot(
        self, namespace: str, job: JobFacts | None, pod: PodFacts | None
    ) -> VerifiedSnapshot | Mismatch | Unavailable | None:
        if job is None or not job.complete:
            return None
        words = pod.last_words if pod is not None else None
        if words is None or words.location is None:
            return Mismatch(
                f"the snapshot Job {job.name} is complete but its pod's last words are gone: "
                "create a new Dataset"
            )
        root = snapshot_root(self._settings.store_root, namespace)
        if not words.location.startswith(f"{root}/"):
            return Mismatch(f"the snapshot Job reported {words.location}, outside of {root}")
        return self._artefacts.snapshot(words.location, words.manifest_sha256)

    def _model_made_by(self, key: str) -> str | None:
        model = self.typed(MODEL, TrainedModel, key)
        if model is None:
            return None
        lineage = model.spec.lineage
        return (lineage.process_uid or "") if lineage is not None else ""
