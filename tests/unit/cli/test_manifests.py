"""Manifests that are read here are refused for what the API server would refuse them for.

The tables of tests/integration/admission compare each refusal with that of a real API server.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trainyard.api.crd import KINDS, crd
from trainyard.api.documents import dump_yaml
from trainyard.api.meta import Json
from trainyard.cli.errors import CommandError
from trainyard.cli.manifests.admission import admit
from trainyard.cli.manifests.cel import OLD, compiled
from trainyard.cli.manifests.reading import read_manifests

TEMPLATE: Json = {
    "displayName": "small",
    "engine": "yolo-cls",
    "baseModel": {"architecture": "yolo11n"},
}
OUTPUTS = [{"attribute": "class", "value": value, "position": i} for i, value in enumerate("ab")]
CAPABILITY: Json = {"type": "ImageClassifierElement", "outputs": OUTPUTS}
SELECTION: Json = {"source": {"s3": {"bucket": "data"}}, "format": "yolo"}


def manifest(kind: str, spec: Json, name: str = "x") -> Json:
    return {
        "apiVersion": "trainyard.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


def refused(kind: str, spec: Json, name: str = "x") -> str:
    return "\n".join(admit(manifest(kind, spec, name))[1])


def rules_of(schema: Json) -> set[str]:
    found = {item["rule"] for item in schema.get("x-kubernetes-validations", ())}
    for inner in (
        *schema.get("properties", {}).values(),
        *(schema[name] for name in ("items", "additionalProperties") if name in schema),
    ):
        found |= rules_of(inner)
    return found


def test_every_rule_of_the_crds_can_be_compiled() -> None:
    rules: set[str] = set()
    for kind in KINDS:
        (version,) = crd(kind)["spec"]["versions"]
        rules |= rules_of(version["schema"]["openAPIV3Schema"])
    assert len(rules) > 30
    for rule in rules:
        if OLD not in rule:
            compiled(rule)


@pytest.mark.parametrize(
    ("kind", "spec", "sentence"),
    [
        ("TrainingTemplate", TEMPLATE | {"displayName": "a b/c"},
         "spec.displayName: Invalid value: \"a b/c\": displayName has letters, digits, '-', '_' "
         "and '.' only"),
        ("TrainingTemplate", TEMPLATE | {"baseModel": {}},
         "spec.baseModel: give exactly one of architecture, weights and trainedModel"),
        ("TrainingTemplate", TEMPLATE | {"hyperparameters": {"epochs": 0}},
         "spec.hyperparameters.epochs in body should be greater than or equal to 1"),
        ("TrainingTemplate", TEMPLATE | {"hyperparameters": {"learningRate": float("nan")}},
         "spec.hyperparameters.learningRate"),
        ("TrainingTemplate", TEMPLATE | {"resources": {"cpu": 0}},
         "spec.resources.cpu: Invalid value: 0: a quantity above zero, such as 2, 500m or 8Gi"),
        ("TrainingTemplate", TEMPLATE | {"epochs": 3}, 'unknown field "spec.epochs"'),
        ("TrainingTemplate", TEMPLATE | {"engine": "rcnn"},
         'spec.engine: Unsupported value: "rcnn": supported values: "yolo-det"'),
        ("Capability", CAPABILITY | {"outputs": [*OUTPUTS, OUTPUTS[0]]},
         'spec.outputs[2]: Duplicate value: {"attribute":"class","value":"a"}'),
        ("Capability", CAPABILITY | {"outputs": [OUTPUTS[0], OUTPUTS[1] | {"position": 2}]},
         "spec.outputs: positions must be 0..n-1 in the order of the list, without a gap"),
        ("Capability", CAPABILITY | {"geometry": "box"},
         "spec.geometry: geometry is for a DetectorElement only: remove it"),
        ("Capability", {"type": "ImageClassifierElement"}, "spec.outputs: Required value"),
        ("Dataset", {"selections": []},
         "spec: a Dataset needs at least one selection, or suspend: true to stay a draft"),
        ("Dataset", {"selections": [SELECTION | {"filter": {"tags": ["t"]}}]},
         "filter.tags needs the format records: the other formats do not carry it"),
        ("Dataset", {"selections": [SELECTION | {"format": "records", "filter": {
            "submittedAfter": "2026-02-01T00:00:00Z", "submittedBefore": "2026-01-01T00:00:00Z"}}]},
         "submittedAfter must be earlier than submittedBefore"),
        ("Dataset", {"selections": [{"source": {"s3": {"bucket": "data", "prefix": "../a"}},
                                     "format": "yolo"}]},
         "prefix: a path must be relative and must not contain '..'"),
        ("TrainingProcess", {"capability": "c", "template": "t", "targetNode": "n",
                             "datasets": {"train": ["a"], "dev": ["a"]}},
         "a Dataset cannot be in datasets.train and also in datasets.dev or datasets.test"),
    ],
)  # fmt: skip
def test_a_manifest_is_refused_with_the_sentence_of_the_api_server(
    kind: str, spec: Json, sentence: str
) -> None:
    assert sentence in refused(kind, spec)


def test_a_name_that_cannot_be_a_label_is_refused() -> None:
    assert "choose a shorter one" in refused("Capability", CAPABILITY, "x" * 64)
    assert "contains a dot" in refused("Capability", CAPABILITY, "a.b")
    assert "lower-case letters" in refused("Capability", CAPABILITY, "A_b")


def test_defaults_are_those_of_the_schema() -> None:
    made, problems = admit(manifest("TrainingTemplate", TEMPLATE | {"description": None}))
    assert not problems
    assert made["spec"]["hyperparameters"]["imageSize"] == 640
    assert "description" not in made["spec"]


def write(folder: Path, *documents: Json, name: str = "all.yaml") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("---\n".join(map(dump_yaml, documents)))
    return folder


def test_a_folder_is_read_as_kubectl_reads_it(tmp_path: Path) -> None:
    write(
        tmp_path / "f", manifest("Capability", CAPABILITY), manifest("TrainingTemplate", TEMPLATE)
    )
    write(tmp_path / "f", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}},
          name="other.yml")  # fmt: skip
    write(tmp_path / "f" / "deeper", manifest("Capability", CAPABILITY, "deep"))
    found = read_manifests(tmp_path / "f")
    assert set(found.capabilities) == {"x"}
    assert set(found.templates) == {"x"}
    assert found.left_alone == (f"ConfigMap m ({tmp_path}/f/other.yml:1)",)


def test_each_refusal_names_file_line_and_object(tmp_path: Path) -> None:
    bad: list[Any] = [
        manifest("TrainingTemplate", TEMPLATE | {"epochs": 1}, "one"),
        manifest("Capability", CAPABILITY | {"colour": "red"}, "two"),
    ]
    folder = write(tmp_path / "f", *bad)
    with pytest.raises(CommandError) as caught:
        read_manifests(folder)
    first, second = str(caught.value).splitlines()
    assert first == f'{folder}/all.yaml:1: TrainingTemplate one: unknown field "spec.epochs"'
    line = (folder / "all.yaml").read_text().splitlines().index("---") + 1
    assert second == f'{folder}/all.yaml:{line}: Capability two: unknown field "spec.colour"'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: &x 1\nb: *x\n", "YAML aliases (*x) are not allowed"),
        ("a: [1\n", "not valid YAML"),
        ("- a\n", "a manifest is a mapping with apiVersion and kind"),
        ("a: 1\na: 2\n", "the key 'a' is given twice"),
    ],
)
def test_a_file_that_is_no_manifest_is_named(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "m.yaml").write_text(text)
    with pytest.raises(CommandError) as caught:
        read_manifests(tmp_path)
    assert sentence in str(caught.value)
    assert f"{tmp_path}/m.yaml" in str(caught.value)


def test_an_object_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "f", manifest("Capability", CAPABILITY))
    write(folder, manifest("Capability", CAPABILITY), name="again.yaml")
    with pytest.raises(CommandError, match=r"Capability x is there twice, first in .*again.yaml:1"):
        read_manifests(folder)


def test_a_folder_without_manifests_is_told(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="has no manifest"):
        read_manifests(tmp_path)
