"""The command line as a whole: help, usage, and errors as sentences."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from trainyard.api.report import ExitCode
from trainyard.cli import __main__
from trainyard.cli.app import COMMANDS, run, trainyard
from trainyard.cli.commands.watch import STANDS_STILL
from trainyard.cli.errors import FAILED, INTERRUPTED
from trainyard.cli.following import GONE

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "cli.md").read_text()
KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: here
contexts:
- {name: here, context: {cluster: one, user: me, namespace: team}}
- {name: there, context: {cluster: one, user: me}}
clusters:
- {name: one, cluster: {server: "http://127.0.0.1:PORT"}}
users:
- {name: me, user: {token: secret-token}}
"""


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KUBECONFIG", "TRAINYARD_KUBECONFIG", "TRAINYARD_PROFILE", "TRAINYARD_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TRAINYARD_CONFIG", str(tmp_path / "config.yaml"))


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    """Of an API server that does not answer."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    path = tmp_path / "kubeconfig"
    path.write_text(KUBECONFIG.replace("PORT", str(port)))
    return path


def every_command() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    context = click.Context(trainyard)
    for name in COMMANDS:
        command = trainyard.get_command(context, name)
        assert command is not None
        if not isinstance(command, click.Group) or command.invoke_without_command:
            found.append((name,))
        if isinstance(command, click.Group):
            found += [(name, inner) for inner in command.commands]
    return found


@pytest.mark.parametrize("words", every_command(), ids=" ".join)
def test_every_command_takes_the_profile_and_the_cluster(words: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(trainyard, [*words, "--help"])
    assert shown.exit_code == 0
    for option in ("--profile", "--kubeconfig", "--context", "-n, --namespace"):
        assert option in shown.output
    assert "TRAINYARD_PROFILE" in shown.output


def test_the_help_has_each_command_with_its_own_first_line() -> None:
    shown = CliRunner().invoke(trainyard, ["--help"]).output
    print(shown)
    context = click.Context(trainyard)
    for name, entry in COMMANDS.items():
        command = trainyard.get_command(context, name)
        assert command is not None
        assert command.help is not None
        assert command.help.splitlines()[0] == entry.summary
        assert entry.summary in shown
    assert "Exit codes: 0 done, 1 refused or failed, 2 wrong usage" in shown


def test_the_page_of_the_command_line_has_the_help_as_it_is_printed() -> None:
    shown = CliRunner().invoke(trainyard, ["--help"], prog_name="trainyard", terminal_width=80)
    # The page folds as a terminal of 80 columns does.
    assert shown.output.strip() in PAGE


def test_the_page_of_the_command_line_has_each_exit_code() -> None:
    table = PAGE[PAGE.index("## Exit codes") :]
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}
    assert codes >= {int(code) for code in ExitCode} | {FAILED, 2, INTERRUPTED}
    assert {STANDS_STILL, GONE} <= codes


def test_the_help_loads_none_of_the_libraries_that_take_long() -> None:
    code = (
        "import sys; from trainyard.cli.app import run; run(['--help']); "
        "print([name for name in ('kubernetes', 'boto3', 'pydantic', 'rich') "
        "if name in sys.modules])"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert said.splitlines()[-1] == "[]"


def test_the_plugin_of_kubectl_is_called_by_that_name() -> None:
    program = Path(sys.executable).parent / "kubectl-trainyard"
    said = subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout
    assert said.startswith("Usage: kubectl trainyard [OPTIONS] COMMAND")


@pytest.mark.parametrize(
    "words", [["trian"], ["start"], ["stop", "a", "--wiat"], ["models", "list", "-o", "xml"]]
)
def test_wrong_usage_has_exit_code_2(words: list[str]) -> None:
    assert run(words) == 2


def test_without_a_kubeconfig_a_sentence_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["start", "cats"]) == 1
    assert capsys.readouterr().err == (
        "Error: there is no kubeconfig at ~/.kube/config: give --kubeconfig, or a profile with "
        "one\n"
    )


def test_a_context_that_is_not_there_is_named_with_those_that_are(
    capsys: pytest.CaptureFixture[str], kubeconfig: Path
) -> None:
    assert run(["nodes", "--kubeconfig", str(kubeconfig), "--context", "hier"]) == 1
    assert "has no context 'hier': it has here, there" in capsys.readouterr().err


def test_an_api_server_that_does_not_answer_is_told_in_a_sentence_without_a_secret(
    capsys: pytest.CaptureFixture[str], kubeconfig: Path
) -> None:
    assert run(["models", "list", "--kubeconfig", str(kubeconfig)]) == 1
    said = capsys.readouterr().err
    assert "the API server does not answer" in said
    assert len(said.splitlines()) == 1
    assert "Traceback" not in said
    assert "secret-token" not in said


def test_an_option_counts_before_and_after_the_name_of_the_command(
    capsys: pytest.CaptureFixture[str], kubeconfig: Path
) -> None:
    before = ["--kubeconfig", "/nowhere", "--context", "hier", "models", "list"]
    assert run(before) == 1
    assert "/nowhere" in capsys.readouterr().err
    assert run([*before, "--kubeconfig", str(kubeconfig)]) == 1
    assert "has no context 'hier'" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "a: [", "kind: Config", "[1, 2]"])
def test_a_broken_kubeconfig_is_told_in_a_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str
) -> None:
    path = tmp_path / "broken"
    path.write_text(text)
    assert run(["nodes", "--kubeconfig", str(path)]) == 1
    said = capsys.readouterr().err
    assert str(path) in said
    assert len(said.splitlines()) == 1


def test_an_installation_without_the_extra_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(__main__, "NEEDED", ("click", "a_library_that_is_not_there"))
    assert __main__.main() == 1
    assert capsys.readouterr().err == (
        "Error: the command line needs a_library_that_is_not_there: install trainyard[cli]\n"
    )
