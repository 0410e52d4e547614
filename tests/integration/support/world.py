"""A namespace with two nodes of its own, and the sentences that tests are written in."""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from support.kubelet import SimulatedKubelet
from support.operator_process import OperatorProcess
from support.trainer import Hold
from support.waiting import eventually
from trainyard.api.meta import API_VERSION, LABEL_PROCESS, STORE_SECRET
from trainyard.cluster import names
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.resources import (
    CAPABILITY,
    CONFIG_MAP,
    DATASET,
    EVENT,
    JOB,
    LEASE,
    LOCK_NAMESPACE,
    NODE,
    POD,
    PROCESS,
    SECRET,
    TEMPLATE,
    ResourceType,
)
from trainyard.stores import Store
from trainyard_local.s3 import S3Account

Json = dict[str, Any]
BUCKET = "trainyard"
NAMESPACE = ResourceType("", "v1", "namespaces", "Namespace", namespaced=False)
SERVICE_ACCOUNT = ResourceType("", "v1", "serviceaccounts", "ServiceAccount")
CLASSES = ("cat", "dog")
KINDS = {type_.kind: type_ for type_ in (CAPABILITY, DATASET, TEMPLATE, PROCESS)}


def _new_name() -> str:
    return f"team-{secrets.token_hex(3)}"


