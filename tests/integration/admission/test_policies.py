"""Who may make and change what says that a node is in use, and who may not.

Every row is a request to a real API server, under the name and with the rights of whoever makes
it in a cluster. All of them are dry runs, so that no row changes what another one finds.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from policies import (
    ACCOUNT,
    ADMINISTRATOR,
    ALL_CONTROLLERS,
    BINDING,
    KUBELET,
    NAMESPACE,
    OPERATOR,
    POLICY,
    REPOSITORY,
    SCHEDULER,
    Server,
    Who,
    controller,
    policies,
)
from support.waiting import eventually

from trainyard.api.meta import FINALIZER_EVIDENCE, LABEL_ROLE, Json
from trainyard.cluster.resources import CONFIG_MAP, JOB, LEASE, LOCK_NAMESPACE, POD
from trainyard_local.controlplane import ControlPlane

TEAM = "team"
JOB_CONTROLLER = controller("job-controller")
COLLECTOR = controller("generic-garbage-collector")
MADE, CONFIG = yaml.safe_load_all(
    (REPOSITORY / "tests/unit/cluster/golden/training-cpu.yaml").read_text()
)
"""A Job and its ConfigMap as the operator makes them."""
RUN = str(MADE["metadata"]["name"])
CREATE_PROCESS = "create a TrainingProcess"
ONLY_OPERATOR = "only the Trainyard operator makes"
FINALIZER = "only the Trainyard operator takes the finalizer trainyard.dev/evidence off a pod"
LOCK = "only the Trainyard operator writes and deletes them"


def ours() -> Json:
    """The Job without its owner, which is not there."""
    job = copy.deepcopy(MADE)
    job["metadata"] = {**job["metadata"], "namespace": TEAM}
    del job["metadata"]["ownerReferences"]
    return job


def pod_of(job: Json, name: str) -> Json:
    """The pod that the Job controller makes of a Job."""
    template = copy.deepcopy(job["spec"]["template"])
    owner = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": job["metadata"]["name"],
        "uid": job["metadata"].get("uid", "11111111-2222-3333-4444-555555555555"),
        "controller": True,
        "blockOwnerDeletion": False,
    }
    finalizers = ["batch.kubernetes.io/job-tracking", FINALIZER_EVIDENCE]
    meta = {**template["metadata"], "name": name, "namespace": TEAM}
    return {**template, "metadata": {**meta, "ownerReferences": [owner], "finalizers": finalizers}}


def unlabelled(body: Json) -> Json:
    """Somebody's own object of the same kind."""
    body = copy.deepcopy(body)
    body["metadata"]["labels"] = {"app": "own"}
    if "template" in body.get("spec", {}):
        body["spec"]["template"]["metadata"]["labels"] = {"app": "own"}
    return body


