"""The CustomResourceDefinitions: what each must say; the files are current."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from trainyard.api.crd import KINDS, crd, generated_files, main
from trainyard.api.meta import Json

ROOT = Path(__file__).parents[3]
CRDS = {kind.name: crd(kind) for kind in KINDS}
EACH = pytest.mark.parametrize("definition", CRDS.values(), ids=CRDS)

KNOWN_TO_STRUCTURAL_SCHEMAS = {
    "additionalProperties", "anyOf", "default", "description", "enum", "exclusiveMaximum",
    "exclusiveMinimum", "format", "items", "maxItems", "maxLength", "maxProperties", "maximum",
    "minItems", "minLength", "minimum", "pattern", "properties", "required", "type",
    "x-kubernetes-int-or-string", "x-kubernetes-list-map-keys", "x-kubernetes-list-type",
    "x-kubernetes-validations",
}  # fmt: skip


def schema_of(definition: Json) -> Json:
    (version,) = definition["spec"]["versions"]
    schema: Json = version["schema"]["openAPIV3Schema"]
    return schema


def walk(schema: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from walk(inner, f"{path}.{name}")
    for name in ("items", "additionalProperties"):
        if name in schema:
            yield from walk(schema[name], f"{path}[]")


def fields(definition: Json) -> Iterator[tuple[str, Json]]:
    """Every named field below spec and status, and the two themselves."""
    for path, schema in walk(schema_of(definition)):
        if path.startswith((".spec", ".status")) and not path.endswith("[]"):
            yield path, schema


def test_committed_files_are_what_the_kinds_say() -> None:
    assert main(["--check", "--root", str(ROOT)]) == 0


def test_check_names_the_file_that_differs_and_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--root", str(tmp_path)]) == 0
    assert main(["--check", "--root", str(tmp_path)]) == 0
    (tmp_path / "crds/datasets.yaml").write_text("edited: by hand\n")
    (tmp_path / "crds/leftover.yaml").write_text("")
    (tmp_path / "docs/api.md").unlink()
    capsys.readouterr()
    assert main(["--check", "--root", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        "crds/datasets.yaml, crds/leftover.yaml, docs/api.md: not what the kinds in "
        "trainyard.api say: run `python -m trainyard.api.crd` and commit the result\n"
    )
    assert main(["--root", str(tmp_path)]) == 0
    assert main(["--check", "--root", str(tmp_path)]) == 0


def test_files_hold_the_definitions() -> None:
    files = generated_files()
    for kind in KINDS:
        assert yaml.safe_load(files[f"crds/{kind.plural}.yaml"]) == crd(kind)


@EACH
def test_every_field_has_a_description_in_one_line(definition: Json) -> None:
    for path, schema in fields(definition):
        text = schema.get("description", "")
        assert re.fullmatch(r"[A-Z0-9`].*[.]", text), f"{path}: {text!r}"
        assert text == " ".join(text.split()), path


@EACH
def test_schema_uses_only_what_a_structural_schema_knows(definition: Json) -> None:
    for path, schema in walk(schema_of(definition)):
        assert schema.keys() <= KNOWN_TO_STRUCTURAL_SCHEMAS, path
        if "anyOf" in schema:
            assert schema["x-kubernetes-int-or-string"] is True, path
        else:
            assert "type" in schema, path


@EACH
def test_spec_is_required_and_status_is_a_subresource(definition: Json) -> None:
    (version,) = definition["spec"]["versions"]
    assert schema_of(definition)["required"] == ["spec"]
    assert version["subresources"] == {"status": {}}
    assert {"observedGeneration", "conditions"} <= schema_of(definition)["properties"]["status"][
        "properties"
    ].keys()


@EACH
def test_status_has_no_defaults(definition: Json) -> None:
    for path, schema in walk(schema_of(definition)["properties"]["status"]):
        assert "default" not in schema, path


@EACH
def test_status_requires_nothing_at_its_root(definition: Json) -> None:
    assert "required" not in schema_of(definition)["properties"]["status"]


def test_overrides_have_no_defaults_and_lack_no_field_or_bound_of_the_template() -> None:
    template = schema_of(CRDS["TrainingTemplate"])["properties"]["spec"]["properties"]
    overrides = schema_of(CRDS["TrainingProcess"])["properties"]["spec"]["properties"]["overrides"]
    for path, schema in walk(overrides):
        assert "default" not in schema, path
        assert "required" not in schema, path
    for name, section in overrides["properties"].items():
        for field, schema in section["properties"].items():
            expected = dict(template[name]["properties"][field])
            expected.pop("default", None)
            assert schema == expected, f"{name}.{field}"
        assert section["properties"].keys() == template[name]["properties"].keys()


@EACH
def test_every_list_says_how_it_is_merged_and_how_long_it_may_be(definition: Json) -> None:
    for path, schema in walk(schema_of(definition)):
        if schema.get("type") == "array":
            assert schema["x-kubernetes-list-type"] in ("atomic", "set", "map"), path
            assert "maxItems" in schema, path


@EACH
def test_every_text_of_a_spec_is_bounded_and_refuses_control_characters(definition: Json) -> None:
    for path, schema in walk(schema_of(definition)["properties"]["spec"], ".spec"):
        if schema.get("type") == "string" and not schema.keys() & {"enum", "format"}:
            assert "maxLength" in schema, path
            rules = [item["rule"] for item in schema.get("x-kubernetes-validations", ())]
            assert "pattern" in schema or any("self.matches(" in rule for rule in rules), path


@EACH
def test_every_rule_says_in_words_what_is_wrong(definition: Json) -> None:
    for path, schema in walk(schema_of(definition)):
        for item in schema.get("x-kubernetes-validations", ()):
            assert len(item["message"].split()) >= 5, f"{path}: {item}"
            assert not re.search(r"\\x|\[\^|\.\*", item["message"]), f"{path}: {item}"


@EACH
def test_names_are_short_and_in_the_category(definition: Json) -> None:
    names = definition["spec"]["names"]
    assert names["categories"] == ["trainyard"]
    assert definition["metadata"]["name"] == f"{names['plural']}.trainyard.dev"
    assert definition["spec"]["scope"] == "Namespaced"


def test_short_names_and_columns_are_those_that_people_know() -> None:
    columns = {
        definition["spec"]["names"]["shortNames"][0]: " ".join(
            column["name"] + ("(wide)" if column["priority"] else "")
            for column in definition["spec"]["versions"][0]["additionalPrinterColumns"]
        )
        for definition in CRDS.values()
    }
    assert columns == {
        "cap": "TYPE CLASSES AGE",
        "tds": "PHASE SAMPLES CLASSES SIZE AGE",
        "tt": "ENGINE MODEL EPOCHS AGE",
        "tp": "PHASE PROGRESS ETA NODE QUEUE METRIC AGE "
        "CAPABILITY(wide) TEMPLATE(wide) ATTEMPT(wide) REASON(wide)",
        "tm": "CAPABILITY TYPE METRIC SIZE PROCESS AGE",
    }


@EACH
def test_every_column_shows_a_field_that_exists(definition: Json) -> None:
    paths = {re.sub(r"\[\]", "", path) for path, _ in walk(schema_of(definition))}
    for column in definition["spec"]["versions"][0]["additionalPrinterColumns"]:
        path = re.sub(r"\[[^]]*\]", "", column["jsonPath"])
        assert path in paths | {".metadata.creationTimestamp"}, column
