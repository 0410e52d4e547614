"""The Kubernetes objects that the operator makes, as pure functions of typed input."""

from __future__ import annotations

from dataclasses import dataclass, field

from trainyard.api.documents import digest, dump_yaml
from trainyard.api.meta import (
    ANNOTATION_IMAGE,
    ANNOTATION_SPEC_HASH,
    ANNOTATION_TARGET_NODE,
    API_VERSION,
    FINALIZER_EVIDENCE,
    LABEL_ATTEMPT,
    LABEL_DATASET,
    LABEL_PROCESS,
    LABEL_PROCESS_UID,
    LABEL_ROLE,
    ROLE_SNAPSHOT,
    ROLE_TRAINING,
    Json,
)
from trainyard.api.model import TrainedModelSpec
from trainyard.api.report import ExitCode
from trainyard.api.run import (
    MOUNT_PATH,
    RUN_FILE,
    SNAPSHOT_FILE,
    RunFile,
    SnapshotRunFile,
)
from trainyard.api.template import Resources
from trainyard.cluster import names, parse, pods
from trainyard.cluster.resources import LEASE, LOCK_NAMESPACE
from trainyard.decide.facts import NodeFacts

MANAGED_BY = {"app.kubernetes.io/managed-by": "trainyard"}

_UNREACHABLE = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


@dataclass(frozen=True)
class Bundle:
    """The objects of one attempt, in the order in which they are created."""

    job: Json
    config_map: Json
    labels: dict[str, str] = field(default_factory=dict)


def training_bundle(run: RunFile, node: str, settings: pods.PodSettings) -> Bundle:
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
    pod = pods.trainer_pod(settings, ["run", f"{MOUNT_PATH}/{RUN_FILE}"], resources)
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
        pods.mount_cache(pod, settings.cache)
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


def snapshot_bundle(run: SnapshotRunFile, settings: pods.PodSettings) -> Bundle:
    """The Job that makes a dataset's snapshot and the ConfigMap it reads."""
    labels = {**MANAGED_BY, LABEL_ROLE: ROLE_SNAPSHOT, LABEL_DATASET: run.name}
    resources = Resources(gpus=0, cpu="500m", memory=settings.snapshot_memory, shared_memory="64Mi")
    pod = pods.trainer_pod(settings, ["snapshot", f"{MOUNT_PATH}/{SNAPSHOT_FILE}"], resources)
    pods.mount_sources(pod, run.selections)
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
        {ANNOTATION_IMAGE: settings.image},
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
                # The same data, run file or keys would end the same way.
                "action": "FailJob",
                "onExitCodes": {
                    "containerName": pods.CONTAINER,
                    "operator": "In",
                    "values": [
                        int(ExitCode.BAD_DATA),
                        int(ExitCode.ACCESS_DENIED),
                        int(ExitCode.BAD_CONFIG),
                    ],
                },
            },
            # Evicted, preempted, drained, or its node is gone: no fault of the pod.
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]},
        ]
    },
}


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