def named(body: Json, name: str) -> Json:
    """The same under another name, not yet created."""
    body = copy.deepcopy(body)
    body["metadata"] = {
        key: value
        for key, value in body["metadata"].items()
        if key in ("labels", "annotations", "ownerReferences", "finalizers", "namespace")
    }
    body["metadata"]["name"] = name
    body.pop("status", None)
    return body


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An API server with the policies, a lock, and a run bound to a node. No controllers: nothing
    moves but by the rows."""
    with ControlPlane(tmp_path_factory.mktemp("policies")) as plane:
        made = Server(plane.kubeconfig)
        for name in (TEAM, "restricted", LOCK_NAMESPACE):
            body: Json = {"metadata": {"name": name}}
            if name == "restricted":
                level = {"pod-security.kubernetes.io/enforce": "restricted"}
                body["metadata"]["labels"] = level
            made.make(NAMESPACE, body)
            made.make(ACCOUNT, {"metadata": {"name": "default"}}, name)
        job = made.make(JOB, ours(), TEAM)
        made.make(JOB, named(unlabelled(ours()), "own"), TEAM)
        made.make(POD, pod_of(job, RUN), TEAM)
        made.make(POD, named(unlabelled(pod_of(job, RUN)), "own"), TEAM)
        for name in (RUN, "own"):
            target = {"apiVersion": "v1", "kind": "Node", "name": "gpu-1"}
            binding = {"metadata": {"name": name}, "target": target}
            path = f"{POD.path(TEAM, name)}/binding"
            answer = made.ask(SCHEDULER, "POST", path, binding, keep=True)
            assert answer.taken, answer.message
        config_map = copy.deepcopy(CONFIG)
        config_map["metadata"]["namespace"] = TEAM
        config_map["data"] = {"run.yaml": "x"}
        config_map["metadata"].pop("ownerReferences", None)
        made.make(CONFIG_MAP, config_map, TEAM)
        made.make(LEASE, {"metadata": {"name": "node-1"}}, LOCK_NAMESPACE)
        made.make(LEASE, {"metadata": {"name": "own"}}, TEAM)
        made.install()
        yield made


@dataclass(frozen=True)
class Row:
    """A request and what becomes of it.

    Attributes
    ----------
    message
        Part of the refusal; None: it is taken.
    """

    sentence: str
    who: Who
    method: str
    path: str
    body: Json | None = None
    message: str | None = None


def job(name: str = RUN, *, status: bool = False) -> str:
    return JOB.path(TEAM, name, "status" if status else None)


def pod(name: str = RUN, sub: str | None = None) -> str:
    return POD.path(TEAM, name, sub)


def label(value: str | None) -> Json:
    return {"metadata": {"labels": {LABEL_ROLE: value}}}


def finalizers(*names: str) -> Json:
    return {"metadata": {"finalizers": list(names)}}


def annotation(name: str) -> Json:
    return {"metadata": {"annotations": {name: "x"}}}


NEW_JOB = named(ours(), "tp-111111112222-2")
NEW_POD = named(pod_of(ours(), "new"), "new")
SNEAKY = named(unlabelled(ours()), "sneaky")
SNEAKY["spec"]["template"]["metadata"]["labels"] = {LABEL_ROLE: "training"}
FOREIGN = named(pod_of(ours(), "new"), "new")
FOREIGN["metadata"]["ownerReferences"][0] |= {"apiVersion": "apps/v1", "kind": "ReplicaSet"}
READY = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
FORGED = {"status": {"phase": "Succeeded"}}
LABELLING = {
    "metadata": {"name": "own", "labels": {LABEL_ROLE: "training"}},
    "target": {"kind": "Node", "name": "gpu-1"},
}
DEBUG = {"spec": {"ephemeralContainers": [{"name": "debug", "image": "registry/any:1"}]}}
START = {"spec": {"suspend": False}}
LEASES = LEASE.path(LOCK_NAMESPACE)

ROWS = [
    # Jobs
    Row("the operator makes a Job", OPERATOR, "POST", JOB.path(TEAM), NEW_JOB),
    Row("the operator starts it", OPERATOR, "PATCH", job(), START),
    Row("the operator deletes it", OPERATOR, "DELETE", job()),
    Row("a user makes such a Job", ADMINISTRATOR, "POST", JOB.path(TEAM), NEW_JOB, CREATE_PROCESS),
    Row("a user starts it by hand", ADMINISTRATOR, "PATCH", job(), START, "set its spec.suspend"),
    Row("a user takes the label off", ADMINISTRATOR, "PATCH", job(), label(None), ONLY_OPERATOR),
    Row(
        "a user takes the label off a Job and its pods",
        ADMINISTRATOR,
        "PATCH",
        job(),
        {**label(None), "spec": {"template": label(None)}},
        ONLY_OPERATOR,
    ),
    Row("a user gives it to a Job", ADMINISTRATOR, "PATCH", job("own"), label("training"), "only"),
    Row(
        "a user makes a Job whose pods would carry the label",
        ADMINISTRATOR,
        "POST",
        JOB.path(TEAM),
        SNEAKY,
        CREATE_PROCESS,
    ),
    Row(
        "a user gives it to the pods of a suspended Job",
        ADMINISTRATOR,
        "PATCH",
        job("own"),
        {"spec": {"template": label("training")}},
        CREATE_PROCESS,
    ),
    Row(
        "a CronJob makes such a Job",
        controller("cronjob-controller"),
        "POST",
        JOB.path(TEAM),
        NEW_JOB,
        CREATE_PROCESS,
    ),
    Row(
        "a user changes an annotation of ours on a Job",
        ADMINISTRATOR,
        "PATCH",
        job(),
        annotation("trainyard.dev/target-node"),
        ONLY_OPERATOR,
    ),
    Row("a user notes something on a Job", ADMINISTRATOR, "PATCH", job(), annotation("note")),
    Row("a user deletes a Job", ADMINISTRATOR, "DELETE", job()),
    Row(
        "a user writes the status of a Job",
        ADMINISTRATOR,
        "PATCH",
        job(status=True),
        {"status": {"active": 1}},
        ONLY_OPERATOR,
    ),
    Row("the Job controller counts", JOB_CONTROLLER, "PUT", job(status=True), {"active": 1}),
    Row("the only controller counts", ALL_CONTROLLERS, "PUT", job(status=True), {"active": 1}),
    Row("the collector orphans", COLLECTOR, "PATCH", job(), finalizers("orphan")),
    # Pods
    Row("the Job controller makes a pod", JOB_CONTROLLER, "POST", POD.path(TEAM), NEW_POD),
    Row("the only controller makes a pod", ALL_CONTROLLERS, "POST", POD.path(TEAM), NEW_POD),
    Row("a user makes a pod", ADMINISTRATOR, "POST", POD.path(TEAM), NEW_POD, CREATE_PROCESS),
    Row(
        "a ReplicaSet makes a pod",
        controller("replicaset-controller"),
        "POST",
        POD.path(TEAM),
        FOREIGN,
        CREATE_PROCESS,
    ),
    Row(
        "the only controller makes a pod for a ReplicaSet",
        ALL_CONTROLLERS,
        "POST",
        POD.path(TEAM),
        FOREIGN,
        CREATE_PROCESS,
    ),
    Row("a user takes the label off", ADMINISTRATOR, "PATCH", pod(), label(None), ONLY_OPERATOR),
    Row("a user gives it", ADMINISTRATOR, "PATCH", pod("own"), label("training"), ONLY_OPERATOR),
    Row(
        "a binding gives it",
        ADMINISTRATOR,
        "POST",
        pod("own", "binding"),
        LABELLING,
        ONLY_OPERATOR,
    ),
    Row(
        "a user frees a pod from its Job",
        ADMINISTRATOR,
        "PATCH",
        pod(),
        {"metadata": {"labels": {"batch.kubernetes.io/controller-uid": "x"}}},
        ONLY_OPERATOR,
    ),
    Row(
        "a user claims that a pod ended",
        ADMINISTRATOR,
        "PATCH",
        pod(sub="status"),
        FORGED,
        ONLY_OPERATOR,
    ),
    Row(
        "a user puts a container in",
        ADMINISTRATOR,
        "PATCH",
        pod(sub="ephemeralcontainers"),
        DEBUG,
        ONLY_OPERATOR,
    ),
    Row(
        "a user changes our annotation",
        ADMINISTRATOR,
        "PATCH",
        pod(),
        annotation("trainyard.dev/target-node"),
        ONLY_OPERATOR,
    ),
    Row(
        "a network plugin notes an address",
        ADMINISTRATOR,
        "PATCH",
        pod(sub="status"),
        annotation("cni.projectcalico.org/podIP"),
    ),
    Row("a user deletes a pod", ADMINISTRATOR, "DELETE", pod()),
    Row(
        "a user evicts a pod",
        ADMINISTRATOR,
        "POST",
        pod(sub="eviction"),
        {"metadata": {"name": RUN}},
    ),
    Row("its kubelet reports", KUBELET, "PATCH", pod(sub="status"), READY),
    Row("its kubelet deletes it", KUBELET, "DELETE", pod()),
    Row("the scheduler reports", SCHEDULER, "PATCH", pod(sub="status"), READY),
    *(
        Row(f"the {name} reports", controller(name), "PATCH", pod(sub="status"), READY)
        for name in ("disruption-controller", "node-controller", "pod-garbage-collector")
    ),
    Row(
        "the collector orphans", COLLECTOR, "PATCH", pod(), {"metadata": {"ownerReferences": None}}
    ),
    Row("the operator lets go", OPERATOR, "PATCH", pod(), finalizers("batch.kubernetes.io/x")),
    Row(
        "the Job controller lets go",
        JOB_CONTROLLER,
        "PATCH",
        pod(),
        finalizers(FINALIZER_EVIDENCE),
    ),
    Row("a user lets go", ADMINISTRATOR, "PATCH", pod(), finalizers(), FINALIZER),
    Row("the collector takes all finalizers", COLLECTOR, "PATCH", pod(), finalizers(), FINALIZER),
    # ConfigMaps
    Row(
        "a user makes a ConfigMap",
        ADMINISTRATOR,
        "POST",
        CONFIG_MAP.path(TEAM),
        {"metadata": {"name": "new", "labels": {LABEL_ROLE: "training"}}},
        CREATE_PROCESS,
    ),
    Row(
        "the operator makes a ConfigMap",
        OPERATOR,
        "POST",
        CONFIG_MAP.path(TEAM),
        {"metadata": {"name": "new", "labels": {LABEL_ROLE: "training"}}},
    ),
    Row(
        "a user takes the label off a ConfigMap",
        ADMINISTRATOR,
        "PATCH",
        CONFIG_MAP.path(TEAM, RUN),
        label(None),
        ONLY_OPERATOR,
    ),
    # Locks
    Row("the operator takes a lock", OPERATOR, "POST", LEASES, {"metadata": {"name": "node-2"}}),
    Row("the operator gives it back", OPERATOR, "DELETE", f"{LEASES}/node-1"),
    Row(
        "a user takes a lock", ADMINISTRATOR, "POST", LEASES, {"metadata": {"name": "node-2"}}, LOCK
    ),
    Row(
        "a user takes one over",
        ADMINISTRATOR,
        "PATCH",
        f"{LEASES}/node-1",
        {"spec": {"holderIdentity": "me"}},
        LOCK,
    ),
    Row("a user deletes a lock", ADMINISTRATOR, "DELETE", f"{LEASES}/node-1", None, LOCK),
    Row("a user deletes all locks", ADMINISTRATOR, "DELETE", LEASES, None, LOCK),
    Row(
        "a user deletes their namespace",
        ADMINISTRATOR,
        "DELETE",
        NAMESPACE.path(None, LOCK_NAMESPACE),
        None,
        "trainyard nodes release NODE",
    ),
    Row("a namespace that goes takes them", controller("namespace-controller"), "DELETE", LEASES),
    # What is not ours
    Row("somebody's Job starts", ADMINISTRATOR, "PATCH", job("own"), START),
    Row(
        "somebody's Job is made",
        ADMINISTRATOR,
        "POST",
        JOB.path(TEAM),
        named(unlabelled(ours()), "x"),
    ),
    Row(
        "somebody's pod is made",
        ADMINISTRATOR,
        "POST",
        POD.path(TEAM),
        named(unlabelled(pod_of(ours(), "x")), "x"),
    ),
    Row(
        "somebody's pod with a finalizer of ours loses it",
        ADMINISTRATOR,
        "PATCH",
        pod("own"),
        finalizers(),
    ),
    Row("somebody's pod reports", ADMINISTRATOR, "PATCH", pod("own", "status"), READY),
    Row("somebody's Lease goes", ADMINISTRATOR, "DELETE", LEASE.path(TEAM, "own")),
    Row("somebody's namespace goes", ADMINISTRATOR, "DELETE", NAMESPACE.path(None, TEAM)),
    Row(
        "a snapshot's Job is made",
        ADMINISTRATOR,
        "POST",
        JOB.path(TEAM),
        {
            **named(unlabelled(ours()), "x"),
            "metadata": {"name": "x", "labels": {LABEL_ROLE: "snapshot"}},
        },
    ),
]


@pytest.mark.parametrize(
    "row", ROWS, ids=[f"{row.method} {row.path.split('/')[-1]}: {row.sentence}" for row in ROWS]
)
def test_each_may_do_what_is_theirs(server: Server, row: Row) -> None:
    body: Any = row.body
    if row.method == "PUT":
        body = server.ask(ADMINISTRATOR, "GET", row.path).body | {"status": body}
    answer = server.ask(row.who, row.method, row.path, body)
    if row.message is None:
        assert answer.taken, answer.message
    else:
        assert answer.status == 403, answer
        assert "ValidatingAdmissionPolicy" in answer.message
        assert row.message in answer.message


def test_pods_of_trainings_are_taken_where_pod_security_is_restricted(server: Server) -> None:
    answer = server.ask(JOB_CONTROLLER, "POST", POD.path("restricted"), in_(NEW_POD, "restricted"))
    assert answer.taken, answer.message
    loose = in_(NEW_POD, "restricted")
    loose["spec"]["securityContext"]["runAsNonRoot"] = False
    answer = server.ask(JOB_CONTROLLER, "POST", POD.path("restricted"), loose)
    assert "violates PodSecurity" in answer.message


def in_(body: Json, namespace: str) -> Json:
    """The same in another namespace."""
    body = copy.deepcopy(body)
    body["metadata"]["namespace"] = namespace
    return body


def test_every_controller_that_kubernetes_lets_report_on_pods_may_report(server: Server) -> None:
    """The names in the policy against those that this API server gives rights to."""
    listed = server.ask(ADMINISTRATOR, "GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles")
    prefix = "system:controller:"
    reporters = {
        role["metadata"]["name"].removeprefix(prefix)
        for role in listed.body["items"]
        for rule in role.get("rules") or []
        if role["metadata"]["name"].startswith(prefix)
        and {"pods/status"} & set(rule.get("resources", ()))
        and {"patch", "update"} & set(rule["verbs"])
    }
    assert {"node-controller", "pod-garbage-collector", "disruption-controller"} <= reporters
    for name in sorted(reporters):
        answer = server.ask(controller(name), "PATCH", pod(sub="status"), READY)
        assert answer.taken, f"{name}: {answer.message}"


def test_expressions_fit_the_types_of_all_their_resources(control_plane: ControlPlane) -> None:
    """A controller of Kubernetes checks them; a policy without a binding acts on nothing."""
    server = Server(control_plane.kubeconfig)
    for policy in policies():
        made = server.make(POLICY, policy)
        path = POLICY.path(None, made["metadata"]["name"])

        def checked(path: str = path) -> Json | None:
            found = server.ask(ADMINISTRATOR, "GET", path).body.get("status") or {}
            return found if found.get("observedGeneration") else None

        status = eventually(f"a check of {path}", checked)
        warnings = status["typeChecking"].get("expressionWarnings", [])
        assert server.ask(ADMINISTRATOR, "DELETE", path, keep=True).taken
        assert warnings == []


def test_administrator_without_an_operator_lets_a_pod_go_by_deleting_one_binding(
    server: Server,
) -> None:
    """Last, for it takes a policy away."""
    path = BINDING.path(None, "trainyard-pods")
    assert not server.ask(ADMINISTRATOR, "PATCH", pod(), finalizers()).taken
    assert server.ask(ADMINISTRATOR, "DELETE", path, keep=True).taken
    eventually(
        "the pod being let go",
        lambda: server.ask(ADMINISTRATOR, "PATCH", pod(), finalizers()).taken,
    )
    for row in ROWS:
        if row.path.startswith(LEASES) and row.message:
            assert not server.ask(row.who, row.method, row.path, row.body).taken
