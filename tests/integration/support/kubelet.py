"""A kubelet without containers: nodes that are Ready, pods that start, run and end.

Everything around it is real: the scheduler binds the pods, the Job controller counts them, the
garbage collector removes them. It does what a kubelet does through the API and nothing else: it
writes the status of its nodes and of the pods that are bound to them, and it ends the deletion
of a pod when its containers are over.
"""

from __future__ import annotations

import base64
import contextlib
import threading
import time
import traceback
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from support.trainer import Ending, PodRun, Script, play, untraceable
from support.watching import Watch
from trainyard.api.meta import (
    LABEL_DATASET,
    LABEL_PROCESS,
    LABEL_ROLE,
    LABEL_TARGET,
    ROLE_TRAINING,
    STORE_SECRET,
)
from trainyard.api.run import StoreLocation
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.errors import AlreadyExists, ApiError, Conflict, NotFound
from trainyard.cluster.resources import CONFIG_MAP, LEASE, NODE, POD, SECRET
from trainyard.stores import Credentials, Store, open_store

Json = dict[str, Any]
HEARTBEAT_SECONDS = 10.0
NODE_LEASES = "kube-node-lease"
SCRIPT_FAULT = 99
"""Exit code of a container whose script raised: no test expects it."""


@dataclass
class _Container:
    """A pod that was seen bound to one of our nodes."""

    pod: Json
    stop: threading.Event = field(default_factory=threading.Event)
    deleted: bool = False
    """The pod is deleted, or gone from the API server."""
    lost: Ending | None = None
    """How it ended when its machine went down."""

    @property
    def node(self) -> str:
        """The node it is on."""
        return str(self.pod["spec"]["nodeName"])


