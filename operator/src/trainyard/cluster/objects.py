"""The Kubernetes objects that the operator makes, as pure functions of typed input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from trainyard.api.dataset import Selection
from trainyard.api.documents import digest, dump_yaml
from trainyard.api.meta import (
    ANNOTATION_SPEC_HASH,
    ANNOTATION_TARGET_NODE,
    API_VERSION,
    FINALIZER_EVIDENCE,
    LABEL_ATTEMPT,
    LABEL_DATASET,
    LABEL_PROCESS,
    LABEL_PROCESS_UID,
    LABEL_ROLE,
    PROGRESS_AUDIENCE,
    ROLE_SNAPSHOT,
    ROLE_TRAINING,
    STORE_SECRET,
    Json,
)
from trainyard.api.model import TrainedModelSpec
from trainyard.api.report import ExitCode
from trainyard.api.run import (
    CACHE_BYTES_ENV,
    CACHE_ENV,
    MOUNT_PATH,
    RUN_FILE,
    SNAPSHOT_FILE,
    RunFile,
    SnapshotRunFile,
    source_mount,
)
from trainyard.api.template import Resources
from trainyard.cluster import names, parse
from trainyard.cluster.resources import LEASE, LOCK_NAMESPACE
from trainyard.decide.facts import NodeFacts

TOKEN_FOLDER = "/var/run/trainyard"  # noqa: S105 -- a folder
TOKEN_SECONDS = 3600
CACHE_FOLDER = "/var/cache/trainyard"
USER = 1000
CONTAINER = "trainer"
MANAGED_BY = {"app.kubernetes.io/managed-by": "trainyard"}

_UNREACHABLE = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


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


@dataclass(frozen=True)
class Bundle:
    """The objects of one attempt, in the order in which they are created."""

    job: Json
    config_map: Json
    labels: dict[str, str] = field(default_factory=dict)


def training_bundle(run: RunFile, node: str, settings: PodSettings) -> Bundle:
    """The suspended Job of an attempt and the ConfigMap with its run.yaml.

    The pod is pinned by a required node affinity, never by `nodeName`, so that the scheduler
    still checks resources and taints; and no two training pods fit on one host.
    """
    resources = run.template.resources
    labels = {
        **MANAGED_BY,
        LABEL_ROLE: ROLE_TRAINING,
        LABEL_PROCESS: run.name,
        LABEL_PROCESS_UID: run.uid,
        LABEL_ATTEMPT: str(run.attempt),
    }
    annotations = {ANNOTATION_TARGET_NODE: node}
    pod = _pod(settings, ["run", f"{MOUNT_PATH}/{RUN_FILE}"], resources)
    pod["affinity"] = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
                ]
            }
        },
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {
                    "topologyKey": "kubernetes.io/hostname",
                    "labelSelector": {"matchLabels": {LABEL_ROLE: ROLE_TRAINING}},
                    "namespaceSelector": {},
                }
            ]
        },
    }
    pod["tolerations"] = [
        # Without a limit: the default evicts a training after five minutes of a lost link.
        *({"key": key, "operator": "Exists", "effect": "NoExecute"} for key in _UNREACHABLE),
        *settings.tolerations,
    ]
    if settings.cache is not None:
        _mount_cache(pod, settings.cache)
    name = names.training_job(run.uid, run.attempt)
    return _bundle(
        name,
        run,
        _owner("TrainingProcess", run),
        labels,
        annotations,
        pod,
        RUN_FILE,
        suspend=True,
        finalizers=[FINALIZER_EVIDENCE],
    )


def snapshot_bundle(run: SnapshotRunFile, settings: PodSettings) -> Bundle:
    """The Job that makes a dataset's snapshot and the ConfigMap it reads."""
    labels = {**MANAGED_BY, LABEL_ROLE: ROLE_SNAPSHOT, LABEL_DATASET: run.name}
    resources = Resources(gpus=0, cpu="500m", memory=settings.snapshot_memory, shared_memory="64Mi")
    pod = _pod(settings, ["snapshot", f"{MOUNT_PATH}/{SNAPSHOT_FILE}"], resources)
    _mount_sources(pod, run.selections)
    pod["affinity"] = {
        "podAntiAffinity": {
            # Reading data is better done where no training runs; it is no condition.
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {
                    "weight": 100,
                    "podAffinityTerm": {
                        "topologyKey": "kubernetes.io/hostname",
                        "labelSelector": {"matchLabels": {LABEL_ROLE: ROLE_TRAINING}},
                        "namespaceSelector": {},
                    },
                }
            ]
        }
    }
    name = names.snapshot_job(run.uid)
    return _bundle(
        name,
        run,
        _owner("Dataset", run),
        labels,
        {},
        pod,
        SNAPSHOT_FILE,
        suspend=False,
        retries=_SNAPSHOT_RETRIES,
    )


_SNAPSHOT_RETRIES: Json = {
    # Of pods that fail; the next one goes on from the parts that the one before left in the store.
    "backoffLimit": 4,
    "podFailurePolicy": {
        "rules": [
            {
                # The same data and the same run file would end the same way.
                "action": "FailJob",
                "onExitCodes": {
                    "containerName": CONTAINER,
                    "operator": "In",
                    "values": [int(ExitCode.BAD_DATA), int(ExitCode.BAD_CONFIG)],
                },
            },
            # Evicted, preempted, drained, or its node is gone: no fault of the pod.
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]},
        ]
    },
}


