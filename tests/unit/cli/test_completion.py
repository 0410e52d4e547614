"""`trainyard completion`: scripts that the shells take."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(says: Run, shell: str) -> None:
    said = says("completion", shell).stdout
    assert f"_TRAINYARD_COMPLETE={shell}_complete" in said.replace("env ", "")


def test_another_shell_is_wrong_usage(says: Run) -> None:
    assert "'csh' is not one of 'bash', 'zsh', 'fish'" in says("completion", "csh", code=2).stderr


def test_bash_completes_commands_with_it(home: Path) -> None:
    program = Path(sys.executable).parent
    script = """
    source <(trainyard completion bash)
    COMP_WORDS=(trainyard models do); COMP_CWORD=2
    _trainyard_completion trainyard
    echo "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, "PATH": f"{program}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "download\n"


def test_commands_are_completed_without_reading_the_libraries_that_take_long(home: Path) -> None:
    code = (
        "import sys; from trainyard.cli.app import trainyard; import click; "
        "found = trainyard.shell_complete(click.Context(trainyard), 'da'); "
        "print([item.value for item in found], 'kubernetes' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['datasets'] False\n"
