"""The operator's settings: one typed object, read once at start."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, ValidationError, field_validator, model_validator

from trainyard.api._base import Sha256, StrictModel
from trainyard.api.documents import DocumentError, first_problem, load_yaml
from trainyard.api.run import StoreLocation
from trainyard.api.template import QUANTITY, ImageByDigest, Quantity
from trainyard.decide.facts import OnBusyNode
from trainyard.operator.logs import LogSettings
from trainyard.operator.notification_settings import NotificationSettings

SETTINGS_ENV = "TRAINYARD_SETTINGS"
DEFAULT_PATH = Path("/etc/trainyard/settings.yaml")
SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""Where a pod finds the namespace that it runs in."""
DEFAULT_NAMESPACE = "trainyard-system"
LONGEST_LEASE_SECONDS = 3600


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


# What an operating system or a kubelet lives in, with everything below it.
_SYSTEM_FOLDERS = tuple(
    PurePosixPath(path)
    for path in (
        *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/root"),
        *("/run", "/sbin", "/sys", "/usr", "/var/lib/containerd", "/var/lib/containers"),
        *("/var/lib/dpkg", "/var/lib/docker", "/var/lib/etcd", "/var/lib/kubelet"),
        *("/var/lib/rancher", "/var/lib/rpm", "/var/lib/systemd", "/var/log", "/var/run"),
    )
)
# What holds the folders of many: one below it is meant.
_SHARED_FOLDERS = frozenset(
    PurePosixPath(path)
    for path in (
        *("/", "/data", "/home", "/media", "/mnt", "/opt", "/srv", "/tmp", "/var"),  # noqa: S108
        *("/var/cache", "/var/lib", "/var/local", "/var/opt", "/var/spool", "/var/tmp"),  # noqa: S108
    )
)
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12} | {
    f"{prefix}i": 1 << (10 * power) for power, prefix in enumerate("KMGT", start=1)
}


class CacheSettings(StrictModel):
    """A folder of each node in which trainings keep what they fetched, for those after them.

    Everything in it is a file of some snapshot; no credential is. It is one folder for all
    namespaces: who knows the SHA-256 of a shard can have it from there.
    """

    host_path: Annotated[str, StringConstraints(max_length=4096)]
    """Folder on every node; an administrator makes it, writable for user 1000."""
    size: Annotated[str, StringConstraints(max_length=32, pattern=QUANTITY)]
    """What it may hold, for example 200Gi; the least recently used files go first."""

    @field_validator("host_path")
    @classmethod
    def _is_a_folder_of_its_own(cls, value: str) -> str:
        path = PurePosixPath(value)
        plain = str(path) == value and not value.startswith("//") and ".." not in path.parts
        if not (plain and path.is_absolute() and value.isprintable()):
            raise ValueError(
                f"{value!r} is not the plain, absolute path of a folder: write for example "
                "/var/lib/trainyard/cache, without '..', '.' or a slash at its end"
            )
        if path in _SHARED_FOLDERS or any(path.is_relative_to(one) for one in _SYSTEM_FOLDERS):
            raise ValueError(
                f"{value!r} belongs to the system: name a folder of its own, for example "
                "/var/lib/trainyard/cache"
            )
        return value

    @field_validator("size", mode="before")
    @classmethod
    def _bytes_are_a_quantity(cls, value: object) -> object:
        return str(value) if type(value) is int else value

    @field_validator("size")
    @classmethod
    def _holds_something(cls, value: str) -> str:
        if value.endswith("m") or _bytes(value) < 1:
            raise ValueError(f"{value!r} is no size above zero: write bytes, or for example 200Gi")
        return value

    @property
    def size_bytes(self) -> int:
        """`size` in bytes."""
        return _bytes(self.size)


def _bytes(quantity: str) -> int:
    number = quantity.rstrip("kKMGTi")
    return int(Decimal(number) * _UNITS[quantity[len(number) :]])


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
    cache: CacheSettings | None = None
    """Folder of each node that trainings share; None: each fetches all of its data."""
    allowed_weights: tuple[Sha256, ...] = ()
    """SHA-256 of the files of weights that `baseModel.weights` of a template may name."""
    allowed_images: tuple[ImageByDigest, ...] = ()
    """Images by digest that `image` of a template may name, besides `image` above."""


class DatasetSettings(StrictModel):
    """How large a Dataset may become, before its snapshot ends it as `DatasetTooLarge`."""

    max_samples: Annotated[int, Field(ge=0)] = 10_000_000
    """Image files that its selections may take, copies of an image included; 0: any number."""
    max_size: Quantity = "2Ti"
    """What they may have together; 0: any size."""

    @field_validator("max_size")
    @classmethod
    def _is_a_size(cls, value: str) -> str:
        if value.endswith("m"):
            raise ValueError(f"{value!r} is no size: write bytes, for example 2Ti, or 0 for any")
        return value

    @property
    def max_bytes(self) -> int:
        """`max_size` in bytes."""
        return _bytes(self.max_size)


