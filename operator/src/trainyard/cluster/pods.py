"""The pods of the trainer image: what they may do, and what is mounted into them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trainyard.api.dataset import Selection
from trainyard.api.meta import PROGRESS_AUDIENCE, STORE_SECRET, Json
from trainyard.api.run import CACHE_BYTES_ENV, CACHE_ENV, MOUNT_PATH, source_mount
from trainyard.api.template import Resources

TOKEN_FOLDER = "/var/run/trainyard"  # noqa: S105 -- a folder
TOKEN_SECONDS = 3600
CACHE_FOLDER = "/var/cache/trainyard"
USER = 1000
CONTAINER = "trainer"


@dataclass(frozen=True)
class NodeFolder:
    """A folder of a node, and what may lie in it."""

    path: str
    size_bytes: int


@dataclass(frozen=True)
class PodSettings:
    """The settings that pods are made with."""

    image: str
    image_pull_policy: str = "IfNotPresent"
    gpu_resource_name: str = "nvidia.com/gpu"
    runtime_class_name: str | None = None
    tolerations: tuple[Json, ...] = ()
    service_account_name: str = "default"
    grace_period_seconds: int = 120
    snapshot_memory: str = "2Gi"
    cache: NodeFolder | None = None


def trainer_pod(settings: PodSettings, arguments: list[str], resources: Resources) -> Json:
    """A pod of the trainer image, without a place of its own: no affinity and no run file."""
    requests: dict[str, str] = {"cpu": resources.cpu, "memory": resources.memory}
    limits: dict[str, str] = {"memory": resources.memory}
    if resources.gpus:
        requests[settings.gpu_resource_name] = str(resources.gpus)
        limits[settings.gpu_resource_name] = str(resources.gpus)
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": settings.image,
        "imagePullPolicy": settings.image_pull_policy,
        "args": arguments,
        "env": [
            _secret_env("AWS_ACCESS_KEY_ID"),
            _secret_env("AWS_SECRET_ACCESS_KEY"),
            _secret_env("AWS_SESSION_TOKEN", optional=True),
            {"name": "TRAINYARD_CPUS", "value": resources.cpu},
        ],
        "resources": {"requests": requests, "limits": limits},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        # A container that leaves no last words leaves the end of its log.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "run", "mountPath": MOUNT_PATH, "readOnly": True},
            {"name": "token", "mountPath": TOKEN_FOLDER, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 -- an emptyDir of the pod
            {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108
        ],
    }
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "serviceAccountName": settings.service_account_name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": settings.grace_period_seconds,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [
            {
                "name": "token",
                "projected": {
                    "sources": [
                        {
                            "serviceAccountToken": {
                                "audience": PROGRESS_AUDIENCE,
                                "expirationSeconds": TOKEN_SECONDS,
                                "path": "token",
                            }
                        }
                    ]
                },
            },
            {"name": "tmp", "emptyDir": {}},
            {
                "name": "shm",
                "emptyDir": {"medium": "Memory", "sizeLimit": resources.shared_memory},
            },
        ],
    }
    if resources.gpus and settings.runtime_class_name:
        pod["runtimeClassName"] = settings.runtime_class_name
    return pod


def mount_cache(pod: Json, cache: NodeFolder) -> None:
    """Let the pod have the node's folder that trainings share."""
    (container,) = pod["containers"]
    container["env"] += [
        {"name": CACHE_ENV, "value": CACHE_FOLDER},
        {"name": CACHE_BYTES_ENV, "value": str(cache.size_bytes)},
    ]
    container["volumeMounts"].append({"name": "cache", "mountPath": CACHE_FOLDER})
    # It must be there: one that a kubelet makes belongs to root, and nothing could be kept in it.
    host_path = {"path": cache.path, "type": "Directory"}
    pod["volumes"].append({"name": "cache", "hostPath": host_path})


def mount_sources(pod: Json, selections: Sequence[Selection]) -> None:
    """Mount the volumes that selections read, each claim once into the pod, and read-only."""
    names_of: dict[str, str] = {}
    for index, selection in enumerate(selections):
        volume = selection.source.volume
        if volume is None:
            continue
        if volume.claim_name not in names_of:
            name = names_of[volume.claim_name] = f"source-{len(names_of)}"
            # Read-only here as well: the kubelet would make all files the pod's group's own.
            claim = {"claimName": volume.claim_name, "readOnly": True}
            pod["volumes"].append({"name": name, "persistentVolumeClaim": claim})
        pod["containers"][0]["volumeMounts"].append(
            {
                "name": names_of[volume.claim_name],
                "mountPath": source_mount(index),
                "readOnly": True,
            }
        )


def _secret_env(key: str, *, optional: bool = False) -> Json:
    reference: Json = {"name": STORE_SECRET, "key": key}
    if optional:
        reference["optional"] = True
    return {"name": key, "valueFrom": {"secretKeyRef": reference}}
