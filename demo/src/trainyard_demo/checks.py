"""What the demo needs before it starts, one sentence for each thing that is missing."""

from pathlib import Path

from trainyard_demo.follow import FOLDERS
from trainyard_local import checks
from trainyard_local.paths import Cache


def problems(repository: Path, place: Cache) -> list[str]:
    """Sentences about what is missing.

    Parameters
    ----------
    repository : Path
        Root of the clone.
    place : Cache
        Where everything that is built is kept.
    """
    found = list(checks.basic_problems(checks.basics(place)))
    if not trainer_python(repository).is_file():
        found.append("the trainer's environment .venv-trainer is missing: run `make setup`")
    needed = ("helm/trainyard/Chart.yaml", *(f"examples/{name}/process.yaml" for name in FOLDERS))
    found += [
        f"{repository / name} is missing: restore it with `git checkout -- {name}`"
        for name in needed
        if not (repository / name).is_file()
    ]
    return found


def trainer_python(repository: Path) -> Path:
    """Python of the trainer's environment.

    Parameters
    ----------
    repository : Path
        Root of the clone.
    """
    return repository / ".venv-trainer" / "bin" / "python"
