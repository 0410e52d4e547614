"""A node, two trainings that want it, and everybody who acts on them, one request at a time.

The machine has processes of its own, apart from what the API shows: a pod may be gone while its
process lives. Job controller, garbage collectors and kubelet act after each write, without
anti-affinity and without GPUs, so that what keeps two processes apart is the lock alone. After
each of their moves, and after each write, the world counts the processes.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from tests.unit.cluster.fake_api import FakeApi
from trainyard.cluster import names, parse
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.errors import ApiError, translate
from trainyard.cluster.lock import NodeLock, Refused, Tended
from trainyard.decide.actions import StartJob

Json = dict[str, Any]
NODE = "/api/v1/nodes/gpu-1"
LEASE = (
    f"/apis/coordination.k8s.io/v1/namespaces/trainyard-locks/leases/{names.node_lease('gpu-1')}"
)
PODS = "/api/v1/namespaces/demo/pods"
JOBS = "/apis/batch/v1/namespaces/demo/jobs"
PROCESSES = "/apis/trainyard.dev/v1alpha1/namespaces/demo/trainingprocesses"
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LATE = NOW + timedelta(hours=1)
ENDED = {"exitCode": 75, "reason": "Error"}


class Direct(ApiServer):
    """The typed door to the fake without a connection: a request is a call."""

    def __init__(self, fake: FakeApi) -> None:
        self._fake = fake

    def _request(self, method: str, path: str, **more: Any) -> Json:
        query = urlencode(more.get("query") or [])
        status, data = self._fake.handle(method, f"{path}?{query}", more.get("body"))
        found: Json = json.loads(data)
        if status >= 400:
            raise translate(status, str(found.get("reason")), str(found.get("message")))
        return found


class Crash(BaseException):
    """An operator that is killed."""


class World:
    """Two processes `a` and `b` with a suspended Job each, on the node gpu-1."""

    def __init__(self) -> None:
        self.fake = FakeApi()
        self.fake.after_write = self.settle
        self.api = Direct(self.fake)
        self.alive: set[str] = set()
        """UIDs of the pods whose process runs on the machine."""
        self.placed: set[str] = set()
        """UIDs of the Jobs that made their one pod."""
        self.reports = True
        """Whether the kubelet is heard of, and hears."""
        self.boots = 1
        self.most = 0
        self.uids: dict[str, str] = {}
        """UID of each process's Job."""
        self._put_node("node-1")
        for name in ("a", "b"):
            self.fake.put(
                f"{PROCESSES}/{name}",
                {
                    "metadata": {"uid": f"uid-{name}"},
                    "spec": {},
                    "status": {"phase": "Starting", "attempts": [{"number": 1}]},
                },
            )
            self._put_job(name)

    def copy(self) -> World:
        """A world that goes its own way from here; objects are never changed in place."""
        other = World()
        other.fake.objects = dict(self.fake.objects)
        other.fake.version = self.fake.version
        other.alive, other.placed = set(self.alive), set(self.placed)
        other.uids = dict(self.uids)
        other.reports, other.boots, other.most = self.reports, self.boots, self.most
        return other

    # What an operator does.

    def start(self, name: str) -> Refused | None:
        """Start the Job as it is now; None also when it is not there."""
        raw = self.fake.objects.get(f"{JOBS}/{name}")
        if raw is None:
            return None
        action = StartJob(parse.job(raw), "gpu-1", f"demo/{name}", 1)
        return NodeLock(self.api).start(action)

    def tend(self, now: datetime = NOW) -> Tended:
        """One pass over the lock of the node."""
        return NodeLock(self.api).tend("gpu-1", now)

    def record(self, name: str) -> None:
        """Put the end of the attempt on record, if an operator may."""
        path = f"{PROCESSES}/{name}"
        raw, job = self.fake.objects.get(path), self.fake.objects.get(f"{JOBS}/{name}")
        if raw is None or (job is not None and parse.job(job).live):
            return
        ending = raw["status"]["attempts"][0].get("reason")
        if job is not None and not ending and not self.has_run(name):
            return
        for pod in self.pods(name):
            fact = parse.pod(pod)
            if not fact.over and fact.disruption != "DeletionByPodGC":
                return
        attempts = [{**raw["status"]["attempts"][0], "finishTime": "2026-11-23T12:00:00Z"}]
        self.fake.put(path, {**raw, "status": {**raw["status"], "attempts": attempts}})

    # What people do.

    def stop(self, name: str) -> None:
        """`spec.suspend: true`; an operator puts why on record and suspends the Job."""
        path = f"{PROCESSES}/{name}"
        raw = self.fake.objects.get(path)
        if raw is None:
            return
        attempts = [{**raw["status"]["attempts"][0], "reason": "Stopped"}]
        changed = {"spec": {"suspend": True}, "status": {**raw["status"], "attempts": attempts}}
        self.fake.put(path, {**raw, **changed})
        self._suspend(name, suspend=True)

    def delete(self, name: str) -> None:
        """Delete the process: the garbage collector takes its Job and the pods."""
        self.fake.objects.pop(f"{PROCESSES}/{name}", None)
        self.settle()

    def delete_pods_by_force(self) -> None:
        """`kubectl delete pod --force`."""
        for path in [path for path in self.fake.objects if path.startswith(PODS)]:
            self.fake.remove(path)
        self.settle()

    def unsuspend_by_hand(self, name: str) -> None:
        """`kubectl patch job`."""
        self._suspend(name, suspend=False)

    def remove_lock_by_hand(self) -> None:
        """`kubectl delete lease`."""
        self.fake.objects.pop(LEASE, None)

    def say_it_is_over(self) -> None:
        """End what runs on the machine, then say so for the present lock."""
        self.alive.clear()
        lease, node = self.fake.objects.get(LEASE), self.fake.objects.get(NODE)
        if lease is None or node is None:
            return
        note = {"trainyard.dev/release": lease["metadata"]["uid"]}
        self.fake.put(NODE, {**node, "metadata": {**node["metadata"], "annotations": note}})

    def switch_off(self) -> None:
        """Switch the machine off and taint the node out of service."""
        self.alive.clear()
        self.reports = False
        node = self.fake.objects.get(NODE)
        if node is not None:
            taint = {"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}
            self.fake.put(NODE, {**node, "spec": {"taints": [taint]}})

    def switch_on(self) -> None:
        """Switch it on again and take the taint off."""
        self.boots += 1
        node = self.fake.objects.get(NODE)
        if node is not None:
            self._put_node(node["metadata"]["uid"])
        self.reports = True
        self.settle()

    def reboot(self) -> None:
        """Reboot the machine; its kubelet says so, then how its pods ended."""
        self.alive.clear()
        self.switch_on()

    # What happens.

    def finish(self, name: str) -> None:
        """The training ends by itself."""
        for pod in self.pods(name):
            if pod["metadata"]["uid"] in self.alive and self.reports:
                self._report_end(pod, "Succeeded")
        self.settle()

    def cut_off(self) -> None:
        """The kubelet can neither report nor hear; what runs goes on."""
        self.reports = False

    def reconnect(self) -> None:
        """The kubelet is back: it ends what it should not run, and reports."""
        self.reports = True
        wanted = {pod["metadata"]["uid"] for pod in self.pods()}
        self.alive &= wanted
        self.settle()

    def remove_node(self) -> None:
        """The node object is deleted: the pod garbage collector writes its pods off."""
        self.reports = False
        self.fake.objects.pop(NODE, None)
        for path in [path for path in self.fake.objects if path.startswith(PODS)]:
            pod = self.fake.objects[path]
            if pod["status"]["phase"] not in ("Succeeded", "Failed"):
                gone = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC"}
                status = {**pod["status"], "phase": "Failed", "conditions": [gone]}
                self.fake.put(path, {**pod, "status": status})
            self.fake.remove(path)
        self.settle()

    def return_node(self) -> None:
        """The same boot of the machine joins anew; its kubelet has ended nothing yet."""
        self._put_node("node-2")

    # The cluster itself.

    def pods(self, name: str = "") -> list[Json]:
        """The pods of a process, or all."""
        return [
            item
            for path, item in list(self.fake.objects.items())
            if path.startswith(PODS)
            and (not name or item["metadata"]["labels"]["trainyard.dev/process"] == name)
        ]

    def has_run(self, name: str) -> bool:
        """Whether the Job of a process made its pod."""
        return self.uids[name] in self.placed

    @property
    def lease(self) -> Json | None:
        """The lock of the node."""
        return self.fake.objects.get(LEASE)

    def settle(self) -> None:
        """Controllers and kubelet do what follows from what is there."""
        self.count()
        for name in ("a", "b"):
            self._collect(name)
            self._run_job(name)
        for pod in self.pods():
            ending = "deletionTimestamp" in pod["metadata"]
            if ending and self.reports and pod["status"]["phase"] == "Running":
                self._report_end(pod, "Failed")
        self.count()
        for name in ("a", "b"):
            self._finish_job(name)

    def count(self) -> None:
        """Two processes on the machine, or two Jobs that may make one, are one too many."""
        jobs = [parse.job(self.fake.objects[path]) for path in self._jobs()]
        self.most = max(self.most, len(self.alive), sum(job.live for job in jobs))

    def _jobs(self) -> list[str]:
        return [path for path in self.fake.objects if path.startswith(JOBS)]

    def _collect(self, name: str) -> None:
        if f"{PROCESSES}/{name}" not in self.fake.objects:
            self.fake.objects.pop(f"{JOBS}/{name}", None)
        job = self.fake.objects.get(f"{JOBS}/{name}")
        if job is None or parse.job(job).suspended:
            for pod in self.pods(name):
                self.fake.remove(f"{PODS}/{pod['metadata']['name']}")

    def _run_job(self, name: str) -> None:
        job = self.fake.objects.get(f"{JOBS}/{name}")
        if job is None or not parse.job(job).live or self.pods(name):
            return
        if job["metadata"]["uid"] in self.placed or NODE not in self.fake.objects:
            return
        self.placed.add(job["metadata"]["uid"])
        pod = self.fake.put(
            f"{PODS}/{name}",
            {
                "metadata": {
                    "labels": job["metadata"]["labels"],
                    "annotations": {"trainyard.dev/target-node": "gpu-1"},
                    "finalizers": ["trainyard.dev/evidence"],
                    "ownerReferences": [
                        {"controller": True, "name": name, "uid": job["metadata"]["uid"]}
                    ],
                },
                "spec": {"nodeName": "gpu-1"},
                "status": {
                    "phase": "Running",
                    "containerStatuses": [{"containerID": "c", "state": {"running": {}}}],
                },
            },
        )
        self.alive.add(pod["metadata"]["uid"])

    def _report_end(self, pod: Json, phase: str) -> None:
        self.alive.discard(pod["metadata"]["uid"])
        ended = [{"containerID": "c", "state": {"terminated": ENDED}}]
        status = {**pod["status"], "phase": phase, "containerStatuses": ended}
        self.fake.put(f"{PODS}/{pod['metadata']['name']}", {**pod, "status": status})

    def _finish_job(self, name: str) -> None:
        job = self.fake.objects.get(f"{JOBS}/{name}")
        if job is None or not parse.job(job).live or job["metadata"]["uid"] not in self.placed:
            return
        pods = self.pods(name)
        phases = {pod["status"]["phase"] for pod in pods}
        if pods and not phases & {"Succeeded", "Failed"}:
            return
        type_ = "Complete" if "Succeeded" in phases else "Failed"
        conditions = [{"type": type_, "status": "True"}]
        self.fake.put(f"{JOBS}/{name}", {**job, "status": {"conditions": conditions}})

    def _suspend(self, name: str, *, suspend: bool) -> None:
        job = self.fake.objects.get(f"{JOBS}/{name}")
        if job is not None and not parse.job(job).finished:
            self.fake.put(f"{JOBS}/{name}", {**job, "spec": {"suspend": suspend}})
        self.settle()

    def _put_job(self, name: str) -> None:
        made = self.fake.put(
            f"{JOBS}/{name}",
            {
                "metadata": {
                    "labels": {
                        "trainyard.dev/role": "training",
                        "trainyard.dev/process": name,
                        "trainyard.dev/process-uid": f"uid-{name}",
                        "trainyard.dev/attempt": "1",
                    },
                    "annotations": {"trainyard.dev/target-node": "gpu-1"},
                    "ownerReferences": [{"controller": True, "uid": f"uid-{name}"}],
                },
                "spec": {"suspend": True},
            },
        )
        self.uids[name] = made["metadata"]["uid"]

    def _put_node(self, uid: str) -> None:
        info = {"systemUUID": "machine", "bootID": f"boot-{self.boots}"}
        self.fake.put(NODE, {"metadata": {"uid": uid}, "status": {"nodeInfo": info}})


def quietly(step: Any) -> None:
    """Do one step as an operator does: what the API server refuses ends it."""
    try:
        step()
    except ApiError:
        return