class ProgressSettings(StrictModel):
    """The service that trainer pods report to."""

    url: Annotated[str, StringConstraints(pattern=r"^http://[^\s/]+$")] | None = None
    """Base URL as pods see it, for example http://trainyard.trainyard-system.svc:8080.
    None: pods do not report."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8080
    """Port that is listened on."""
    max_body_bytes: Annotated[int, Field(ge=1024)] = 262144
    """Larger reports are refused."""


class LeaderElectionSettings(StrictModel):
    """Which of several operators decides. For liveness only: the locks keep nodes safe."""

    enabled: bool = True
    """False: every operator that runs decides."""
    namespace: (
        Annotated[
            str,
            StringConstraints(max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"),
        ]
        | None
    ) = None
    """Namespace of the leader's Lease; None: the one that the operator runs in."""
    name: Annotated[
        str,
        StringConstraints(max_length=253, pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"),
    ] = "trainyard-leader"
    """Name of the leader's Lease."""
    lease_seconds: Annotated[int, Field(ge=1, le=LONGEST_LEASE_SECONDS)] = 15
    """For so long after its last renewal was seen a leader is believed to be there."""
    renew_seconds: Annotated[int, Field(ge=1, le=LONGEST_LEASE_SECONDS)] = 10
    """A leader that could not renew the Lease for so long stops leading."""
    retry_seconds: Annotated[float, Field(ge=0.1, le=LONGEST_LEASE_SECONDS)] = 2
    """Time between two renewals, and between two looks of a standby."""

    @model_validator(mode="after")
    def _times_fit(self) -> Self:
        # A leader must have given up before another may take over, and must have time to try more
        # than once.
        if self.renew_seconds >= self.lease_seconds:
            raise ValueError(
                f"renewSeconds ({self.renew_seconds}) must be less than leaseSeconds "
                f"({self.lease_seconds}): a leader gives up before another takes over"
            )
        if self.retry_seconds >= self.renew_seconds:
            raise ValueError(
                f"retrySeconds ({self.retry_seconds:g}) must be less than renewSeconds "
                f"({self.renew_seconds}): a renewal that fails is tried again in time"
            )
        return self

    def lease_namespace(self, mounted: Path = SERVICE_ACCOUNT_NAMESPACE) -> str:
        """Namespace of the Lease: as set, else the pod's own, else `trainyard-system`.

        Parameters
        ----------
        mounted
            File that the service account's namespace stands in, if there is one.
        """
        if self.namespace is not None:
            return self.namespace
        try:
            return mounted.read_text(encoding="utf-8").strip() or DEFAULT_NAMESPACE
        except OSError:
            return DEFAULT_NAMESPACE


class Settings(StrictModel):
    """Everything that can be set."""

    store: StoreSettings
    trainer: TrainerSettings
    datasets: DatasetSettings = DatasetSettings()
    progress: ProgressSettings = ProgressSettings()
    health_port: Annotated[int, Field(ge=1, le=65535)] = 8081
    """Port of /healthz, /readyz and /metrics."""
    log: LogSettings = LogSettings()
    """What is printed, and how."""
    namespaces: tuple[str, ...] = ()
    """Namespaces that are served; empty: all."""
    resync_seconds: Annotated[float, Field(ge=5)] = 300.0
    """Every so often the cache is replaced from a LIST of our own."""
    stalled_after_seconds: Annotated[float, Field(ge=5)] = 120.0
    """After how long without the event of a change, or after a resync was due, health is bad."""
    workers: Annotated[int, Field(ge=1, le=32)] = 4
    """Objects that are reconciled at the same time."""
    on_busy_node: OnBusyNode = OnBusyNode.QUEUE
    """What becomes of a process whose node has an unfinished one: it waits, or is refused."""
    hide_other_namespaces: bool = False
    """Whether objects of one namespace do not name the trainings of others that hold a node or go
    first."""
    gpu_wait_seconds: Annotated[int, Field(ge=0)] = 600
    """How long a node may show too few GPUs before a process that needs them fails."""
    pod_start_seconds: Annotated[int, Field(ge=1)] = 600
    """How long a pod may be refused, unschedulable or without its image before the attempt is
    given up."""
    evidence_seconds: Annotated[int, Field(ge=0)] = 60
    """How long after a deletion, without a word of its kubelet, a pod whose process is gone
    quarantines its node."""
    leader_election: LeaderElectionSettings = LeaderElectionSettings()
    notifications: NotificationSettings = NotificationSettings()
    external_url: (
        Annotated[str, StringConstraints(max_length=1024, pattern=r"^https?://[^\s?#]+$")] | None
    ) = None
    """Where a browser finds the files of the store: `s3://BUCKET/KEY` is EXTERNALURL/BUCKET/KEY.
    None: nowhere; messages have the command to type instead of links."""


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
        raise SettingsError(f"{name}: {first_problem(error, given=True)}") from None
