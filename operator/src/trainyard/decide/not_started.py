"""Why a pod does not run yet: the words of kubelet, scheduler and API server, cut short."""

from __future__ import annotations

import re

from trainyard.api.meta import STORE_SECRET
from trainyard.api.reasons import Reason
from trainyard.decide.facts import PodFacts, StartFailure

LONGEST = 300
"""Characters of somebody else's words that are quoted."""

_IMAGE_MISSING = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "ImageInspectError",
        "SignatureValidationFailed",
    }
)
_NOT_CREATED = frozenset(
    {
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "PostStartHookError",
    }
)
_RPC = re.compile(r"rpc error: code = \w+ desc = ")
_REQUEST = re.compile(r'failed to do request: Head "[^"]*": ')
_AVAILABLE = re.compile(r"^\d+/\d+ nodes are available: ")
_PREEMPTION = re.compile(r"[.,]? *preemption: .*", re.DOTALL)
_OTHER_NODES = re.compile(r"NodeAffinity|node affinity/selector")
"""What the scheduler says of the nodes that a pod is not for."""
_COUNT = re.compile(r"^\d+ (?:node\(s\) )?")


def image_missing(pod: PodFacts) -> str:
    """Why its image cannot be had on the node; empty if that is not what it waits for."""
    if pod.waiting_reason not in _IMAGE_MISSING:
        return ""
    said = _RPC.sub("", pod.waiting_message)
    # Each layer of the runtime repeats the image's name before it says what happened.
    last = said.rpartition(f'{pod.image}": ')[2] if pod.image else said
    return _quoted(_REQUEST.sub("", last)) or pod.waiting_reason


def not_created(pod: PodFacts, failure: StartFailure | None) -> tuple[Reason, str] | None:
    """What keeps the pod's container from being made, in the kubelet's words.

    Parameters
    ----------
    failure
        What the kubelet's last event says.
    """
    if pod.waiting_reason in _NOT_CREATED:
        said = _quoted(_RPC.sub("", pod.waiting_message))
        if pod.waiting_reason == "CreateContainerConfigError" and STORE_SECRET in said:
            return (
                Reason.STORE_SECRET_MISSING,
                f"Secret {STORE_SECRET} in namespace {pod.namespace} cannot be used: {said}",
            )
        return (
            Reason.CONTAINER_NOT_CREATED,
            f"the container cannot be made on node {pod.node}: {said}",
        )
    if failure is None:
        return None
    said = _quoted(_RPC.sub("", failure.message))
    if failure.reason is Reason.VOLUME_NOT_MOUNTED:
        return failure.reason, f"a volume cannot be mounted on node {pod.node}: {said}"
    return failure.reason, f"the pod cannot be set up on node {pod.node}: {said}"


def not_placed(pod: PodFacts) -> str:
    """Why the scheduler places a pod nowhere, without what it says of nodes that do not count."""
    said = _AVAILABLE.sub("", _PREEMPTION.sub("", pod.unschedulable))
    if not pod.target_node:
        return _quoted(said)
    items = [item for item in said.split(", ") if not _OTHER_NODES.search(item)]
    return _quoted(", ".join(_COUNT.sub("", item) for item in items) or said)


def refused(message: str) -> str:
    """The API server's words about a pod that it did not let the Job controller make."""
    return _quoted(message.removeprefix("Error creating: "))


def _quoted(text: str) -> str:
    return text[:LONGEST].rstrip(". ")
