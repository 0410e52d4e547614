"""Names and small types that all kinds share."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from trainyard.api._base import ApiModel

GROUP = "trainyard.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

# Labels and annotations: public names, used in selectors by people and by the operator.
LABEL_TARGET = f"{GROUP}/target"
"""On nodes: `true` allows trainings to be pinned here."""
LABEL_PROCESS = f"{GROUP}/process"
"""On Jobs, Pods and ConfigMaps: name of the TrainingProcess (`kubectl logs -l`)."""
LABEL_PROCESS_UID = f"{GROUP}/process-uid"
LABEL_DATASET = f"{GROUP}/dataset"
LABEL_ATTEMPT = f"{GROUP}/attempt"
LABEL_ROLE = f"{GROUP}/role"
"""`training` on all that may occupy a node, `snapshot` on what reads data."""
ANNOTATION_SPEC_HASH = f"{GROUP}/spec-hash"
ANNOTATION_TARGET_NODE = f"{GROUP}/target-node"
ANNOTATION_IMAGE = f"{GROUP}/image"
"""On snapshot Jobs: the image that the operator asked for, whatever admission made of it."""
ANNOTATION_RELEASE = f"{GROUP}/release"
"""On nodes, by an administrator: the UID of a lock whose holder is known to be over. It names one
lock, so that it frees no later one."""
ANNOTATION_EVALUATIONS = f"{GROUP}/evaluations"
"""On a TrainedModel: another value makes the operator read its evaluations in the store."""
FINALIZER_EVIDENCE = f"{GROUP}/evidence"
"""On training pods: keeps a pod until what its kubelet said about its end is on record."""

ROLE_TRAINING = "training"
ROLE_SNAPSHOT = "snapshot"

STORE_SECRET = "trainyard-store"  # noqa: S105 -- the name of a Secret, not a secret
PROGRESS_AUDIENCE = "trainyard-progress"


class ConditionStatus(StrEnum):
    """The three values of a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(ApiModel):
    """One aspect of an object's state, as the Kubernetes API conventions define it."""

    type: Annotated[str, Field(max_length=316)]
    """Name of the aspect."""
    status: ConditionStatus
    """True, False or Unknown."""
    reason: Annotated[str, Field(max_length=1024)]
    """One CamelCase word that programs can test; every reason is documented."""
    message: Annotated[str, Field(max_length=32768)] = ""
    """One sentence for people."""
    last_transition_time: datetime
    """When the status last changed."""
    observed_generation: int | None = None
    """The metadata.generation that this condition is about."""


class OwnerReference(ApiModel):
    """Reference to the object that owns this one, in the same namespace."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ObjectMeta(ApiModel):
    """The part of Kubernetes' object metadata that Trainyard reads."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: tuple[OwnerReference, ...] = ()
    finalizers: tuple[str, ...] = ()


class Resource(ApiModel):
    """Base of the five kinds: type, metadata; subclasses add spec and status."""

    api_version: str = API_VERSION
    kind: str
    metadata: ObjectMeta

    @property
    def key(self) -> str:
        """`namespace/name`, the one spelling of an object's key."""
        return f"{self.metadata.namespace}/{self.metadata.name}"


Labels = dict[str, str]
Json = dict[str, Any]