@dataclass
class World:
    """What one test has for itself.

    Attributes
    ----------
    namespace
        Its namespace.
    node, other_node
        Its nodes, enabled, Ready, with one GPU each.
    """

    api: ApiServer
    kubelet: SimulatedKubelet
    operator: OperatorProcess
    account: S3Account
    store: Store
    kubectl_program: Path
    kubeconfig: Path
    namespace: str = field(default_factory=_new_name)

    @property
    def node(self) -> str:
        """The first node."""
        return f"gpu-1-{self.namespace}"

    @property
    def other_node(self) -> str:
        """The second node."""
        return f"gpu-2-{self.namespace}"

    # Setting up

    def build(self) -> World:
        """Make the namespace, its Secret and the nodes."""
        self.api.create(
            NAMESPACE,
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}},
        )
        self.create_secret()
        for node in (self.node, self.other_node):
            self.kubelet.add_node(node)
        eventually(
            "the service account `default`",
            lambda: self.api.get(SERVICE_ACCOUNT, "default", self.namespace),
        )
        return self

    def neighbour(self) -> World:
        """Another namespace of the same cluster, with nodes of its own; to be demolished."""
        return replace(self, namespace=_new_name()).build()

    def demolish(self) -> None:
        """Let everything go; the namespace controller finishes in its own time."""
        raw = self.api.get(NAMESPACE, self.namespace)
        if raw is not None:
            self.api.delete(NAMESPACE, self.namespace, uid=raw["metadata"]["uid"])
        for node in (self.node, self.other_node):
            self.kubelet.remove_node(node)

    def create_secret(self) -> None:
        """Put the store's credentials into the namespace."""
        data = {
            "AWS_ACCESS_KEY_ID": self.account.access_key,
            "AWS_SECRET_ACCESS_KEY": self.account.secret_key,
        }
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": STORE_SECRET, "namespace": self.namespace},
            "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
        }
        self.api.create(SECRET, body, self.namespace)

    def delete(self, type_: ResourceType, name: str) -> None:
        """Delete an object as kubectl does: in the background."""
        raw = self.api.get(type_, name, self.namespace)
        assert raw is not None, f"{type_.kind} {name} is not there"
        self.api.delete(type_, name, self.namespace, uid=raw["metadata"]["uid"])

    def put_images(self, prefix: str, images: dict[str, bytes]) -> str:
        """Store images by path under a prefix of the namespace; gives the whole prefix."""
        whole = f"data/{self.namespace}/{prefix}"
        for name, data in images.items():
            self.store.write_bytes(f"s3://{BUCKET}/{whole}/{name}", data)
        return whole

    def apply(self, kind: str, name: str, spec: Json) -> Json:
        """Create an object."""
        type_ = KINDS[kind]
        body = {
            "apiVersion": API_VERSION,
            "kind": kind,
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": spec,
        }
        return self.api.create(type_, body, self.namespace)

    def capability(
        self, name: str = "animals", classes: Sequence[str] = CLASSES, **spec: Any
    ) -> None:
        """Apply a Capability of whole-image classes."""
        outputs = [
            {"attribute": "class", "value": value, "position": position}
            for position, value in enumerate(classes)
        ]
        self.apply(
            "Capability", name, {"type": "ImageClassifierElement", "outputs": outputs, **spec}
        )

    def template(self, name: str = "small", *, gpus: int = 0, **spec: Any) -> None:
        """Apply a TrainingTemplate for classifiers that trains on the CPU."""
        whole = {
            "displayName": name,
            "engine": "yolo-cls",
            "baseModel": {"architecture": "yolo11n"},
            "hyperparameters": {"epochs": 4},
            "resources": {"gpus": gpus, "cpu": "100m", "memory": "64Mi", "sharedMemory": "16Mi"},
        }
        self.apply("TrainingTemplate", name, {**whole, **spec})

    def dataset(
        self,
        name: str,
        images: dict[str, bytes] | None = None,
        *,
        suspend: bool = False,
        **spec: Any,
    ) -> None:
        """Apply a Dataset of images by path; by default three of each class, unlike any other's."""
        if images is None:
            images = {
                f"{value}/{number}.png": f"{name} {value} {number}".encode()
                for value in CLASSES
                for number in range(3)
            }
        prefix = self.put_images(name, images)
        source = {"s3": {"bucket": BUCKET, "prefix": prefix}}
        selections = [{"format": "folders", "source": source}]
        self.apply("Dataset", name, {"selections": selections, "suspend": suspend, **spec})

    def inputs(self) -> None:
        """Apply what a run needs: Capability `animals`, TrainingTemplate `small`, Datasets."""
        self.capability()
        self.template()
        self.dataset("train")
        self.dataset("dev")

    def ready_inputs(self) -> None:
        """As `inputs`, and wait until the snapshots are there."""
        self.inputs()
        for name in ("train", "dev"):
            self.wait_phase(DATASET, name, "Ready")

    def process(self, name: str, *, held: bool = False, **spec: Any) -> Hold:
        """Apply a TrainingProcess on the first node; with `held`, its pod runs until let go."""
        hold = Hold()
        if held:
            self.kubelet.script(self.namespace, name, hold)
        whole = {
            "capability": "animals",
            "template": "small",
            "datasets": {"train": ["train"], "dev": ["dev"]},
            "targetNode": self.node,
        }
        self.apply("TrainingProcess", name, {**whole, **spec})
        return hold

    # Looking

    def get(self, type_: ResourceType, name: str) -> Json | None:
        """An object of the namespace, or of the cluster."""
        return self.api.get(type_, name, self.namespace if type_.namespaced else None)

    def status(self, name: str, type_: ResourceType = PROCESS) -> Json:
        """Status of an object; empty if there is none."""
        status: Json = (self.get(type_, name) or {}).get("status") or {}
        return status

    def condition(self, name: str, condition: str, type_: ResourceType = PROCESS) -> Json:
        """A condition, as an empty dict if it is not set."""
        return next(
            (c for c in self.status(name, type_).get("conditions", []) if c["type"] == condition),
            {},
        )

    def is_alone(self) -> None:
        """Wait until no namespace of a test before is left: clearing it away is writing too."""
        eventually(
            "the namespaces of other tests being gone",
            lambda: (
                not [
                    raw
                    for raw in self.api.list(NAMESPACE).items
                    if raw["metadata"].get("deletionTimestamp")
                ]
            ),
            within=60,
        )

    def wait_phase(
        self, type_: ResourceType, name: str, phase: str, *, within: float = 60.0
    ) -> Json:
        """Wait for a phase; gives the status. A terminal phase that is another one fails."""

        def probe() -> Json | None:
            status = self.status(name, type_)
            ended = status.get("phase") in ("Succeeded", "Failed", "Ready")
            if ended and phase != status["phase"]:
                raise AssertionError(f"{name} is not {phase}: {self.explain(name, type_)}")
            return status if status.get("phase") == phase else None

        return eventually(
            f"{type_.kind} {name} being {phase}",
            probe,
            within=within,
            seen=lambda: self.explain(name, type_),
        )

    def wait_reason(
        self,
        name: str,
        condition: str,
        reason: str,
        *,
        within: float = 60.0,
        type_: ResourceType = PROCESS,
    ) -> Json:
        """Wait until a condition of an object has a reason; gives the condition."""

        def probe() -> Json | None:
            found = self.condition(name, condition, type_)
            return found if found.get("reason") == reason else None

        return eventually(
            f"condition {condition} of {name} having the reason {reason}",
            probe,
            within=within,
            seen=lambda: self.explain(name, type_),
        )

    def succeeds(self, name: str, *, within: float = 60.0) -> Json:
        """Wait until a process has succeeded; gives its status."""
        return self.wait_phase(PROCESS, name, "Succeeded", within=within)

    def fails(self, name: str, reason: str, *, within: float = 60.0) -> str:
        """Wait until a process has failed for a reason; gives the sentence."""
        self.wait_phase(PROCESS, name, "Failed", within=within)
        failed = self.condition(name, "Failed")
        assert failed["reason"] == reason, failed
        finished = self.condition(name, "Finished")
        assert (finished["status"], finished["reason"]) == ("True", reason)
        return str(failed["message"])

    def explain(self, name: str, type_: ResourceType = PROCESS) -> str:
        """Phase and conditions, for a failed assertion."""
        status = self.status(name, type_)
        conditions = "; ".join(
            f"{c['type']}={c['status']} {c['reason']}: {c['message']}"
            for c in status.get("conditions", [])
        )
        return f"phase {status.get('phase')}; {conditions or 'no conditions'}"

    def jobs(self, name: str | None = None) -> list[Json]:
        """Training Jobs of the namespace, of one process or of all."""
        selector = names.TRAINING_SELECTOR + ("" if name is None else f",{LABEL_PROCESS}={name}")
        return list(self.api.list(JOB, self.namespace, label_selector=selector).items)

    def pods(self, name: str | None = None) -> list[Json]:
        """Training pods of the namespace, of one process or of all."""
        selector = names.TRAINING_SELECTOR + ("" if name is None else f",{LABEL_PROCESS}={name}")
        return list(self.api.list(POD, self.namespace, label_selector=selector).items)

    def config_maps(self, name: str) -> list[Json]:
        """ConfigMaps of a process."""
        selector = f"{LABEL_PROCESS}={name}"
        return list(self.api.list(CONFIG_MAP, self.namespace, label_selector=selector).items)

    def lease(self, node: str | None = None) -> Json | None:
        """The lock of a node, the first one by default."""
        return self.api.get(LEASE, names.node_lease(node or self.node), LOCK_NAMESPACE)

    def wait_released(self, *nodes: str) -> None:
        """Wait until nobody holds the lock of the nodes, the first one by default."""
        for node in nodes or (self.node,):
            eventually(f"the release of {node}", partial(self._is_free, node), within=10)

    def _is_free(self, node: str) -> bool:
        return self.lease(node) is None

    def events(self, name: str) -> list[Json]:
        """Events about an object of that name, in their order."""
        found = [
            item
            for item in self.api.list(EVENT, self.namespace).items
            if item.get("regarding", {}).get("name") == name
        ]
        return sorted(found, key=lambda item: str(item.get("eventTime")))

    def patch(self, type_: ResourceType, name: str, patch: Json) -> Json:
        """Change an object by a merge patch."""
        return self.api.merge_patch(
            type_, name, patch, self.namespace if type_.namespaced else None
        )

    def patch_node(self, patch: Json, node: str | None = None) -> None:
        """Change a node, the first one by default."""
        self.api.merge_patch(NODE, node or self.node, patch)

    def row(self, type_: ResourceType, name: str) -> dict[str, str]:
        """The columns of `kubectl get -o wide`, as the API server prints them."""
        path = type_.path(self.namespace, name)
        accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
        client = self.api._client
        prepared = client.param_serialize(
            "GET", path, header_params={"Accept": accept}, auth_settings=["BearerToken"]
        )
        response = client.call_api(*prepared, _request_timeout=(5, 10))
        table = json.loads(response.read())
        titles = [column["name"].upper() for column in table["columnDefinitions"]]
        return dict(zip(titles, (str(cell) for cell in table["rows"][0]["cells"]), strict=True))

    def kubectl(self, *arguments: str, check: bool = True) -> str:
        """Output of the real kubectl in the namespace."""
        done = subprocess.run(
            [
                self.kubectl_program,
                f"--kubeconfig={self.kubeconfig}",
                f"--namespace={self.namespace}",
                *arguments,
            ],
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
            env={"NO_PROXY": "*", "HOME": str(self.kubeconfig.parent)},
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr
