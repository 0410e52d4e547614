"""The chart's admission policies on an API server, and clients under any name."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

from kubernetes import client, config
from support.waiting import eventually

from trainyard.api.meta import Json
from trainyard.cluster.resources import ResourceType

REPOSITORY = Path(__file__).resolve().parents[3]
sys.path.append(str(REPOSITORY / "tests" / "unit" / "helm"))
import rendering  # noqa: E402 -- the chart's tests are no package

POLICY = ResourceType(
    "admissionregistration.k8s.io",
    "v1",
    "validatingadmissionpolicies",
    "ValidatingAdmissionPolicy",
    False,
)
BINDING = replace(
    POLICY, plural="validatingadmissionpolicybindings", kind="ValidatingAdmissionPolicyBinding"
)
NAMESPACE = ResourceType("", "v1", "namespaces", "Namespace", False)
ACCOUNT = ResourceType("", "v1", "serviceaccounts", "ServiceAccount")


@dataclass(frozen=True)
class Who:
    """Somebody who makes requests.

    Attributes
    ----------
    user, group
        As Kubernetes sees them; a service account without a group has its own rights only.
    """

    user: str
    group: str = "system:masters"


ADMINISTRATOR = Who("alice")
OPERATOR = Who("system:serviceaccount:trainyard-system:trainyard")
SCHEDULER = Who("system:kube-scheduler", "")
ALL_CONTROLLERS = Who("system:kube-controller-manager")
"""Where controllers have no accounts of their own."""
KUBELET = Who("system:node:gpu-1", "system:nodes")


def controller(name: str) -> Who:
    """A controller of kube-controller-manager, with the rights that Kubernetes gives it."""
    return Who(f"system:serviceaccount:kube-system:{name}", "")


@dataclass(frozen=True)
class Answer:
    """What the API server said."""

    status: int
    message: str
    body: Json

    @property
    def taken(self) -> bool:
        """Whether it did what was asked."""
        return self.status < 300


def policies(values: Json | None = None) -> list[Json]:
    """The policies of the chart."""
    return rendering.kinds(rendering.render(values), POLICY.kind)


@dataclass
class Server:
    """Requests in anybody's name; `keep=False` asks for a dry run, which admission sees too."""

    kubeconfig: Path
    _clients: dict[Who, client.ApiClient] = field(default_factory=dict)

    def ask(
        self, who: Who, method: str, path: str, body: Json | None = None, *, keep: bool = False
    ) -> Answer:
        """One request; a patch is a JSON merge patch."""
        query = [] if keep else [("dryRun", "All")]
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        prepared = self._client(who).param_serialize(
            method,
            path,
            query_params=query,
            header_params={"Accept": "application/json", "Content-Type": kind},
            body=body,
        )
        response = self._client(who).call_api(*prepared, _request_timeout=(5, 30))
        response.read()
        data = json.loads(response.data)
        return Answer(response.status, str(data.get("message", "")), data)

    def make(self, type_: ResourceType, body: Json, namespace: str | None = None) -> Json:
        """Create an object for good, as the administrator."""
        answer = self.ask(ADMINISTRATOR, "POST", type_.path(namespace), body, keep=True)
        assert answer.taken, answer.message
        return answer.body

    def install(self, values: Json | None = None) -> None:
        """Put the chart's policies into force, and wait until they are."""
        for item in policies(values):
            self.make(POLICY, item)
        for item in rendering.kinds(rendering.render(values), BINDING.kind):
            self.make(BINDING, item)
        body = {"metadata": {"name": "probe", "labels": {"trainyard.dev/role": "training"}}}
        for path, probe in (
            ("/api/v1/namespaces/default/configmaps", body),
            ("/apis/batch/v1/namespaces/default/jobs", {**body, "spec": {"template": _POD}}),
            ("/apis/coordination.k8s.io/v1/namespaces/trainyard-locks/leases", body),
        ):
            # The API server takes new policies over after a moment.
            eventually(
                f"a refusal of {path}",
                lambda path=path, probe=probe: (
                    self.ask(ADMINISTRATOR, "POST", path, probe).status == 403
                ),
                within=20,
            )

    def _client(self, who: Who) -> client.ApiClient:
        if who not in self._clients:
            made = config.new_client_from_config(str(self.kubeconfig))
            made.set_default_header("Impersonate-User", who.user)
            if who.group:
                made.set_default_header("Impersonate-Group", who.group)
            self._clients[who] = made
        return self._clients[who]


_POD: Json = {
    "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "registry/any:1"}]}
}
