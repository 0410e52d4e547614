"""What the trainings left: found, downloaded, verified, judged on held-out data."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from pydantic.alias_generators import to_snake

from trainyard.api.manifest import MANIFEST_NAME, ArtefactManifest, ArtefactRole
from trainyard.api.process import TrainingProcess
from trainyard.api.process_status import ArtefactRef, Artefacts
from trainyard.decide.display import size
from trainyard.stores.base import Store, join
from trainyard.stores.errors import StoreError
from trainyard_demo.errors import DemoError


@dataclass(frozen=True)
class Goal:
    """What a model must reach on the test data.

    Attributes
    ----------
    metric : str
        As the trainer names it.
    least : float
        0..1.
    """

    metric: str
    least: float


GOALS = {
    "digits": Goal("top-1", 0.9),
    "digits-unvaried": Goal("top-1", 0.9),
    "digit-boxes": Goal("top-1", 0.9),
    "digit-vectors": Goal("recall-at-1", 0.9),
    "nuclei": Goal("mAP50", 0.5),
    "nuclei-masks": Goal("mask-mAP50", 0.6),
    "tree-crowns": Goal("mAP50", 0.2),
}
"""By process; those that the demo does not run, too."""


@dataclass(frozen=True)
class Verified:
    """One file that status, manifest and bytes agree on.

    Attributes
    ----------
    role : ArtefactRole
        What it is.
    ref : ArtefactRef
        As status names it.
    path : Path
        Where it was downloaded to.
    """

    role: ArtefactRole
    ref: ArtefactRef
    path: Path

    def line(self) -> str:
        """The file for a person."""
        return f"{self.role:<8} {size(self.ref.size_bytes):>10}  {self.ref.uri}"


def collect(process: TrainingProcess, store: Store, folder: Path) -> list[Verified]:
    """Download a finished run's files, and compare the bytes with manifest and status.

    Parameters
    ----------
    process : TrainingProcess
        It succeeded.
    store : Store
        Where the files are.
    folder : Path
        Where they go; made when missing.

    Returns
    -------
    list of Verified
        The files that status names.

    Raises
    ------
    DemoError
        If a file is missing or is not what manifest or status say.
    """
    name, artefacts = process.metadata.name, process.status.artefacts
    if artefacts is None:
        raise DemoError(f"TrainingProcess {name} succeeded, but its status names no artefacts")
    try:
        text = store.read_bytes(join(artefacts.location, MANIFEST_NAME))
        manifest = ArtefactManifest.model_validate_json(text)
        folder.mkdir(parents=True, exist_ok=True)
        for file in manifest.files:
            path = folder / file.name
            path.parent.mkdir(parents=True, exist_ok=True)
            # It hashes what it reads, and refuses what has another digest.
            store.download(join(artefacts.location, file.name), path, file.sha256)
    except (StoreError, ValidationError) as error:
        raise DemoError(f"the artefacts of {name} cannot be verified: {error}") from None
    (folder / MANIFEST_NAME).write_bytes(text)
    return [_compare(name, artefacts, manifest, role, folder) for role in manifest.roles]


def _compare(
    process: str,
    artefacts: Artefacts,
    manifest: ArtefactManifest,
    role: ArtefactRole,
    folder: Path,
) -> Verified:
    (file,) = (file for file in manifest.files if file.name == manifest.roles[role])
    wanted = ArtefactRef(
        uri=join(artefacts.location, file.name), sha256=file.sha256, size_bytes=file.size_bytes
    )
    said: ArtefactRef | None = getattr(artefacts, to_snake(role.value))
    if said != wanted:
        raise DemoError(
            f"status.artefacts.{role} of TrainingProcess {process} is {said}, but the manifest in "
            f"the store says {wanted}"
        )
    return Verified(role, wanted, folder / file.name)


def score(process: TrainingProcess, metric: str) -> float:
    """A metric of the finished model on the test data.

    Parameters
    ----------
    process : TrainingProcess
        It succeeded.
    metric : str
        Name of the metric.

    Raises
    ------
    DemoError
        If status has no such metric.
    """
    evaluation = process.status.evaluation
    measured = evaluation.test.metrics if evaluation and evaluation.test else ()
    for item in measured:
        if item.name == metric:
            return float(item.value)
    raise DemoError(
        f"TrainingProcess {process.metadata.name} has no {metric} on test data in "
        f"status.evaluation.test (it has {', '.join(item.name for item in measured) or 'nothing'})"
    )


def judge(processes: Iterable[TrainingProcess]) -> list[str]:
    """A sentence for each model that is not good enough.

    Parameters
    ----------
    processes : iterable of TrainingProcess
        They succeeded.
    """
    found = []
    for process in processes:
        name = process.metadata.name
        goal = GOALS[name]
        reached = score(process, goal.metric)
        # Written so that a number that is none (NaN) is not good enough either.
        if not reached >= goal.least:
            found.append(
                f"{name} reached {goal.metric} {reached:.3f} on its test data, "
                f"below the {goal.least} that it must reach"
            )
    return found
