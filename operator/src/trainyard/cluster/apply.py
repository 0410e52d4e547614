"""Carries out decisions: actions in their order, then the status, then the events."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from trainyard.api._base import ApiModel
from trainyard.api.meta import (
    ANNOTATION_SPEC_HASH,
    LABEL_ATTEMPT,
    LABEL_PROCESS,
    LABEL_ROLE,
    ROLE_SNAPSHOT,
    Json,
)
from trainyard.cluster import objects, parse
from trainyard.cluster.api_server import BACKGROUND, FOREGROUND, ApiServer
from trainyard.cluster.cache import Cache
from trainyard.cluster.errors import AlreadyExists, Conflict, Invalid
from trainyard.cluster.events import Events
from trainyard.cluster.lock import NodeLock, Refused
from trainyard.cluster.pods import PodSettings
from trainyard.cluster.resources import (
    CONFIG_MAP,
    JOB,
    MODEL,
    POD,
    PROCESS,
    ResourceType,
)
from trainyard.decide.actions import (
    Action,
    CreateModel,
    CreateSnapshotJob,
    CreateTrainingJob,
    DeleteJob,
    DeletePod,
    Happening,
    StartJob,
    SuspendJob,
)


class Applier:
    """The only writer. Every action is safe to repeat after a crash at any point of it."""

    def __init__(
        self,
        api: ApiServer,
        cache: Cache,
        lock: NodeLock,
        pods: PodSettings,
        instance: str,
    ) -> None:
        self._api = api
        self._cache = cache
        self._lock = lock
        self._pods = pods
        self._events = Events(api, instance)

    def act(self, action: Action, namespace: str) -> Refused | None:
        """Carry out one action; a refusal to start a Job now is no error.

        Raises
        ------
        Conflict
            If the cluster is not what the decision assumed: gather and decide again.
        ApiError
            If the API server refuses or does not answer.
        """
        match action:
            case CreateTrainingJob():
                pods = self._pods
                if action.image is not None:
                    pods = replace(pods, image=action.image)
                bundle = objects.training_bundle(action.run, action.node, pods)
                self._create_bundle(bundle, namespace)
            case CreateSnapshotJob():
                self._create_bundle(objects.snapshot_bundle(action.run, self._pods), namespace)
            case StartJob():
                return self._lock.start(action)
            case SuspendJob():
                job = action.job
                patch = {
                    "metadata": {"resourceVersion": job.resource_version},
                    "spec": {"suspend": True},
                }
                self._cache.put(JOB, self._api.merge_patch(JOB, job.name, patch, job.namespace))
            case DeleteJob():
                job = action.job
                self._api.delete(
                    JOB,
                    job.name,
                    job.namespace,
                    uid=job.uid,
                    resource_version=job.resource_version,
                    propagation=FOREGROUND if action.pods_first else BACKGROUND,
                )
            case DeletePod():
                self._api.delete(POD, action.pod.name, action.pod.namespace, uid=action.pod.uid)
            case CreateModel():
                self._create_model(action, namespace)
        return None

    def write_status(self, type_: ResourceType, raw: Json, status: ApiModel) -> bool:
        """Write the status if it differs from that of `raw`; whether it did.

        Raises
        ------
        Conflict
            If the object is not the version that was decided on.
        """
        wanted = {key: value for key, value in status.to_wire().items() if value not in ([], {})}
        changes = merge_diff(raw.get("status") or {}, wanted)
        if not changes:
            return False
        meta = parse.metadata(raw)
        patch = {"metadata": {"resourceVersion": meta["resourceVersion"]}, "status": changes}
        written = self._api.merge_patch(
            type_, meta["name"], patch, meta.get("namespace"), subresource="status"
        )
        self._cache.put(type_, written)
        return True

    def tell(self, raw: Json, happening: Happening, now: datetime) -> None:
        """Post one event about an object."""
        self._events.tell(raw, happening, now)

    def _create_bundle(self, bundle: objects.Bundle, namespace: str) -> None:
        """Create Job and ConfigMap; what is there already must be ours and say the same."""
        try:
            job = self._api.create(JOB, bundle.job, namespace)
        except AlreadyExists:
            job = self._existing(bundle.job, namespace)
        self._cache.put(JOB, job)
        try:
            self._api.create(CONFIG_MAP, objects.owned(bundle.config_map, job), namespace)
        except AlreadyExists:
            self._check_config_map(objects.owned(bundle.config_map, job), namespace)

    def _existing(self, wanted: Json, namespace: str) -> Json:
        """The Job of that name, if it is the one that is wanted.

        One of ours that says something else was made by a pass that was cut off before the
        attempt was recorded, so it was never started, or its pod still lacks its ConfigMap: it is
        removed, and the next pass makes it again.
        """
        name = wanted["metadata"]["name"]
        found = self._api.get(JOB, name, namespace)
        if found is None:
            raise Conflict(f"Job {namespace}/{name} was there and is gone")
        fact = parse.job(found)
        if fact.owner_uid != parse.owner_uid(wanted):
            self._cache.put(JOB, found)
            raise Conflict(f"Job {namespace}/{name} was made by another")
        if fact.spec_hash != wanted["metadata"]["annotations"][ANNOTATION_SPEC_HASH]:
            role = (parse.metadata(found).get("labels") or {}).get(LABEL_ROLE)
            if (fact.suspended or role == ROLE_SNAPSHOT) and not self._is_on_record(found):
                self._api.delete(
                    JOB, name, namespace, uid=fact.uid, resource_version=fact.resource_version
                )
            raise Conflict(f"Job {namespace}/{name} was made of other inputs")
        return found

    def _is_on_record(self, job: Json) -> bool:
        """Whether the attempt of a training Job is on record, maybe by another operator's hand.

        Operators with different settings make different Jobs of one attempt; the one on record
        stands.
        """
        meta = parse.metadata(job)
        labels = meta.get("labels") or {}
        if labels.get(LABEL_ROLE) == ROLE_SNAPSHOT:
            return False
        process = self._api.get(PROCESS, labels.get(LABEL_PROCESS, ""), meta["namespace"])
        attempts = ((process or {}).get("status") or {}).get("attempts") or []
        return labels.get(LABEL_ATTEMPT) in {str(item.get("number")) for item in attempts}

    def _check_config_map(self, wanted: Json, namespace: str) -> None:
        name = wanted["metadata"]["name"]
        found = self._api.get(CONFIG_MAP, name, namespace)
        if found is None:
            raise Conflict(f"ConfigMap {namespace}/{name} was there and is gone")
        same_owner = parse.owner_uid(found) == parse.owner_uid(wanted)
        if same_owner and found["data"] == wanted["data"]:
            return
        meta = parse.metadata(found)
        if LABEL_ROLE not in (meta.get("labels") or {}):
            raise Invalid(f"ConfigMap {namespace}/{name} was made by another: delete it")
        self._api.delete(
            CONFIG_MAP,
            name,
            namespace,
            uid=meta["uid"],
            resource_version=meta["resourceVersion"],
        )
        raise Conflict(f"ConfigMap {namespace}/{name} belonged to another Job")

    def _create_model(self, action: CreateModel, namespace: str) -> None:
        body = objects.trained_model(action.name, namespace, action.spec)
        try:
            self._cache.put(MODEL, self._api.create(MODEL, body, namespace))
        except AlreadyExists:
            found = self._api.get(MODEL, action.name, namespace)
            wanted = action.spec.lineage.process_uid if action.spec.lineage else None
            lineage = ((found or {}).get("spec") or {}).get("lineage") or {}
            if found is None or lineage.get("processUid") != wanted:
                if found is not None:
                    self._cache.put(MODEL, found)
                raise Conflict(
                    f"TrainedModel {namespace}/{action.name} was made by another"
                ) from None


def merge_diff(old: Json, new: Json) -> Json:
    """The JSON merge patch that turns `old` into `new`; empty if they are equal."""
    patch: Json = {}
    for key in old.keys() | new.keys():
        if key not in new:
            patch[key] = None
        elif key not in old:
            patch[key] = new[key]
        elif old[key] != new[key]:
            both = isinstance(old[key], dict) and isinstance(new[key], dict)
            patch[key] = merge_diff(old[key], new[key]) if both else new[key]
    return patch