class SimulatedKubelet:
    """The kubelets of all simulated nodes.

    Parameters
    ----------
    api
        As an administrator.
    kubeconfig
        For the watch.
    location
        Of the store that the scripts write to.
    """

    def __init__(self, api: ApiServer, kubeconfig: str, location: StoreLocation) -> None:
        self._api = api
        self._location = location
        self._lock = threading.Lock()
        self._nodes: set[str] = set()
        self._cut_off: dict[str, threading.Event] = {}
        self._scripts: dict[tuple[str, str], Script] = {}
        self._lingering: dict[tuple[str, str], threading.Event] = {}
        self._lacking: set[str] = set()
        self._containers: dict[str, _Container] = {}
        self._stores: dict[tuple[str, str], Store] = {}
        self._alive: set[str] = set()
        self._gone: set[str] = set()
        self._stopping = threading.Event()
        self._beating = threading.Event()
        self._beating.set()
        self._watch = Watch(kubeconfig, POD, self._on_pod)
        self._heart = threading.Thread(target=self._heartbeats, name="heartbeats", daemon=True)
        self.faults: list[str] = []
        """What scripts raised; a test with one has failed."""

    def start(self) -> SimulatedKubelet:
        """Begin to look after pods."""
        self._watch.start()
        self._heart.start()
        return self

    def stop(self) -> None:
        """Leave everything as it is."""
        self._stopping.set()
        self._watch.stop()

    # Nodes

    def add_node(
        self,
        name: str,
        *,
        enabled: bool = True,
        gpus: int = 1,
        labels: dict[str, str] | None = None,
    ) -> None:
        """Register a node, Ready and without taints."""
        own = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", **(labels or {})}
        if enabled:
            own[LABEL_TARGET] = "true"
        body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": own}}
        with self._lock:
            self._nodes.add(name)
        self._api.create(NODE, body)
        self._beat(name)
        self.set_ready(name, ready=True, gpus=gpus)
        # The node controller would take seconds to remove what admission put on a new node.
        self._api.merge_patch(NODE, name, {"spec": {"taints": None}})

    def set_ready(self, name: str, *, ready: bool, gpus: int | None = None) -> None:
        """Write a node's status."""
        now = _stamp()
        reason = "KubeletReady" if ready else "KubeletNotReady"
        conditions = [
            _condition("MemoryPressure", False, "KubeletHasSufficientMemory", now),
            _condition("DiskPressure", False, "KubeletHasNoDiskPressure", now),
            _condition("PIDPressure", False, "KubeletHasSufficientPID", now),
            _condition("Ready", ready, reason, now),
        ]
        status: Json = {"conditions": conditions}
        if gpus is not None:
            amounts = {"cpu": "8", "memory": "32Gi", "pods": "110", "ephemeral-storage": "100Gi"}
            if gpus:
                amounts["nvidia.com/gpu"] = str(gpus)
            status |= {"capacity": amounts, "allocatable": amounts, "nodeInfo": _node_info(name)}
        self._api.merge_patch(NODE, name, {"status": status}, subresource="status")

    def set_gpus(self, name: str, gpus: int) -> None:
        """Let a device plugin register `gpus` GPUs on a node."""
        amounts = {"nvidia.com/gpu": str(gpus)}
        status = {"capacity": amounts, "allocatable": amounts}
        self._api.merge_patch(NODE, name, {"status": status}, subresource="status")

    def set_boot_id(self, name: str, boot_id: str | None = None) -> str:
        """Write the boot ID of a node, another one by default; gives it."""
        written = boot_id or str(uuid.uuid4())
        status = {"nodeInfo": {"bootID": written}}
        self._api.merge_patch(NODE, name, {"status": status}, subresource="status")
        return written

    def silence(self, name: str) -> None:
        """Cut a node off: it hears nothing and says nothing, and its containers go on."""
        with self._lock:
            self._cut_off.setdefault(name, threading.Event())

    def speak(self, name: str) -> None:
        """Let a node hear and speak again: it does at once what it was told meanwhile."""
        with self._lock:
            back = self._cut_off.pop(name, None)
            told = [c for c in self._containers.values() if c.node == name and c.deleted]
        if back is not None:
            back.set()
        for container in told:
            container.stop.set()
        with contextlib.suppress(ApiError):
            self._beat(name)

    def power_off(self, name: str) -> None:
        """Let the machine go down: its containers end at once, and nobody says so."""
        self.silence(name)
        with self._lock:
            mine = [c for c in self._containers.values() if c.node == name]
        for container in mine:
            container.lost = Ending(255, kubelet_reason="Unknown")
            container.stop.set()

    def power_on(self, name: str) -> str:
        """Let the machine come up again, with another boot ID, which is given."""
        boot_id = self.set_boot_id(name)
        self.speak(name)
        self.set_ready(name, ready=True)
        return boot_id

    def set_unknown(self, name: str) -> None:
        """Say of a silent node what the node controller says after 50 s."""
        now = _stamp()
        unknown = {"status": "Unknown", "lastTransitionTime": now, "reason": "NodeStatusUnknown"}
        conditions = [
            {"type": type_, **unknown, "message": "Kubelet stopped posting node status."}
            for type_ in ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")
        ]
        patch = {"status": {"conditions": conditions}}
        self._api.merge_patch(NODE, name, patch, subresource="status")

    def lose_node(self, name: str) -> None:
        """Delete the Node object of a machine that does not answer."""
        self.silence(name)
        raw = self._api.get(NODE, name)
        assert raw is not None
        self._api.delete(NODE, name, uid=raw["metadata"]["uid"])

    def remove_node(self, name: str) -> None:
        """Take a node out of the cluster."""
        with self._lock:
            self._nodes.discard(name)
        raw = self._api.get(NODE, name)
        if raw is not None:
            self._api.delete(NODE, name, uid=raw["metadata"]["uid"])

    def pause_heartbeats(self) -> None:
        """Write nothing by itself for a while: far less than the 50 s until nodes count as lost."""
        self._beating.clear()

    def resume_heartbeats(self) -> None:
        """Go on."""
        self._beating.set()

    # Pods

    def script(self, namespace: str, name: str, script: Script) -> None:
        """Say how the pods of a TrainingProcess or Dataset run; without it they just succeed."""
        with self._lock:
            self._scripts[namespace, name] = script

    def linger(self, namespace: str, name: str) -> threading.Event:
        """Keep the pods of a process alive although they are deleted, until the event is set.

        However they are deleted: a pod that was deleted by force is gone and its process lives.
        """
        gone = threading.Event()
        with self._lock:
            self._lingering[namespace, name] = gone
        return gone

    def lack(self, image: str) -> None:
        """No node has this image, and none can pull it."""
        with self._lock:
            self._lacking.add(image)

    def live(self, namespace: str, name: str) -> list[str]:
        """UIDs of the pods of a process whose containers live, whatever the API server says."""
        with self._lock:
            return [
                uid
                for uid, container in self._containers.items()
                if _subject(container.pod) == (namespace, name) and uid in self._alive
            ]

    def _on_pod(self, kind: str, pod: Json) -> None:
        meta = pod["metadata"]
        uid, node = meta["uid"], (pod.get("spec") or {}).get("nodeName")
        with self._lock:
            known = self._containers.get(uid)
            if (
                known is None
                and kind != "DELETED"
                and node in self._nodes
                and uid not in self._gone
            ):
                known = self._containers[uid] = _Container(pod)
                threading.Thread(
                    target=self._run, args=(known,), name=f"pod-{meta['name']}", daemon=True
                ).start()
            elif known is not None and kind != "DELETED":
                known.pod = pod
            if known is None:
                return
            known.deleted |= kind == "DELETED" or bool(meta.get("deletionTimestamp"))
            told = known.deleted and node not in self._cut_off
        if told:
            known.stop.set()

    def _run(self, container: _Container) -> None:
        """The life of a pod on its node."""
        uid = container.pod["metadata"]["uid"]
        try:
            if _phase(container.pod) == "Pending":
                self._live(container)
            container.stop.wait()
            self._wait_for_contact(container)
            if container.deleted:
                self._finish_deletion(container)
        except (Conflict, NotFound):
            return  # The pod is gone, or another of its name is there.
        except ApiError as error:
            if not self._stopping.is_set():
                self.faults.append(f"pod {container.pod['metadata']['name']}: {error!r}")
        finally:
            with self._lock:
                self._alive.discard(uid)
                self._containers.pop(uid, None)
                self._gone.add(uid)

    def _live(self, container: _Container) -> None:
        uid = container.pod["metadata"]["uid"]
        self._wait_for_contact(container)
        image = container.pod["spec"]["containers"][0]["image"]
        if image in self._lacking:
            said = f'failed to pull and unpack image "{image}": not found'
            waiting = {"waiting": {"reason": "ErrImagePull", "message": said}}
            self._write(container, "Pending", waiting, made=False)
            container.stop.wait()
        run = self._mount(container)
        if run is None:
            # It was told to stop before its container was made: a kubelet then says that it
            # cannot find the container (TerminatePod of its status manager).
            self._write(container, "Failed", _terminated(untraceable()), made=False)
            return
        self._write(container, "Running", {"running": {"startedAt": _stamp()}})
        self._begin(container)
        try:
            ending = self._script_of(container.pod)(run)
        except Exception:  # noqa: BLE001 -- whatever a script raises is for the test to tell
            fault = traceback.format_exc()
            if not run.stop.is_set():
                self.faults.append(fault)
            ending = Ending(SCRIPT_FAULT, fault[-1000:])
        lingering = self._lingering.get(_subject(container.pod))
        if container.stop.is_set() and container.lost is None and lingering is not None:
            lingering.wait()
        with self._lock:
            self._alive.discard(uid)
        ending = container.lost or ending
        phase = "Succeeded" if ending.exit_code == 0 else "Failed"
        self._wait_for_contact(container)
        self._write(container, phase, _terminated(ending))

    def _begin(self, container: _Container) -> None:
        """A container lives from now on; of trainings there is at most one on a node."""
        meta = container.pod["metadata"]
        with self._lock:
            self._alive.add(meta["uid"])
            if (meta.get("labels") or {}).get(LABEL_ROLE) != ROLE_TRAINING:
                return
            beside = [
                other.pod["metadata"]["name"]
                for uid, other in self._containers.items()
                if uid in self._alive
                and uid != meta["uid"]
                and other.node == container.node
                and (other.pod["metadata"].get("labels") or {}).get(LABEL_ROLE) == ROLE_TRAINING
            ]
        if beside:
            self.faults.append(
                f"node {container.node}: the container of pod {meta['name']} began while those of "
                f"{beside} lived"
            )

    def _wait_for_contact(self, container: _Container) -> None:
        """Wait while the node is cut off."""
        while True:
            with self._lock:
                back = self._cut_off.get(container.node)
            if back is None:
                return
            back.wait()

    def _mount(self, container: _Container) -> PodRun | None:
        """Wait for the ConfigMap and the Secret, as a kubelet does; None if told to stop."""
        meta = container.pod["metadata"]
        volume = next(v for v in container.pod["spec"]["volumes"] if "configMap" in v)
        while not container.stop.is_set():
            files = self._api.get(CONFIG_MAP, volume["configMap"]["name"], meta["namespace"])
            secret = self._api.get(SECRET, STORE_SECRET, meta["namespace"])
            if files is not None and secret is not None:
                return PodRun(
                    api=self._api,
                    pod=container.pod,
                    files=files["data"],
                    store=self._store(secret),
                    stop=container.stop,
                )
            time.sleep(0.1)
        return None

    def _store(self, secret: Json) -> Store:
        data = secret["data"]
        keys = (_decode(data["AWS_ACCESS_KEY_ID"]), _decode(data["AWS_SECRET_ACCESS_KEY"]))
        with self._lock:
            if keys not in self._stores:
                self._stores[keys] = open_store(self._location, Credentials(*keys))
            return self._stores[keys]

    def _script_of(self, pod: Json) -> Script:
        with self._lock:
            return self._scripts.get(_subject(pod), play)

    def _finish_deletion(self, container: _Container) -> None:
        """The containers are over: the pod may go."""
        meta = container.pod["metadata"]
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "gracePeriodSeconds": 0,
            "preconditions": {"uid": meta["uid"]},
        }
        with contextlib.suppress(NotFound):
            self._api._request("DELETE", POD.path(meta["namespace"], meta["name"]), body=body)

    def _write(self, container: _Container, phase: str, state: Json, *, made: bool = True) -> None:
        """Write a pod's status; `made`: its container was made once."""
        pod = container.pod
        meta, now = pod["metadata"], _stamp()
        running = phase == "Running"
        written = (pod.get("status") or {}).get("conditions") or []
        own = ("Initialized", "Ready", "ContainersReady")
        before = [item for item in written if item["type"] not in own]
        image = pod["spec"]["containers"][0]["image"]
        status: Json = {
            "phase": phase,
            "conditions": [
                *before,
                _condition("Initialized", True, "", now),
                _condition("ContainersReady", running, "" if running else "PodFailed", now),
                _condition("Ready", running, "" if running else "PodFailed", now),
            ],
            "containerStatuses": [
                {
                    "name": "trainer",
                    "image": image,
                    "imageID": image if made else "",
                    "containerID": _container_id(meta["uid"]) if made else "",
                    "ready": running,
                    "started": running,
                    "restartCount": 0,
                    "state": {"running": None, "waiting": None, **state},
                }
            ],
        }
        if running:
            status["startTime"] = now
        patch = {"metadata": {"uid": meta["uid"]}, "status": status}
        self._api.merge_patch(POD, meta["name"], patch, meta["namespace"], subresource="status")

    # Heartbeats

    def _heartbeats(self) -> None:
        while not self._stopping.wait(HEARTBEAT_SECONDS):
            if not self._beating.is_set():
                continue
            with self._lock:
                names = sorted(self._nodes - self._cut_off.keys())
            for name in names:
                with contextlib.suppress(ApiError):
                    self._beat(name)

    def _beat(self, name: str) -> None:
        spec = {
            "holderIdentity": name,
            "leaseDurationSeconds": 40,
            "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        try:
            self._api.merge_patch(LEASE, name, {"spec": spec}, NODE_LEASES)
        except NotFound:
            body = {
                "apiVersion": LEASE.api_version,
                "kind": LEASE.kind,
                "metadata": {"name": name, "namespace": NODE_LEASES},
                "spec": spec,
            }
            with contextlib.suppress(AlreadyExists):
                self._api.create(LEASE, body, NODE_LEASES)


def _subject(pod: Json) -> tuple[str, str]:
    """Namespace and name of what the pod was made for."""
    labels = pod["metadata"].get("labels") or {}
    name = labels.get(LABEL_PROCESS) or labels.get(LABEL_DATASET) or ""
    return pod["metadata"]["namespace"], name


def _phase(pod: Json) -> str:
    return str((pod.get("status") or {}).get("phase") or "Pending")


def _terminated(ending: Ending) -> Json:
    now = _stamp()
    reason = "OOMKilled" if ending.oom_killed else "Completed" if not ending.exit_code else "Error"
    return {
        "terminated": {
            "exitCode": ending.exit_code,
            "reason": ending.kubelet_reason or reason,
            "message": ending.message[:4096],
            "startedAt": now,
            "finishedAt": now,
        }
    }


def _container_id(pod_uid: str) -> str:
    return f"containerd://{uuid.uuid5(uuid.NAMESPACE_OID, pod_uid).hex}"


def _condition(type_: str, status: bool, reason: str, now: str) -> Json:
    made = {"type": type_, "status": str(status), "lastTransitionTime": now}
    return {**made, "reason": reason} if reason else made


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _node_info(name: str) -> Json:
    return {
        "machineID": uuid.uuid5(uuid.NAMESPACE_DNS, name).hex,
        "systemUUID": str(uuid.uuid5(uuid.NAMESPACE_DNS, name)),
        "bootID": str(uuid.uuid4()),
        "kernelVersion": "6.1.0",
        "osImage": "simulated",
        "containerRuntimeVersion": "containerd://2.2.0",
        "kubeletVersion": "v1.37.2",
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": "amd64",
    }


def _decode(value: str) -> str:
    return base64.b64decode(value).decode()
