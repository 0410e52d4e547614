"""The examples fit the API, each other, the data and the demo."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from trainyard.api.capability import Capability
from trainyard.api.dataset import Dataset
from trainyard.api.process import TrainingProcess
from trainyard.api.template import TrainingTemplate
from trainyard.decide.recipe import METRICS
from trainyard.decide.resolve import resolve_template
from trainyard.decide.validation import FITS
from trainyard_demo import outcome, store
from trainyard_demo.data import nuclei, scenes, trees
from trainyard_demo.data.sets import SETS
from trainyard_demo.follow import DATASETS, FOLDERS, PROCESSES
from trainyard_local.layout import NODE_NAMES
from trainyard_local.paths import REPOSITORY

KINDS = {kind.__name__: kind for kind in (Capability, Dataset, TrainingTemplate, TrainingProcess)}


def load() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    for path in sorted((REPOSITORY / "examples").rglob("*.yaml")):
        if path.parent.name in ("formats", "laptop"):
            # Datasets that show a format, whose data nobody has: see the tests of the formats.
            # What is trained without a cluster: see the tests of `trainyard run`.
            continue
        for item in yaml.safe_load_all(path.read_text()):
            assert set(item) == {"apiVersion", "kind", "metadata", "spec"}, path
            made = KINDS[item["kind"]].model_validate(item)
            assert made.metadata.name not in found[item["kind"]], path
            found[item["kind"]][made.metadata.name] = made
    return found


ALL = load()


def test_demo_knows_its_examples_by_name_and_every_example_has_a_goal() -> None:
    assert set(PROCESSES) < set(ALL["TrainingProcess"]) == set(outcome.GOALS)
    assert set(DATASETS) < set(ALL["Dataset"])
    assert {f"{name}-{split}" for name in SETS for split in ("train", "dev", "test")} == set(
        ALL["Dataset"]
    )


@pytest.mark.parametrize("name", ALL["TrainingProcess"])
def test_process_names_what_is_there_and_fits(name: str) -> None:
    spec = ALL["TrainingProcess"][name].spec
    capability = ALL["Capability"][spec.capability].spec
    template = resolve_template(ALL["TrainingTemplate"][spec.template].spec, spec.overrides)
    assert {*spec.datasets.train, *spec.datasets.dev, *spec.datasets.test} <= set(ALL["Dataset"])
    assert spec.datasets.test, "the demo reads its result from the test data"
    assert spec.target_node in NODE_NAMES
    types, shapes = FITS[template.engine]
    assert capability.type in types
    assert capability.geometry is None or capability.geometry in shapes
    assert outcome.GOALS[name].metric in METRICS[template.engine]
    assert template.resources.gpus == 0


def test_two_processes_want_one_node_and_one_of_them_goes_second() -> None:
    first, second = (ALL["TrainingProcess"][n].spec for n in ("digits", "digits-unvaried"))
    assert first.target_node == second.target_node
    assert first.priority > second.priority
    assert ALL["TrainingProcess"]["nuclei"].spec.target_node != first.target_node


@pytest.mark.parametrize("name", ALL["Dataset"])
def test_dataset_reads_what_the_demo_uploads(name: str) -> None:
    folder, _, split = name.rpartition("-")
    (selection,) = ALL["Dataset"][name].spec.selections
    assert selection.source.s3.bucket == store.BUCKET
    assert selection.source.s3.prefix == f"{store.PREFIX}/{folder}/{split}"
    assert folder in SETS
    assert (folder in FOLDERS) is (name in DATASETS)


@pytest.mark.parametrize(
    ("capability", "names"),
    [
        ("digit", scenes.NAMES),
        ("digit-in-box", scenes.NAMES),
        ("digit-embedder", scenes.NAMES),
        ("nucleus-detector", (nuclei.NAME,)),
        ("nucleus-outliner", (nuclei.NAME,)),
        ("tree-crown-detector", (trees.NAME,)),
    ],
)
def test_labels_of_the_data_are_the_values_of_the_capability(
    capability: str, names: tuple[str, ...]
) -> None:
    outputs = ALL["Capability"][capability].spec.outputs
    assert tuple(output.value for output in outputs) == names
    assert {output.attribute for output in outputs} == {"class"}


def test_datasets_take_the_names_of_their_data() -> None:
    for dataset in ALL["Dataset"].values():
        (selection,) = dataset.spec.selections
        assert selection.attribute == "class"
        assert not selection.class_names
