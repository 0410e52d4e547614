"""Whether the data of a run can be trained on and judged by: policies of `decide.validation`."""

from __future__ import annotations

from trainyard.api.capability import CapabilitySpec, CapabilityType, usable_geometries
from trainyard.api.comparison import Comparison, SplitContent, SplitPair
from trainyard.api.dataset import Dataset, DatasetPhase
from trainyard.api.reasons import ConditionType, Reason
from trainyard.decide.conditions import find
from trainyard.decide.facts import ProcessFacts, Unavailable
from trainyard.decide.finding import Finding, short, shown_classes, shown_names


def datasets_ready(facts: ProcessFacts) -> Finding | None:
    """Every dataset is there and has its snapshot."""
    splits = facts.process.spec.datasets
    for name in (*splits.train, *splits.dev, *splits.test):
        dataset = facts.datasets.get(name)
        if dataset is None:
            return Finding(
                Reason.DATASET_NOT_FOUND,
                f"waiting for Dataset {name}, which does not exist in namespace "
                f"{facts.process.metadata.namespace}: apply it",
                final=False,
            )
        if dataset.status.phase is DatasetPhase.FAILED:
            return Finding(
                Reason.DATASET_FAILED,
                f"Dataset {name} has failed: {standing(dataset)}; once that is mended, delete it "
                "and apply it again, for which this process waits, or create a process that names "
                "another",
                final=False,
            )
        if dataset.status.snapshot is None:
            return Finding(
                Reason.DATASET_NOT_READY,
                f"waiting for Dataset {name}: {standing(dataset)}",
                final=False,
            )
    return None


def standing(dataset: Dataset) -> str:
    """How far a Dataset is, in its own words."""
    ready = find(dataset.status.conditions, ConditionType.READY)
    return ready.message if ready is not None else "the operator has not looked at it yet"


def classes_present(facts: ProcessFacts) -> Finding | None:
    """Every class of the capability occurs in the train data: known without the store."""
    if facts.capability is None:
        return None
    present: set[tuple[str, str]] = set()
    for name in facts.process.spec.datasets.train:
        dataset = facts.datasets.get(name)
        if dataset is not None and dataset.status.snapshot is not None:
            present |= {
                (item.attribute, item.value)
                for item in dataset.status.snapshot.classes
                if item.count > 0
            }
    missing = [item for item in classes_of(facts.capability.spec) if item not in present]
    if not missing:
        return None
    return Finding(
        Reason.CLASSES_MISSING,
        f"Capability {facts.process.spec.capability} has {shown_classes(missing)}, of which the "
        f"train data ({_train(facts)}) has no example: add data, or use a capability without it",
        final=True,
    )


def splits_compared(facts: ProcessFacts) -> Finding | None:
    """It is known what the splits hold and have in common."""
    match facts.data:
        case Unavailable(message=message, reason=reason):
            return Finding(reason, message, final=False)
        case None:
            return Finding(
                Reason.COMPARING_SPLITS, "waiting for the splits to be compared", final=False
            )
    return None


def splits_disjoint(facts: ProcessFacts) -> Finding | None:
    """No image, by the digest of its bytes, is in train and also in dev or in test."""
    parts = []
    for pair in _pairs_with_train(facts):
        if pair.images is not None:
            noun = "image is" if pair.images.count == 1 else "images are"
            parts.append(
                f"{pair.images.count} {noun} in train and in {pair.second} "
                f"({shown_names(pair.images.examples)})"
            )
    if not parts:
        return None
    return Finding(
        Reason.SPLITS_OVERLAP,
        "; ".join(parts) + ": remove them from one of the two, then create a new process",
        final=True,
    )


def groups_disjoint(facts: ProcessFacts) -> Finding | None:
    """No group has samples in train and also in dev or in test."""
    parts = []
    for pair in _pairs_with_train(facts):
        if pair.groups is not None:
            found = pair.groups
            noun = "group has" if found.count == 1 else "groups have"
            names = ", ".join(map(short, found.examples[:3]))
            parts.append(
                f"{found.count} {noun} samples in train ({found.samples[0]}) and in "
                f"{pair.second} ({found.samples[1]}), for example {names}"
            )
    if not parts:
        return None
    return Finding(
        Reason.GROUPS_OVERLAP,
        "; ".join(parts) + ": keep each group whole on one side, then create a new process",
        final=True,
    )


def classes_usable(facts: ProcessFacts) -> Finding | None:
    """Every class occurs in train with a geometry that the model learns from."""
    if facts.capability is None or not isinstance(facts.data, Comparison):
        return None
    spec = facts.capability.spec
    missing = unused_classes(spec, facts.data.splits["train"])
    if not missing:
        return None
    needed = " or ".join(sorted(usable_geometries(spec)))
    return Finding(
        Reason.CLASSES_MISSING,
        f"Capability {facts.process.spec.capability} has {shown_classes(missing)}, of which the "
        f"train data ({_train(facts)}) has no example of geometry {needed}: add such labels, or "
        "use a capability that learns from those that are there",
        final=True,
    )


def splits_usable(facts: ProcessFacts) -> Finding | None:
    """Dev and test have something to judge a classifier by; for a detector all is background."""
    if facts.capability is None or not isinstance(facts.data, Comparison):
        return None
    spec = facts.capability.spec
    if spec.type is CapabilityType.DETECTOR:
        return None
    for split, content in facts.data.splits.items():
        if len(unused_classes(spec, content)) == len(spec.outputs):
            return Finding(
                Reason.CLASSES_MISSING,
                f"{split} has no example of any class of Capability "
                f"{facts.process.spec.capability}: check the attributes and values of its outputs "
                "against the datasets' classes",
                final=True,
            )
    return None


def classes_of(spec: CapabilitySpec) -> list[tuple[str, str]]:
    """(attribute, value) of each output, in their order."""
    return [(output.attribute, output.value) for output in spec.outputs]


def unused_classes(spec: CapabilitySpec, content: SplitContent) -> list[tuple[str, str]]:
    """Classes of the capability that a split has no usable annotation of."""
    geometries = usable_geometries(spec)
    usable = {(x.attribute, x.value) for x in content.labels if x.geometry in geometries}
    return [item for item in classes_of(spec) if item not in usable]


def _pairs_with_train(facts: ProcessFacts) -> list[SplitPair]:
    if not isinstance(facts.data, Comparison):
        return []
    return [pair for pair in facts.data.pairs if pair.first == "train"]


def _train(facts: ProcessFacts) -> str:
    return ", ".join(facts.process.spec.datasets.train)
