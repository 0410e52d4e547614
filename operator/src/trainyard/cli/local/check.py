"""Whether everything that a process names fits together: decided as the operator decides it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from trainyard.api.comparison import SplitName
from trainyard.api.dataset import Dataset
from trainyard.api.meta import Resource
from trainyard.api.process import Overrides, TrainingProcess
from trainyard.api.run import RunFile
from trainyard.cli.errors import CommandError
from trainyard.cli.local.snapshots import Snapshots
from trainyard.cli.manifests.reading import Manifests
from trainyard.cli.output import note
from trainyard.datasets.splits import compare_splits
from trainyard.decide.data_status import data_status
from trainyard.decide.facts import DecisionSettings, ProcessFacts
from trainyard.decide.inputs import resolve_now
from trainyard.decide.validation import validate
from trainyard.stores import StoreError

NAMESPACE = "local"
"""Of everything that is trained without a cluster, whatever its manifests say."""
IMAGE = "this machine"
"""Stands for the trainer's image in fingerprints."""


def facts_of(
    manifests: Manifests, process: TrainingProcess, root: str, *, cpu: bool = False
) -> ProcessFacts:
    """The process with what it names, but for the snapshots.

    Parameters
    ----------
    root
        `file://` URI of everything that is kept.
    cpu
        Train on the CPU, whatever the template asks for.

    Raises
    ------
    CommandError
        If something is missing, or does not fit whatever the data is.
    """
    spec, place = process.spec, manifests.place
    splits = spec.datasets
    names = dict.fromkeys((*splits.train, *splits.dev, *splits.test))
    needed: list[tuple[str, str, Mapping[str, Resource]]] = [
        ("Capability", spec.capability, manifests.capabilities),
        ("TrainingTemplate", spec.template, manifests.templates),
        *(("Dataset", name, manifests.datasets) for name in names),
    ]
    for kind, name, known in needed:
        if name not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise CommandError(
                f"TrainingProcess {process.metadata.name} names the {kind} {name}, which is not "
                f"in {place}: it has {listed}"
            )
    process = _here(process, cpu=cpu)
    facts = ProcessFacts(
        process=process,
        settings=DecisionSettings(image=IMAGE, store_root=root),
        capability=manifests.capabilities[spec.capability],
        template=manifests.templates[spec.template],
        datasets={name: manifests.datasets[name] for name in names},
    )
    _refuse(facts, before_data=True)
    return facts


def _here(process: TrainingProcess, *, cpu: bool) -> TrainingProcess:
    spec = process.spec
    if cpu:
        said = {} if spec.overrides is None else spec.overrides.to_wire()
        said["resources"] = said.get("resources", {}) | {"gpus": 0}
        spec = spec.model_copy(update={"overrides": Overrides.model_validate(said)})
    meta = process.metadata.model_copy(update={"namespace": NAMESPACE})
    return process.model_copy(update={"spec": spec, "metadata": meta})


def run_file_of(facts: ProcessFacts, snapshots: Snapshots) -> RunFile:
    """Make the snapshots, compare the splits, decide; the run.yaml of the first attempt.

    The run's UID is made of its name and its fingerprint: the same inputs are the same run, which
    goes on where it was; others are another one.

    Raises
    ------
    CommandError
        If the data cannot be used, or does not fit; a warning about it is only told.
    """
    datasets = {name: snapshots.of(item) for name, item in facts.datasets.items()}
    try:
        data = compare_splits(snapshots.store, _uris(facts, datasets))
    except StoreError as error:
        raise CommandError(f"the splits cannot be compared: {error}") from None
    facts = replace(facts, datasets=datasets, data=data)
    _refuse(facts)
    known = data_status(facts)
    for warning in known.warnings if known is not None else ():
        note(f"{warning.reason}: {warning.message}")
    resolved, _ = resolve_now(facts)
    meta = facts.process.metadata
    uid = f"{meta.name}-{(resolved.fingerprint or '')[:12]}"
    process = facts.process.model_copy(update={"metadata": meta.model_copy(update={"uid": uid})})
    return resolve_now(replace(facts, process=process))[1]


def _refuse(facts: ProcessFacts, *, before_data: bool = False) -> None:
    """Refuse what the operator would fail, or would wait for in vain."""
    finding = validate(facts)
    if finding is not None and (finding.final or not before_data):
        raise CommandError(
            f"TrainingProcess {facts.process.metadata.name}: {finding.reason}: {finding.message}"
        )


def _uris(facts: ProcessFacts, datasets: Mapping[str, Dataset]) -> dict[SplitName, tuple[str, ...]]:
    splits = facts.process.spec.datasets

    def uris(names: Iterable[str]) -> tuple[str, ...]:
        found = (datasets[name].status.snapshot for name in names)
        return tuple(item.uri for item in found if item is not None)

    return {"train": uris(splits.train), "dev": uris(splits.dev), "test": uris(splits.test)}
