"""What a run left, fetched and used as a person would."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from tests.e2e.conftest import REPOSITORY, Team
from trainyard.api.process import TrainingProcess
from trainyard.api.run import StoreLocation
from trainyard.stores import Credentials, open_store
from trainyard_demo import outcome


def load_back(
    team: Team, item: dict[str, Any], folder: Path, images: Path
) -> list[outcome.Verified]:
    """Every file is what status and manifest say, and the model answers about images.

    The files of the run `item` are below `folder` afterwards, under its name.
    """
    account = team.system.cluster.s3
    location = StoreLocation(endpoint_url=account.endpoint_url, region=account.region)
    store = open_store(location, Credentials(account.access_key, account.secret_key))
    process = TrainingProcess.model_validate(item)
    files = outcome.collect(process, store, folder / process.metadata.name)
    answer(folder / process.metadata.name, images)
    return files


def answer(model: Path, images: Path) -> None:
    """The model.pth in a folder answers by the config.yaml beside it."""
    picture = model / "predictions.png"
    done = subprocess.run(
        [
            *(REPOSITORY / ".venv-trainer/bin/python", "-m", "trainyard_trainer", "predict"),
            *("--weights", model / "model.pth", "--config", model / "config.yaml"),
            *("--data", images, "--out", picture),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert picture.stat().st_size > 10_000
