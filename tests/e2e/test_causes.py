"""Each cause of failure, provoked for real on two real nodes and read back with kubectl."""

from __future__ import annotations

import json
import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e import manifests
from tests.e2e.causes import Cause, no_secret_is_shown, waits
from tests.e2e.conftest import CHART, System, Team
from tests.e2e.steps import apply, phase, runs, training_pod, until
from trainyard.api.reasons import Reason
from trainyard_demo.install import RELEASE, SYSTEM

pytestmark = pytest.mark.timeout(900)

NO_IMAGE = f"registry.invalid/trainyard/trainer@sha256:{'a' * 64}"
LONG = {"hyperparameters": {"epochs": 300}}
STORE = "http://[0-9.:]+"


@pytest.fixture(scope="module", autouse=True)
def hasty(system: System) -> Iterator[None]:
    """An operator that gives up soon, and allows an image that nobody has. As it was afterwards."""
    values = {
        "podStartSeconds": "15",
        "trainer.gracePeriodSeconds": "8",
        "trainer.allowedImages": f"{{{NO_IMAGE}}}",
        # Never would not even ask the registry.
        "trainer.imagePullPolicy": "IfNotPresent",
    }
    system.kubernetes.install(
        *("upgrade", RELEASE, str(CHART), "--namespace", SYSTEM, "--reuse-values", "--wait"),
        *("--timeout", "3m"),
        *(word for name, value in values.items() for word in ("--set", f"{name}={value}")),
    )
    yield
    system.install()


@contextmanager
def pod_changed(team: Team, name: str, operation: str, path: str, value: str) -> Iterator[None]:
    """The pods of a process are admitted with a change, as a cluster's own policies may make it.

    Parameters
    ----------
    value
        In CEL.
    """
    meta = {"name": f"{name}-{team.namespace}"}
    patch = f'[JSONPatch{{op: "{operation}", path: "{path}", value: {value}}}]'
    label = "trainyard.dev/process"
    pods = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": ["pods"],
    }
    its_pods = f"object.metadata.?labels['{label}'].orValue('') == '{name}'"
    policy = {
        "reinvocationPolicy": "Never",
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [pods]},
        "matchConditions": [{"name": "its-pods", "expression": its_pods}],
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": patch}}],
    }
    here = {"matchLabels": {"kubernetes.io/metadata.name": team.namespace}}
    binding = {"policyName": meta["name"], "matchResources": {"namespaceSelector": here}}
    kind, version = "MutatingAdmissionPolicy", "admissionregistration.k8s.io/v1"
    kubernetes = team.system.kubernetes
    kubernetes.apply(
        {"apiVersion": version, "kind": kind, "metadata": meta, "spec": policy},
        {"apiVersion": version, "kind": f"{kind}Binding", "metadata": meta, "spec": binding},
    )
    try:
        yield
    finally:
        kubernetes.run("delete", f"{kind}Binding,{kind}", meta["name"])


@pytest.fixture
def small_disk(team: Team) -> Iterator[str]:
    """Name of a process whose pod gets a real file system of 12 MiB to write to."""
    disk = '{"medium": "Memory", "sizeLimit": "12Mi"}'
    with pod_changed(team, "full-disk", "replace", "/spec/volumes/1/emptyDir", disk):
        yield "full-disk"


def process(name: str, node: str, overrides: Any = None, **spec: Any) -> dict[str, Any]:
    made = manifests.process(name, "digits", "digit", node, overrides)
    return {**made, "spec": {**made["spec"], **spec}}


def send_signal(team: Team, name: str, number: signal.Signals) -> None:
    """To all processes of a run's container, from the machine below Kubernetes."""
    pod = training_pod(team, name)
    for node in team.system.cluster.nodes:
        for container in node.containers():
            if container.pod == pod and container.running and not container.holds_pod:
                for pid in node.live_containers()[container.identity]:
                    os.kill(pid, number)
                return
    pytest.fail(f"no container of {name} runs")


def data_ready(team: Team) -> None:
    apply(team, *manifests.digits())
    team.kubectl("wait", "--for=condition=Ready", "tds", "--all", "--timeout=240s")


def wrong_key(team: Team) -> str:
    """Give the namespace a key that the store does not know."""
    canary = f"canary-{secrets.token_hex(8)}"
    patch = {"stringData": {"AWS_SECRET_ACCESS_KEY": canary}}
    team.kubectl("patch", "secret", "trainyard-store", "--patch", json.dumps(patch))
    return canary


