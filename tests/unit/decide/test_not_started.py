"""What keeps a pod from running, without what only kubelets and schedulers understand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.builders import POD
from trainyard.api.reasons import Reason
from trainyard.decide import not_started
from trainyard.decide.facts import StartFailure

IMAGE = "registry.example/trainer@sha256:" + "a" * 64
PULLED = (
    f'rpc error: code = Unknown desc = failed to pull and unpack image "{IMAGE}": failed to '
    f'resolve reference "{IMAGE}": failed to do request: Head '
    f'"https://registry.example/v2/trainer/manifests/sha256:{"a" * 64}": dial tcp: lookup '
    "registry.example: no such host"
)


@pytest.mark.parametrize(
    ("reason", "message", "said"),
    [
        ("ErrImagePull", PULLED, "dial tcp: lookup registry.example: no such host"),
        ("ErrImageNeverPull", "it is not present.", "it is not present"),
        ("InvalidImageName", "", "InvalidImageName"),
        ("ContainerCreating", "x", ""),
        ("", "", ""),
    ],
)
def test_an_image_is_missing_for_the_last_cause_in_the_chain(
    reason: str, message: str, said: str
) -> None:
    pod = replace(POD, image=IMAGE, waiting_reason=reason, waiting_message=message)
    assert not_started.image_missing(pod) == said


@pytest.mark.parametrize(
    ("target", "message", "said"),
    [
        (
            "gpu-2",
            "0/2 nodes are available: 1 Insufficient memory, 1 node(s) didn't satisfy plugin(s) "
            "[NodeAffinity]. preemption: 0/2 nodes are available: 2 Preemption is not helpful for "
            "scheduling",
            "Insufficient memory",
        ),
        (
            "gpu-2",
            "0/3 nodes are available: 1 node(s) had untolerated taint {key: x}, 2 node(s) didn't "
            "match Pod's node affinity/selector",
            "had untolerated taint {key: x}",
        ),
        (
            "gpu-2",
            "0/2 nodes are available: 2 node(s) didn't satisfy plugin(s) [NodeAffinity].",
            "2 node(s) didn't satisfy plugin(s) [NodeAffinity]",
        ),
        ("", "0/2 nodes are available: 1 a, 1 b. preemption: no", "1 a, 1 b"),
        ("", 'persistentvolumeclaim "x" not found', 'persistentvolumeclaim "x" not found'),
    ],
)
def test_a_pod_is_not_placed_for_what_its_own_node_lacks(
    target: str, message: str, said: str
) -> None:
    assert not_started.not_placed(replace(POD, target_node=target, unschedulable=message)) == said


def test_a_secret_without_a_key_is_told_from_a_runtime_that_fails() -> None:
    waits = replace(
        POD,
        waiting_reason="CreateContainerConfigError",
        waiting_message="couldn't find key AWS_SECRET_ACCESS_KEY in Secret demo/trainyard-store",
    )
    assert not_started.not_created(waits, None) == (
        Reason.STORE_SECRET_MISSING,
        "Secret trainyard-store in namespace demo cannot be used: couldn't find key "
        "AWS_SECRET_ACCESS_KEY in Secret demo/trainyard-store",
    )
    broken = replace(waits, waiting_reason="CreateContainerError", waiting_message="no device")
    assert not_started.not_created(broken, None) == (
        Reason.CONTAINER_NOT_CREATED,
        "the container cannot be made on node gpu-1: no device",
    )


def test_a_runtime_class_that_the_node_lacks_is_named() -> None:
    words = (
        "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to get sandbox "
        'runtime: no runtime for "nvidia" is configured'
    )
    found = not_started.not_created(
        replace(POD, waiting_reason="ContainerCreating"),
        StartFailure(Reason.CONTAINER_NOT_CREATED, words),
    )
    assert found is not None
    reason, message = found
    assert reason is Reason.CONTAINER_NOT_CREATED
    assert message.startswith("the pod cannot be set up on node gpu-1: ")
    assert message.endswith('no runtime for "nvidia" is configured')
    assert "rpc error" not in message


def test_what_is_only_slow_is_nothing() -> None:
    assert not_started.not_created(replace(POD, waiting_reason="ContainerCreating"), None) is None


def test_a_refusal_is_quoted_and_cut() -> None:
    assert not_started.refused("Error creating: exceeded quota.") == "exceeded quota"
    assert len(not_started.refused("x" * 5000)) == not_started.LONGEST
