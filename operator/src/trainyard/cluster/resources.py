"""The resource types that the operator reads and writes."""

from __future__ import annotations

from dataclasses import dataclass

from trainyard.api.meta import GROUP, VERSION

LOCK_NAMESPACE = "trainyard-locks"
"""One namespace for the locks of a cluster, the same for every installation."""


@dataclass(frozen=True)
class ResourceType:
    """A resource type and its place in the API."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """`group/version`, or the version alone for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(
        self, namespace: str | None = None, name: str | None = None, sub: str | None = None
    ) -> str:
        """URL path of the collection, of an object or of its subresource."""
        root = f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"
        parts = [root]
        if self.namespaced and namespace is not None:
            parts.append(f"namespaces/{namespace}")
        parts.append(self.plural)
        if name is not None:
            parts.append(name)
        if sub is not None:
            parts.append(sub)
        return "/".join(parts)


CAPABILITY = ResourceType(GROUP, VERSION, "capabilities", "Capability")
DATASET = ResourceType(GROUP, VERSION, "datasets", "Dataset")
TEMPLATE = ResourceType(GROUP, VERSION, "trainingtemplates", "TrainingTemplate")
PROCESS = ResourceType(GROUP, VERSION, "trainingprocesses", "TrainingProcess")
MODEL = ResourceType(GROUP, VERSION, "trainedmodels", "TrainedModel")
JOB = ResourceType("batch", "v1", "jobs", "Job")
POD = ResourceType("", "v1", "pods", "Pod")
NODE = ResourceType("", "v1", "nodes", "Node", namespaced=False)
SECRET = ResourceType("", "v1", "secrets", "Secret")
CONFIG_MAP = ResourceType("", "v1", "configmaps", "ConfigMap")
LEASE = ResourceType("coordination.k8s.io", "v1", "leases", "Lease")
EVENT = ResourceType("events.k8s.io", "v1", "events", "Event")
CORE_EVENT = ResourceType("", "v1", "events", "Event")
"""The same events as the core group shows them: these can be selected by the UID of an object."""
TOKEN_REVIEW = ResourceType(
    "authentication.k8s.io", "v1", "tokenreviews", "TokenReview", namespaced=False
)

OWN_KINDS = (CAPABILITY, DATASET, TEMPLATE, PROCESS, MODEL)
WATCHED = (*OWN_KINDS, JOB, POD, NODE)
"""What the cache holds. Nothing is decided before each of them was listed once."""
