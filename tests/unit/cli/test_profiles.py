"""Where a command looks: flag, then environment, then profile, then kubeconfig."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainyard.cli.errors import CommandError
from trainyard.cli.profiles import Flags, Target, config_path, read_config, resolve

CONFIG = """
defaultProfile: office
profiles:
  office:
    namespace: vision
  lab:
    kubeconfig: lab.kubeconfig
    context: lab
    namespace: robots
    s3:
      endpointUrl: https://s3.lab.example
      region: eu-central-1
      awsProfile: lab-keys
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return {"TRAINYARD_CONFIG": str(path)}


def test_a_flag_wins_over_the_environment_and_that_over_the_profile(
    environ: dict[str, str],
) -> None:
    variable = environ | {"TRAINYARD_NAMESPACE": "of-environment"}
    assert resolve(Flags(profile="lab", namespace="mine"), variable).namespace == "mine"
    assert resolve(Flags(profile="lab"), variable).namespace == "of-environment"
    assert resolve(Flags(profile="lab"), environ).namespace == "robots"


@pytest.mark.parametrize(
    ("variable", "field"),
    [
        ("TRAINYARD_KUBECONFIG", "kubeconfig"),
        ("TRAINYARD_CONTEXT", "context"),
        ("TRAINYARD_NAMESPACE", "namespace"),
        ("TRAINYARD_S3_ENDPOINT", "s3_endpoint"),
        ("TRAINYARD_S3_REGION", "s3_region"),
    ],
)
def test_every_field_has_its_variable(environ: dict[str, str], variable: str, field: str) -> None:
    found = resolve(Flags(profile="lab"), environ | {variable: "other"})
    assert getattr(found, field) == "other"
    given = Flags(profile="lab", **{field: "flag"})
    assert getattr(resolve(given, environ | {variable: "other"}), field) == "flag"


def test_a_whole_profile_is_taken(environ: dict[str, str], tmp_path: Path) -> None:
    assert resolve(Flags(), environ | {"TRAINYARD_PROFILE": "lab"}) == Target(
        kubeconfig=str(tmp_path / "lab.kubeconfig"),
        context="lab",
        namespace="robots",
        s3_endpoint="https://s3.lab.example",
        s3_region="eu-central-1",
        aws_profile="lab-keys",
    )


def test_without_a_name_the_default_profile_counts(environ: dict[str, str]) -> None:
    assert resolve(Flags(), environ).namespace == "vision"


def test_a_chosen_profile_counts_more_than_the_variables_of_other_tools(
    environ: dict[str, str],
) -> None:
    others = environ | {
        "KUBECONFIG": "/other",
        "AWS_ENDPOINT_URL": "https://other",
        "AWS_REGION": "other",
    }
    lab = resolve(Flags(profile="lab"), others)
    assert lab.s3_endpoint == "https://s3.lab.example"
    assert lab.s3_region == "eu-central-1"
    assert lab.kubeconfig is not None
    assert lab.kubeconfig.endswith("lab.kubeconfig")
    office = resolve(Flags(), others)
    assert (office.kubeconfig, office.s3_endpoint) == ("/other", "https://other")


def test_no_file_means_no_profile(tmp_path: Path) -> None:
    assert resolve(Flags(), {"TRAINYARD_CONFIG": str(tmp_path / "none")}) == Target()


def test_an_unknown_profile_is_named_with_those_that_are_there(environ: dict[str, str]) -> None:
    with pytest.raises(CommandError, match=r"no profile 'lob' in .*: it has lab, office"):
        resolve(Flags(profile="lob"), environ)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("profiles: {lab: {namespce: a}}", r"profiles\.lab\.namespce: Extra inputs"),
        ("profiles: [lab]", r"profiles: Input should be a valid dictionary"),
        ("profiles: {a: &x {namespace: b}, c: *x}", r"aliases \(\*x\) are not allowed"),
        ("profiles: {", "not valid YAML"),
    ],
)
def test_a_bad_file_is_told_in_a_sentence(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(CommandError, match=says) as told:
        read_config(path)
    assert str(path) in str(told.value)


def test_the_file_lies_where_the_desktop_keeps_settings() -> None:
    assert config_path({"XDG_CONFIG_HOME": "/x"}) == Path("/x/trainyard/config.yaml")
    assert config_path({}) == Path.home() / ".config/trainyard/config.yaml"
