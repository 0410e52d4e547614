"""Whether everything that a process names fits together: decided as the operator decides it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from trainyard.api.comparison import SplitName
from trainyard.api.meta import Resource
from trainyard.api.model import TrainedModel
from trainyard.api.process import Overrides, TrainingProcess
from trainyard.api.run import RunFile
from trainyard.api.template import TrainingTemplate
from trainyard.cli.errors import CommandError
from trainyard.cli.manifests.reading import Manifests
from trainyard.cli.output import note
from trainyard.datasets.splits import compare_splits
from trainyard.decide.data_status import data_status
from trainyard.decide.facts import DecisionSettings, ProcessFacts
from trainyard.decide.inputs import resolve_now
from trainyard.decide.validation import validate
from trainyard.stores import Store, StoreError

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
    meta = process.metadata.model_copy(update={"namespace": NAMESPACE})
    template = manifests.templates[spec.template]
    return checked(
        ProcessFacts(
            process=with_cpu(process.model_copy(update={"metadata": meta}), cpu=cpu),
            settings=settings_for(root, template, manifests.models.values()),
            capability=manifests.capabilities[spec.capability],
            template=template,
            datasets={name: manifests.datasets[name] for name in names},
            base_model=manifests.models.get(template.spec.base_model.trained_model or ""),
        ),
        before_data=True,
    )


def settings_for(
    root: str, template: TrainingTemplate, models: Iterable[TrainedModel]
) -> DecisionSettings:
    """Settings of a person who trains on a machine of their own: what they name is allowed."""
    weights = [model.spec.artefacts.weights for model in models]
    allowed = {item.sha256 for item in weights if item is not None}
    if (named := template.spec.base_model.weights) is not None:
        allowed.add(named.sha256)
    return DecisionSettings(image=IMAGE, store_root=root, allowed_weights=frozenset(allowed))


def with_cpu(process: TrainingProcess, *, cpu: bool) -> TrainingProcess:
    """The process, without a GPU if that is wanted."""
    if not cpu:
        return process
    said = {} if process.spec.overrides is None else process.spec.overrides.to_wire()
    said["resources"] = said.get("resources", {}) | {"gpus": 0}
    spec = process.spec.model_copy(update={"overrides": Overrides.model_validate(said)})
    return process.model_copy(update={"spec": spec})


def run_file_of(facts: ProcessFacts, store: Store) -> RunFile:
    """Compare the splits and decide; the run.yaml of the first attempt.

    The run's UID is made of its name and its fingerprint: the same inputs are the same run, which
    goes on where it was; others are another one.

    Parameters
    ----------
    facts
        With snapshots.
    store
        Has them.

    Raises
    ------
    CommandError
        If the data does not fit; a warning about it is only told.
    """
    try:
        data = compare_splits(store, _uris(facts))
    except StoreError as error:
        raise CommandError(f"the splits cannot be compared: {error}") from None
    facts = checked(replace(facts, data=data))
    known = data_status(facts)
    for warning in known.warnings if known is not None else ():
        note(f"{warning.reason}: {warning.message}")
    resolved, _ = resolve_now(facts)
    meta = facts.process.metadata
    uid = f"{meta.name}-{(resolved.fingerprint or '')[:12]}"
    process = facts.process.model_copy(update={"metadata": meta.model_copy(update={"uid": uid})})
    return resolve_now(replace(facts, process=process))[1]


def checked(facts: ProcessFacts, *, before_data: bool = False) -> ProcessFacts:
    """The facts, unless the operator would fail the process, or wait for something in vain.

    Parameters
    ----------
    before_data
        There are no snapshots yet.

    Raises
    ------
    CommandError
        With the operator's reason and sentence.
    """
    finding = validate(facts)
    if finding is not None and (finding.final or not before_data):
        raise CommandError(
            f"TrainingProcess {facts.process.metadata.name}: {finding.reason}: {finding.message}"
        )
    return facts


def _uris(facts: ProcessFacts) -> dict[SplitName, tuple[str, ...]]:
    splits, datasets = facts.process.spec.datasets, facts.datasets

    def uris(names: Iterable[str]) -> tuple[str, ...]:
        found = (datasets[name].status.snapshot for name in names)
        return tuple(item.uri for item in found if item is not None)

    return {"train": uris(splits.train), "dev": uris(splits.dev), "test": uris(splits.test)}
