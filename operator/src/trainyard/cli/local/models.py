"""A model to work with on this machine: its files here, or those of a TrainedModel."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trainyard.cli import catalogue
from trainyard.cli.connection import Connection
from trainyard.cli.downloads import Progress, WantedFile, download, wanted_files
from trainyard.cli.errors import CommandError
from trainyard.cli.store_access import StoreAccess
from trainyard.stores.errors import AccessDenied, BucketNotFound, StoreUnavailable

WEIGHTS = ".pth"
CONFIG = "config.yaml"


@dataclass(frozen=True)
class ModelFiles:
    """model.pth and config.yaml of a model, on this machine."""

    weights: Path
    config: Path


def is_file(model: str) -> bool:
    """Whether a person means a file, and no TrainedModel: whose name has neither `.pth` nor `/`."""
    return model.endswith(WEIGHTS) or os.sep in model


def of_files(weights: Path, config: Path | None) -> ModelFiles:
    """A model of this machine.

    Parameters
    ----------
    config
        By default the config.yaml beside the weights.

    Raises
    ------
    CommandError
        If one of them is not there.
    """
    if not weights.is_file():
        raise CommandError(f"there is no file {weights}")
    beside = config if config is not None else weights.with_name(CONFIG)
    if not beside.is_file():
        hint = "" if config is not None else ": give --config, the config.yaml of this model"
        raise CommandError(f"there is no file {beside}{hint}")
    return ModelFiles(weights, beside)


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Where models of a cluster are kept: trainyard/models where XDG has caches."""
    folder = environ.get("XDG_CACHE_HOME")
    return (Path(folder) if folder else Path.home() / ".cache") / "trainyard" / "models"


@dataclass(frozen=True)
class ClusterModel:
    """What is fetched of a TrainedModel.

    Attributes
    ----------
    key
        `namespace/name`.
    weights, config
        The two files that it takes to ask the model.
    """

    key: str
    weights: WantedFile
    config: WantedFile

    def fetch(self, access: StoreAccess, root: Path, progress: Progress) -> ModelFiles:
        """Its files in the cache, each verified; what is there and verifies is not fetched.

        Raises
        ------
        CommandError
            If a file is missing or is not what the model states.
        """
        folder = root / self.weights.sha256
        try:
            done = download(
                access.store, (self.weights, self.config), folder, progress, overwrite=True
            )
        except (AccessDenied, BucketNotFound, StoreUnavailable) as error:
            raise access.explain(error) from None
        if done.missing or done.damaged:
            raise access.explain("; ".join((*done.damaged, *done.missing)))
        return ModelFiles(folder / self.weights.name, folder / self.config.name)


def of_cluster(cluster: Connection, name: str) -> ClusterModel:
    """A TrainedModel of the namespace.

    Raises
    ------
    CommandError
        If there is none of that name, or it lacks one of the two files.
    """
    model = catalogue.get_object(cluster.api, catalogue.MODELS, cluster.namespace, name)
    files = {file.uri: file for file in wanted_files(model)}
    artefacts = model.spec.artefacts
    if artefacts.weights is None or artefacts.config is None:
        raise CommandError(
            f"TrainedModel {model.key} names no weights and config.yaml: it cannot be asked"
        )
    return ClusterModel(model.key, files[artefacts.weights.uri], files[artefacts.config.uri])
