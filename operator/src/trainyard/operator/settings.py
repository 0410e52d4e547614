"""The operator's settings: one typed object, read once at start."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StringConstraints, ValidationError

from trainyard.api._base import StrictModel
from trainyard.api.documents import DocumentError, load_yaml
from trainyard.api.run import StoreLocation

SETTINGS_ENV = "TRAINYARD_SETTINGS"
DEFAULT_PATH = Path("/etc/trainyard/settings.yaml")


class SettingsError(ValueError):
    """The settings cannot be used; the message names the field, the value and the remedy."""


class StoreSettings(StoreLocation):
    """The object store that snapshots and artefacts go to."""

    bucket: Annotated[str, StringConstraints(min_length=3, max_length=63)]
    """Bucket; it must exist."""
    prefix: Annotated[
        str, StringConstraints(pattern=r"^([A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*)?$")
    ] = ""
    """Everything is written below this prefix."""

    @property
    def root(self) -> str:
        """`s3://bucket/prefix` without a slash at the end."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def location(self) -> StoreLocation:
        """The part that trainer pods are told."""
        return StoreLocation(endpoint_url=self.endpoint_url, region=self.region)


class TrainerSettings(StrictModel):
    """How trainer pods are made."""

    image: Annotated[str, StringConstraints(min_length=1, max_length=512)]
    """Trainer image."""
    image_pull_policy: Annotated[
        str, StringConstraints(pattern="^(Always|IfNotPresent|Never)$")
    ] = "IfNotPresent"
    gpu_resource_name: str = "nvidia.com/gpu"
    """Resource under which GPUs are requested."""
    runtime_class_name: str | None = None
    """Runtime class of pods that ask for a GPU."""
    tolerations: tuple[dict[str, Any], ...] = ()
    """Tolerations of training pods, besides those the lock needs."""
    service_account_name: str = "default"
    """Service account, in the process's namespace; it needs no permission."""
    grace_period_seconds: Annotated[int, Field(ge=1, le=3600)] = 120
    """Time between SIGTERM and SIGKILL."""
    snapshot_memory: str = "2Gi"
    """Memory of a snapshot pod."""


class ProgressSettings(StrictModel):
    """The service that trainer pods report to."""

    url: Annotated[str, StringConstraints(pattern=r"^http://[^\s/]+$")] | None = None
    """Base URL as pods see it, for example http://trainyard.trainyard-system.svc:8080.
    None: pods do not report."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8080
    """Port that is listened on."""
    max_body_bytes: Annotated[int, Field(ge=1024)] = 262144
    """Larger reports are refused."""


class Settings(StrictModel):
    """Everything that can be set."""

    store: StoreSettings
    trainer: TrainerSettings
    progress: ProgressSettings = ProgressSettings()
    health_port: Annotated[int, Field(ge=1, le=65535)] = 8081
    """Port of /healthz and /readyz."""
    namespaces: tuple[str, ...] = ()
    """Namespaces that are served; empty: all."""
    resync_seconds: Annotated[float, Field(ge=5)] = 300.0
    """Every so often the cache is replaced from a LIST of our own."""
    workers: Annotated[int, Field(ge=1, le=32)] = 4
    """Objects that are reconciled at the same time."""
    gpu_wait_seconds: Annotated[int, Field(ge=0)] = 600
    """How long a node may show too few GPUs before a process that needs them fails."""


def load_settings(environ: dict[str, str] | None = None) -> Settings:
    """Settings from the file that TRAINYARD_SETTINGS names.

    Raises
    ------
    SettingsError
        If the file is missing or a value is bad; one sentence.
    """
    environ = dict(os.environ) if environ is None else environ
    path = Path(environ.get(SETTINGS_ENV, str(DEFAULT_PATH)))
    try:
        text = path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"settings file {path} cannot be read ({error.strerror}): "
            f"mount it, or name another one in {SETTINGS_ENV}"
        ) from None
    return parse_settings(text, str(path))


def parse_settings(text: str | bytes, name: str = "settings") -> Settings:
    """Settings from the text of a file; raises as `load_settings` does."""
    try:
        return Settings.model_validate(load_yaml(text, name))
    except DocumentError as error:
        raise SettingsError(str(error)) from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "document"
        value = "" if first["type"] == "missing" else f" (given: {str(first['input'])[:80]!r})"
        raise SettingsError(f"{name}: {field}: {first['msg']}{value}") from None