def _mount_sources(pod: Json, selections: Sequence[Selection]) -> None:
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


def owned(config_map: Json, job: Json) -> Json:
    """The ConfigMap of an attempt with its owner, so that it goes when the owner goes.

    That is the created Job; but the first attempt's stays as long as the process: it holds the
    frozen inputs that every later attempt is made of.
    """
    meta = job["metadata"]
    labels = meta.get("labels") or {}
    if labels.get(LABEL_ROLE) == ROLE_TRAINING and labels.get(LABEL_ATTEMPT) == "1":
        owners = meta["ownerReferences"]
    else:
        owners = [
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "name": meta["name"],
                "uid": meta["uid"],
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ]
    return {**config_map, "metadata": {**config_map["metadata"], "ownerReferences": owners}}


def trained_model(name: str, namespace: str, spec: TrainedModelSpec) -> Json:
    """A TrainedModel. It has no owner: it outlives its process."""
    return {
        "apiVersion": API_VERSION,
        "kind": "TrainedModel",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(MANAGED_BY)},
        "spec": spec.to_wire(),
    }


def node_lease(
    node: str, machine: NodeFacts | None, *, job_uid: str, job: str, holder: str, attempt: str
) -> Json:
    """The lock of a node, held for a Job.

    Parameters
    ----------
    machine
        The node as it is now: its boot tells later whether a process of the holder can live.
    job, holder
        `namespace/name` of the Job and of its TrainingProcess.
    """
    return {
        "apiVersion": LEASE.api_version,
        "kind": LEASE.kind,
        "metadata": {
            "name": names.node_lease(node),
            "namespace": LOCK_NAMESPACE,
            # No owner: an owner in another namespace gets it collected within seconds.
            "annotations": {
                ANNOTATION_TARGET_NODE: node,
                parse.ANNOTATION_HOLDER: holder,
                LABEL_ATTEMPT: attempt,
                parse.ANNOTATION_JOB: job,
                **node_identity(machine),
            },
        },
        "spec": {"holderIdentity": job_uid},
    }


def node_identity(machine: NodeFacts | None) -> dict[str, str]:
    """The annotations that tell a machine, and a boot of it, from every other."""
    return {
        parse.ANNOTATION_NODE_UID: machine.uid if machine else "",
        parse.ANNOTATION_SYSTEM_UUID: machine.system_uuid if machine else "",
        parse.ANNOTATION_BOOT_ID: machine.boot_id if machine else "",
    }


def _owner(kind: str, run: RunFile | SnapshotRunFile) -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "name": run.name,
        "uid": run.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def _bundle(
    name: str,
    run: RunFile | SnapshotRunFile,
    owner: Json,
    labels: dict[str, str],
    annotations: dict[str, str],
    pod: Json,
    file: str,
    *,
    suspend: bool,
    finalizers: list[str] | None = None,
    retries: Json | None = None,
) -> Bundle:
    pod["volumes"].append({"name": "run", "configMap": {"name": name}})
    spec = {
        "parallelism": 1,
        "completions": 1,
        **(retries or {"backoffLimit": 0}),
        "podReplacementPolicy": "Failed",
        "suspend": suspend,
        "template": {
            "metadata": {
                "labels": labels,
                "annotations": {
                    **annotations,
                    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
                    "karpenter.sh/do-not-disrupt": "true",
                },
                **({"finalizers": finalizers} if finalizers else {}),
            },
            "spec": pod,
        },
    }
    spec_hash = digest({"spec": spec, "run": run.digest})
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": run.namespace,
            "labels": labels,
            "annotations": {**annotations, ANNOTATION_SPEC_HASH: spec_hash},
            "ownerReferences": [owner],
        },
        "spec": spec,
    }
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": run.namespace, "labels": labels},
        "immutable": True,
        "data": {file: dump_yaml(run.to_wire())},
    }
    return Bundle(job=job, config_map=config_map, labels=labels)


def _pod(settings: PodSettings, arguments: list[str], resources: Resources) -> Json:
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


def _mount_cache(pod: Json, cache: NodeFolder) -> None:
    (container,) = pod["containers"]
    container["env"] += [
        {"name": CACHE_ENV, "value": CACHE_FOLDER},
        {"name": CACHE_BYTES_ENV, "value": str(cache.size_bytes)},
    ]
    container["volumeMounts"].append({"name": "cache", "mountPath": CACHE_FOLDER})
    # It must be there: one that a kubelet makes belongs to root, and nothing could be kept in it.
    host_path = {"path": cache.path, "type": "Directory"}
    pod["volumes"].append({"name": "cache", "hostPath": host_path})


def _secret_env(key: str, *, optional: bool = False) -> Json:
    reference: Json = {"name": STORE_SECRET, "key": key}
    if optional:
        reference["optional"] = True
    return {"name": key, "valueFrom": {"secretKeyRef": reference}}