def test_memory_disk_image_hanging_and_credentials_are_told_with_what_to_do(
    team: Team, small_disk: str
) -> None:
    data_ready(team)
    (template,) = (item for item in manifests.digits() if item["kind"] == "TrainingTemplate")
    template["metadata"]["name"] = "no-image"
    template["spec"]["image"] = NO_IMAGE
    apply(
        team,
        template,
        process("hanging", "gpu-2", LONG, stallTimeoutSeconds=20),
        process("memory", "gpu-1", {"resources": {"memory": "320Mi"}}),
    )
    apply(team, process(small_disk, "gpu-1", LONG))
    apply(team, process("image", "gpu-1", template="no-image"))
    runs(team, "hanging")
    send_signal(team, "hanging", signal.SIGSTOP)

    memory = Cause(Reason.OUT_OF_MEMORY, "the container was killed for its memory limit of 320Mi")
    memory.check(team, "memory")
    full = r"no room is left on the disk under /tmp/work"
    disk = Cause(Reason.DISK_FULL, full, log=f"ERROR DiskFull: {full}")
    disk.check(team, small_disk)
    image = Cause(
        Reason.IMAGE_PULL_FAILED,
        rf"image {NO_IMAGE} cannot be had on node gpu-1: .*registry\.invalid.*",
    )
    image.check(team, "image")
    hanging = Cause(
        Reason.STALLED,
        "the trainer reported nothing for the 20s of stallTimeoutSeconds",
        "see the end of its log; if reports cannot reach the operator, mend the network or leave "
        "the field out",
        log="INFO epoch 1 of 300",
    )
    hanging.check(team, "hanging")

    canary = wrong_key(team)
    apply(team, process("credentials", "gpu-2"))
    credentials = Cause(
        Reason.STORE_ACCESS_DENIED,
        rf"{STORE} refuses access to s3://trainyard/\S+ \(SignatureDoesNotMatch\)",
        log="ERROR StoreAccessDenied",
    )
    credentials.check(team, "credentials")
    no_secret_is_shown(team, canary)


@pytest.mark.full
def test_clocks_and_retries_are_told_with_what_to_do(team: Team) -> None:
    data_ready(team)
    apply(
        team,
        process("active", "gpu-1", LONG, activeDeadlineSeconds=25),
        process("memory", "gpu-2", {"resources": {"memory": "300Mi"}}, retry={"limit": 1}),
    )
    until("it holds the node", lambda: phase(team, "active") in ("Starting", "Running"))
    apply(team, process("late", "gpu-1", startDeadlineSeconds=5))
    late = Cause(
        Reason.START_DEADLINE_EXCEEDED,
        rf"no attempt ran within the 5s of startDeadlineSeconds \(node gpu-1 is held by "
        rf"{team.namespace}/active.*\)",
    )
    late.check(team, "late")
    active = Cause(
        Reason.DEADLINE_EXCEEDED,
        "the attempts together took longer than the 25s of activeDeadlineSeconds",
        "create a new process with a longer deadline or fewer epochs",
        log="ERROR Stopped: stopped after epoch",
    )
    active.check(team, "active")
    again = Cause(
        Reason.RETRIES_EXHAUSTED,
        "attempt 2 failed too, and retry.limit is 1: OutOfMemory: the container was killed for its "
        "memory limit of 300Mi",
        Reason.OUT_OF_MEMORY.remedy,
    )
    again.check(team, "memory")


@pytest.mark.full
def test_what_people_and_nodes_do_to_a_trainer_is_told(team: Team) -> None:
    """Killed on its node; more disk than a limit of the namespace; a training that diverges."""
    data_ready(team)
    apply(team, *manifests.nuclei(), process("killed", "gpu-1", LONG))
    diverging = manifests.process(
        "diverging",
        "nuclei",
        "nucleus",
        "gpu-2",
        {
            "hyperparameters": {
                "optimizer": "SGD",
                "learningRate": 1.0,
                "momentum": 0.999,
                "weightDecay": 1.0,
                "warmupEpochs": 0,
                "epochs": 30,
                "extra": {"nbs": "1"},
            }
        },
    )
    apply(team, diverging)
    runs(team, "killed")
    send_signal(team, "killed", signal.SIGKILL)
    killed = Cause(
        Reason.INTERRUPTED,
        "the trainer was ended by SIGKILL, and not by Kubernetes",
        log="INFO epoch 1 of 300",
    )
    killed.check(team, "killed")
    limit = {
        "type": "Container",
        "default": {"ephemeral-storage": "5Mi"},
        "defaultRequest": {"ephemeral-storage": "1Mi"},
    }
    small = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "small"}}
    apply(team, {**small, "spec": {"limits": [limit]}})
    apply(team, process("over-limit", "gpu-1", LONG))
    diverged = Cause(
        Reason.LOSS_NOT_FINITE,
        r"the train loss became (NaN|infinite) in epoch \d+ at the learning rate \S+",
        "make hyperparameters.learningRate smaller or warmupEpochs longer",
        log="ERROR LossNotFinite",
    )
    diverged.check(team, "diverging", 240)
    over = Cause(
        Reason.DISK_LIMIT_EXCEEDED,
        "the kubelet of gpu-1 ended the pod: .*ephemeral.* 5Mi.*",
        log="INFO",
    )
    over.check(team, "over-limit", 240)


