"""The command line as a person on a machine without settings uses it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from trainyard.cli.app import trainyard
from trainyard_local.s3 import S3Server

Run = Callable[..., Result]


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home without settings of any tool, which commands start in."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "TRAINYARD_")) or name == "KUBECONFIG":
            monkeypatch.delenv(name)
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def says(home: Path) -> Run:
    """Run a command that works; gives what it says."""

    def run(*words: str, code: int = 0, **environ: str) -> Result:
        done = CliRunner().invoke(
            trainyard, list(words), env={"COLUMNS": "200"} | environ, catch_exceptions=False
        )
        print(f"$ trainyard {' '.join(words)}\n{done.output}")
        assert done.exit_code == code
        assert "Traceback" not in done.output
        return done

    return run


@pytest.fixture
def reach(s3_server: S3Server) -> dict[str, str]:
    """Environment with keys and endpoint of the S3 server."""
    return {
        "AWS_ACCESS_KEY_ID": s3_server.access_key,
        "AWS_SECRET_ACCESS_KEY": s3_server.secret_key,
        "TRAINYARD_S3_ENDPOINT": s3_server.endpoint_url,
    }
