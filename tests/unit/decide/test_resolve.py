"""What a run is made of: overrides, digests, fingerprint, run.yaml."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.builders import (
    LOCATION,
    STORE_ROOT,
    UID,
    capability,
    dataset,
    process,
    ready_datasets,
    snapshot_status,
    template,
)
from trainyard.api.documents import DocumentError, digest, dump_yaml, load_yaml
from trainyard.api.process import Overrides, ResourcesOverrides, Splits
from trainyard.api.process_status import Resolved, ResolvedInput
from trainyard.api.run import BaseWeights, RunFile, StoreLocation
from trainyard.decide.resolve import (
    OverrideError,
    output_location,
    resolve,
    resolve_template,
    run_file,
)

DATASETS = {
    **ready_datasets(),
    "more": dataset("more", snapshot=snapshot_status("c" * 64)),
    "held-out": dataset("held-out", snapshot=snapshot_status("d" * 64)),
}


def resolved(**changes: Any) -> Resolved:
    values: dict[str, Any] = {
        "capability_name": "pets",
        "capability": capability().spec,
        "template_name": "recipe",
        "template": template().spec,
        "splits": Splits(train=("train", "more"), dev=("dev",), test=("held-out",)),
        "datasets": DATASETS,
        "image": "trainer:1",
    }
    return resolve(**{**values, **changes})


BASE = resolved().fingerprint
BASE_WEIGHTS = BaseWeights(uri="s3://b/base.pth", sha256="5" * 64)


class TestOverrides:
    def test_absent_change_nothing(self) -> None:
        spec = template().spec
        assert resolve_template(spec, None) is spec
        assert resolve_template(spec, Overrides()) == spec

    def test_replace_one_field_and_keep_the_others(self) -> None:
        spec = template(hyperparameters={"epochs": 30, "batchSize": 4}).spec
        overrides = process(overrides={"hyperparameters": {"epochs": 2}}).spec.overrides
        made = resolve_template(spec, overrides)
        assert (made.hyperparameters.epochs, made.hyperparameters.batch_size) == (2, 4)
        assert made.augmentation == spec.augmentation

    def test_that_set_the_default_win_over_the_template(self) -> None:
        spec = template(hyperparameters={"epochs": 30}).spec
        overrides = process(overrides={"hyperparameters": {"epochs": 100}}).spec.overrides
        assert resolve_template(spec, overrides).hyperparameters.epochs == 100

    def test_merge_arguments_of_the_engine_by_name(self) -> None:
        spec = template(hyperparameters={"extra": {"dropout": "0.2", "nbs": "64"}}).spec
        given = {"hyperparameters": {"extra": {"nbs": "128", "cos_lr": "true"}}}
        made = resolve_template(spec, process(overrides=given).spec.overrides)
        assert made.hyperparameters.extra == {"dropout": "0.2", "nbs": "128", "cos_lr": "true"}

    def test_that_break_a_bound_are_named(self) -> None:
        # Admission refuses this value; an object stored under other rules may still have it.
        given = ResourcesOverrides.model_construct(gpus=4)
        overrides = Overrides.model_construct(resources=given)
        with pytest.raises(OverrideError) as caught:
            resolve_template(template().spec, overrides)
        assert str(caught.value) == (
            "overrides.resources.gpus: Input should be less than or equal to 1 (given: '4')"
        )


class TestFingerprint:
    def test_is_the_same_for_the_same_inputs(self) -> None:
        assert resolved().fingerprint == BASE

    @pytest.mark.parametrize(
        "changes",
        [
            pytest.param({"capability_name": "renamed"}, id="the capability's name"),
            pytest.param({"template_name": "renamed"}, id="the template's name"),
            pytest.param(
                {"splits": Splits(train=("more", "train"), dev=("dev",), test=("held-out",))},
                id="the order of the datasets",
            ),
            pytest.param(
                {
                    "datasets": {
                        **DATASETS,
                        "more": dataset("more", snapshot=snapshot_status("c" * 64, cat=9)),
                    }
                },
                id="what is said about the same snapshot",
            ),
        ],
    )
    def test_does_not_depend_on(self, changes: dict[str, Any]) -> None:
        assert resolved(**changes).fingerprint == BASE

    @pytest.mark.parametrize(
        "changes",
        [
            pytest.param({"image": "trainer:2"}, id="the image"),
            pytest.param({"base": BASE_WEIGHTS}, id="the weights that it starts from"),
            pytest.param({"capability": capability("cat").spec}, id="the classes"),
            pytest.param({"capability": capability("dog", "cat").spec}, id="their positions"),
            pytest.param(
                {"template": template(hyperparameters={"seed": 1}).spec}, id="a hyperparameter"
            ),
            pytest.param(
                {"template": template(augmentation={"preset": "none"}).spec}, id="augmentation"
            ),
            pytest.param(
                {
                    "datasets": {
                        **DATASETS,
                        "dev": dataset("dev", snapshot=snapshot_status("e" * 64)),
                    }
                },
                id="a snapshot",
            ),
            pytest.param(
                {"splits": Splits(train=("train",), dev=("dev",), test=("held-out",))},
                id="a dataset less",
            ),
            pytest.param(
                {"splits": Splits(train=("train", "more"), dev=("held-out",), test=("dev",))},
                id="dev and test swapped",
            ),
        ],
    )
    def test_depends_on(self, changes: dict[str, Any]) -> None:
        assert resolved(**changes).fingerprint != BASE


def test_resolved_names_every_input_once_with_its_digest() -> None:
    made = resolved(splits=Splits(train=("train",), dev=("dev",), test=("dev",)))
    assert made.capability is not None and made.template is not None
    assert (made.capability.name, made.capability.digest) == ("pets", digest(capability().spec))
    assert (made.template.name, made.template.digest) == ("recipe", digest(template().spec))
    assert [(item.name, item.digest[0]) for item in made.datasets] == [("dev", "b"), ("train", "a")]
    assert made.image == "trainer:1"


def test_weights_to_start_from_are_resolved_by_the_name_that_the_template_gives_them() -> None:
    assert resolved().base is None
    by_uri = resolved(base=BASE_WEIGHTS).base
    assert by_uri == ResolvedInput(name="s3://b/base.pth", digest="5" * 64)
    from_model = template(baseModel={"trainedModel": "older"}).spec
    by_name = resolved(base=BASE_WEIGHTS, template=from_model).base
    assert by_name == ResolvedInput(name="older", digest="5" * 64)


def test_the_same_model_name_with_other_weights_is_another_run() -> None:
    from_model = template(baseModel={"trainedModel": "older"}).spec
    others = BASE_WEIGHTS.model_copy(update={"sha256": "6" * 64})
    prints = {
        resolved(template=from_model, base=base).fingerprint for base in (BASE_WEIGHTS, others)
    }
    assert len(prints) == 2


def test_dataset_without_a_snapshot_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match="Dataset demo/more has no snapshot"):
        resolved(datasets={**DATASETS, "more": dataset("more")})


def test_artefacts_of_each_namespace_uid_and_attempt_lie_apart() -> None:
    assert output_location(STORE_ROOT, process(), 1) == LOCATION
    assert output_location(STORE_ROOT, process(), 2).endswith(f"/demo/{UID}/2")


def made_run(**changes: Any) -> RunFile:
    values: dict[str, Any] = {
        "process": process(),
        "attempt": 1,
        "resolved": resolved(),
        "capability": capability().spec,
        "template": template().spec,
        "datasets": DATASETS,
        "store_root": STORE_ROOT,
        "store": StoreLocation(endpoint_url="http://store:9000"),
        "progress_url": "http://operator:8080",
    }
    return run_file(**{**values, **changes})


class TestRunFile:
    def test_survives_being_written_and_read(self) -> None:
        run = made_run()
        read = RunFile.model_validate(load_yaml(dump_yaml(run.to_wire())))
        read.verify("run.yaml")
        assert read == run

    def test_that_was_changed_is_refused(self) -> None:
        changed = made_run().model_copy(update={"output": "s3://elsewhere/x"})
        with pytest.raises(DocumentError, match=r"run\.yaml: the content does not match"):
            changed.verify("run.yaml")

    def test_has_the_snapshots_by_their_use(self) -> None:
        run = made_run()
        assert [ref.name for ref in run.datasets.train] == ["train"]
        assert run.datasets.train[0].digest == "a" * 64
        assert run.datasets.train[0].uri == f"{STORE_ROOT}/datasets/demo/aaaaaaaa"
        assert run.datasets.test == ()

    def test_carries_the_weights_that_it_starts_from(self) -> None:
        assert made_run().base is None
        assert made_run(base=BASE_WEIGHTS).base == BASE_WEIGHTS

    def test_reports_nowhere_without_an_address(self) -> None:
        assert made_run(progress_url=None).progress is None
        progress = made_run().progress
        assert progress is not None
        assert progress.url == "http://operator:8080"

    def test_carries_no_credential(self) -> None:
        assert StoreLocation.model_fields.keys() == {"endpoint_url", "region"}
