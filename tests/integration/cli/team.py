"""A namespace, and people who use the command line in it."""

from __future__ import annotations

import hashlib
import os
import secrets
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from support.kubelet import SimulatedKubelet
from support.world import BUCKET

from trainyard.api.meta import ANNOTATION_TARGET_NODE, LABEL_ROLE, STORE_SECRET
from trainyard.cli.app import trainyard
from trainyard.cluster import names, parse
from trainyard.cluster.api_server import ApiServer
from trainyard.cluster.resources import (
    CONFIG_MAP,
    LEASE,
    LOCK_NAMESPACE,
    MODEL,
    NODE,
    POD,
    PROCESS,
    SECRET,
    ResourceType,
)
from trainyard.stores import Store
from trainyard_local.s3 import S3Account

Json = dict[str, Any]
FILES = {
    "model.pth": os.urandom(2_500_000),
    "config.yaml": b"engine: yolo-cls\n",
    "model.zip": b"both of them",
    "metrics.json": b'{"top-1": 0.968}',
    "train.log": b"epoch 1\nepoch 2\n",
}
ROLES = {
    "weights": "model.pth",
    "config": "config.yaml",
    "archive": "model.zip",
    "metrics": "metrics.json",
    "log": "train.log",
}


@dataclass
class Team:
    """A namespace, and people who use the command line in it.

    Attributes
    ----------
    admin
        Kubeconfig that may do everything.
    engineer
        Kubeconfig of somebody with the role `edit` in the namespace.
    viewer
        Kubeconfig of somebody with the role `view` in the namespace.
    node_admin
        Kubeconfig of somebody with the chart's role for administrators of nodes, and no other.
    """

    api: ApiServer
    store: Store
    account: S3Account
    kubelet: SimulatedKubelet
    folder: Path
    admin: Path
    engineer: Path
    viewer: Path
    node_admin: Path
    namespace: str = field(default_factory=lambda: f"team-{secrets.token_hex(3)}")

    @property
    def node(self) -> str:
        """A node of its own."""
        return f"gpu-1-{self.namespace}"

    @property
    def keys(self) -> dict[str, str]:
        """Environment with the keys of the store."""
        return {
            "AWS_ACCESS_KEY_ID": self.account.access_key,
            "AWS_SECRET_ACCESS_KEY": self.account.secret_key,
        }

    @property
    def reach(self) -> dict[str, str]:
        """Environment with keys and endpoint of the store."""
        return self.keys | {"TRAINYARD_S3_ENDPOINT": self.account.endpoint_url}

    # What people do

    def run(self, *words: str, who: Path | None = None, **environ: str) -> Result:
        """Run a command in this process, in the namespace."""
        return CliRunner().invoke(
            trainyard, list(words), env=self._environ(who) | environ, catch_exceptions=False
        )

    def says(self, *words: str, who: Path | None = None, **environ: str) -> str:
        """Standard output of a command that works."""
        done = self.run(*words, who=who, **environ)
        print(f"$ trainyard {' '.join(words)}\n{done.output}")
        assert done.exit_code == 0, done.output
        return done.stdout

    def refuses(self, *words: str, who: Path | None = None, **environ: str) -> str:
        """The sentence of a command that is refused or fails."""
        done = self.run(*words, who=who, **environ)
        print(f"$ trainyard {' '.join(words)}\n{done.output}")
        assert done.exit_code == 1, done.output
        assert "Traceback" not in done.output
        return done.stderr

    def process_of(self, *words: str, **environ: str) -> subprocess.Popen[str]:
        """A command as a process of its own, which signals can be sent to."""
        return subprocess.Popen(
            [sys.executable, "-m", "trainyard.cli", *words],
            env={**os.environ, **self._environ(None), **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _environ(self, who: Path | None) -> dict[str, str]:
        return {
            "TRAINYARD_KUBECONFIG": str(who or self.admin),
            "TRAINYARD_NAMESPACE": self.namespace,
            "COLUMNS": "200",
        }

    # What is in the cluster

    def create(self, type_: ResourceType, body: Json) -> Json:
        """Create an object in the namespace."""
        whole = {"apiVersion": type_.api_version, "kind": type_.kind, **body}
        return self.api.create(type_, whole, self.namespace if type_.namespaced else None)

    def model(self, name: str = "cats") -> str:
        """A TrainedModel and its files; gives their location."""
        location = f"s3://{BUCKET}/runs/{self.namespace}/{name}"
        for file, data in FILES.items():
            self.store.write_bytes(f"{location}/{file}", data)
        artefacts: Json = {
            role: {
                "uri": f"{location}/{file}",
                "sha256": hashlib.sha256(FILES[file]).hexdigest(),
                "sizeBytes": len(FILES[file]),
            }
            for role, file in ROLES.items()
        }
        spec = {
            "capability": "animals",
            "type": "ImageClassifierElement",
            "engine": "yolo-cls",
            "classes": [{"attribute": "class", "value": "cat", "position": 0}],
            "artefacts": {"location": location, **artefacts},
            "lineage": {"process": name},
            "metric": "top-1 0.968",
        }
        self.create(MODEL, {"metadata": {"name": name}, "spec": spec})
        return location

    def process(self, name: str = "cats", phase: str | None = None, **spec: Any) -> Json:
        """A TrainingProcess, in a phase."""
        whole = {
            "capability": "animals",
            "template": "small",
            "datasets": {"train": ["train"], "dev": ["dev"]},
            "targetNode": self.node,
            **spec,
        }
        made = self.create(PROCESS, {"metadata": {"name": name}, "spec": whole})
        if phase is not None:
            self.put_status(name, phase, made["metadata"]["generation"])
        return made

    def put_status(
        self, name: str, phase: str, generation: int, message: str = "", **status: Any
    ) -> None:
        """Write what the operator would write."""
        stamp = "2026-11-23T11:00:00Z"
        conditions = [
            {"type": "Validated", "status": "True", "reason": "Valid"},
            {"type": "Suspended", "status": "False", "reason": "Stopping", "message": message},
        ]
        whole = {
            "phase": phase,
            "observedGeneration": generation,
            "conditions": [{**item, "lastTransitionTime": stamp} for item in conditions],
            **status,
        }
        self.api.merge_patch(PROCESS, name, {"status": whole}, self.namespace, subresource="status")

    def spec(self, name: str = "cats") -> Json:
        """Spec of a process."""
        raw = self.api.get(PROCESS, name, self.namespace)
        assert raw is not None
        found: Json = raw["spec"]
        return found

    def lock(self, process: str = "cats", quarantined: str = "", node: str | None = None) -> Json:
        """The lock of a node, held by a process."""
        name = node or self.node
        annotations = {
            ANNOTATION_TARGET_NODE: name,
            parse.ANNOTATION_HOLDER: f"{self.namespace}/{process}",
        }
        if quarantined:
            annotations[parse.ANNOTATION_QUARANTINED] = quarantined
        body = {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": {
                "name": names.node_lease(name),
                "namespace": LOCK_NAMESPACE,
                "annotations": annotations,
            },
            "spec": {"holderIdentity": "job-uid"},
        }
        return self.api.create(LEASE, body, LOCK_NAMESPACE)

    def pod(self, name: str = "pod") -> None:
        """A pod of ours that runs on the node, as far as the API knows."""
        container = {"name": "trainer", "image": "nothing"}
        # Never there, so that the simulated kubelet leaves the pod as it is.
        volume = {"name": "run", "configMap": {"name": "none"}}
        self.create(
            POD,
            {
                "metadata": {
                    "name": name,
                    "labels": {LABEL_ROLE: "training"},
                    "annotations": {ANNOTATION_TARGET_NODE: self.node},
                },
                "spec": {"nodeName": self.node, "containers": [container], "volumes": [volume]},
            },
        )
        self.api.merge_patch(
            POD, name, {"status": {"phase": "Running"}}, self.namespace, subresource="status"
        )

    def secret(self) -> None:
        """The Secret with the keys of the store."""
        self.create(SECRET, {"metadata": {"name": STORE_SECRET}, "stringData": self.keys})

    def told_runs(self, document: str) -> None:
        """The ConfigMap of a snapshot."""
        self.create(
            CONFIG_MAP,
            {
                "metadata": {"name": "tds-1", "labels": {LABEL_ROLE: "snapshot"}},
                "data": {"snapshot.yaml": document},
            },
        )

    def node_annotations(self) -> Json:
        """Annotations of the node."""
        raw = self.api.get(NODE, self.node)
        assert raw is not None
        return dict(raw["metadata"].get("annotations") or {})