@pytest.mark.full
def test_a_store_that_is_silent_damaged_or_without_keys_is_told(team: Team) -> None:
    system = team.system
    data_ready(team)
    client = system.cluster.s3.client()
    shards = f"datasets/{team.namespace}/shards/"
    (first, *_) = client.list_objects_v2(Bucket="trainyard", Prefix=shards)["Contents"]
    whole = client.get_object(Bucket="trainyard", Key=first["Key"])["Body"].read()
    client.put_object(Bucket="trainyard", Key=first["Key"], Body=whole[:1000])
    apply(team, process("damaged", "gpu-1"))
    damaged = Cause(Reason.STORE_CONTENT_UNUSABLE, f"s3://trainyard/{first['Key']} .*", log="ERROR")
    damaged.check(team, "damaged")
    client.put_object(Bucket="trainyard", Key=first["Key"], Body=whole)

    remove = [{"op": "remove", "path": "/data/AWS_SECRET_ACCESS_KEY"}]
    kept = json.loads(team.kubectl("get", "secret", "trainyard-store", "-o", "json"))["data"]
    team.kubectl(
        *("patch", "secret", "trainyard-store", "--type=json", "--patch", json.dumps(remove))
    )
    apply(team, process("half-a-secret", "gpu-1"))
    half = Cause(
        Reason.STORE_SECRET_MISSING,
        f"Secret trainyard-store in namespace {team.namespace} cannot be used: couldn't find key "
        f"AWS_SECRET_ACCESS_KEY in Secret {team.namespace}/trainyard-store",
    )
    half.check(team, "half-a-secret")

    team.kubectl("delete", "secret", "trainyard-store")
    apply(team, process("no-secret", "gpu-2"))
    until("it waits", lambda: waits(team, "no-secret", "Validated")[0] == "StoreSecretMissing")
    _, sentence = waits(team, "no-secret", "Validated")
    assert Reason.STORE_SECRET_MISSING.remedy in sentence
    assert sentence in team.kubectl("describe", "tp", "no-secret")
    team.kubectl("delete", "tp", "no-secret")
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "trainyard-store"}}
    apply(team, {**secret, "data": kept})

    apply(team, process("no-store", "gpu-2", LONG))
    until("its trainer starts", lambda: phase(team, "no-store") == "Running")
    system.cluster.s3_server.stop()
    try:
        silent = Cause(
            Reason.STORE_UNAVAILABLE, rf"{STORE} cannot be reached \(\w+\) for s3://.*", log="ERROR"
        )
        silent.check(team, "no-store", 240)
    finally:
        system.cluster.s3_server.start()


@pytest.mark.full
def test_a_pod_that_the_cluster_or_the_node_does_not_take_is_told(team: Team) -> None:
    data_ready(team)
    small = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}}
    apply(team, {**small, "spec": {"hard": {"requests.memory": "6Gi"}}})
    nvidia = {"metadata": {"name": f"nvidia-{team.namespace}"}, "handler": "nvidia"}
    team.system.kubernetes.apply({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", **nvidia})
    name = nvidia["metadata"]["name"]
    with (
        pod_changed(team, "no-runtime", "add", "/spec/runtimeClassName", f'"{name}"'),
        pod_changed(team, "no-program", "add", "/spec/containers/0/command", '["/no/program"]'),
    ):
        apply(team, process("quota", "gpu-1", {"resources": {"memory": "9Gi"}}))
        apply(team, process("no-runtime", "gpu-2"), process("no-program", "gpu-2"))
        quota = Cause(
            Reason.POD_REFUSED,
            r'the pod was refused: pods "\S+" is forbidden: exceeded quota: small, .*',
        )
        quota.check(team, "quota")
        runtime = Cause(
            Reason.CONTAINER_NOT_CREATED,
            'the pod cannot be set up on node gpu-2: .*no runtime for "nvidia" is configured',
        )
        runtime.check(team, "no-runtime")
        program = Cause(
            Reason.CONTAINER_NOT_CREATED,
            "the container could not be started on node gpu-2: .*no such file or directory.*",
        )
        program.check(team, "no-program")
    team.kubectl("delete", "resourcequota", "small")
    apply(team, process("too-large", "gpu-1", {"resources": {"memory": "900Gi"}}))
    large = Cause(
        Reason.UNSCHEDULABLE, "the pod cannot be placed on node gpu-1: Insufficient memory"
    )
    large.check(team, "too-large")
    team.system.kubernetes.run("delete", "runtimeclass", name)
