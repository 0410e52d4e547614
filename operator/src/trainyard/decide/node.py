"""Whether a training may be placed on a node now."""

from __future__ import annotations

from dataclasses import dataclass

from trainyard.api.meta import LABEL_TARGET
from trainyard.api.reasons import Reason
from trainyard.decide.facts import DecisionSettings, NodeFacts, Taint


@dataclass(frozen=True)
class NodeFinding:
    """Why a node cannot be used now."""

    reason: Reason
    message: str
    bounded: bool = False
    """The wait ends after `gpu_wait_seconds`: it may never get better by itself."""


_BY_NODE_CONTROLLER = ("node.kubernetes.io/unschedulable",)


def check_node(
    name: str, node: NodeFacts | None, gpus: int, settings: DecisionSettings
) -> NodeFinding | None:
    """The first thing that keeps a training off the node, or None.

    Parameters
    ----------
    name
        Name of the target node.
    node
        The node, or None if there is none of that name.
    gpus
        GPUs that the training asks for.
    """
    if node is None:
        return NodeFinding(
            Reason.NODE_NOT_FOUND,
            f"waiting for node {name}, which does not exist: kubectl get nodes lists those that do",
        )
    if not node.enabled:
        return NodeFinding(
            Reason.NODE_NOT_ENABLED,
            f"waiting for node {name} to be enabled for trainings: kubectl label node {name} "
            f"{LABEL_TARGET}=true",
        )
    if node.cordoned:
        return NodeFinding(
            Reason.NODE_CORDONED,
            f"waiting for node {name}, which is cordoned: kubectl uncordon {name}",
        )
    if not node.ready:
        return NodeFinding(
            Reason.NODE_NOT_READY,
            f"waiting for node {name}, which is not Ready: see kubectl describe node {name}",
        )
    blocking = next((taint for taint in node.taints if not tolerated(taint, settings)), None)
    if blocking is not None:
        value = f"={blocking.value}" if blocking.value else ""
        return NodeFinding(
            Reason.NODE_TAINTED,
            f"waiting for node {name}, which has the taint {blocking.key}{value}:"
            f"{blocking.effect}: remove it, or tolerate it in the settings (trainer.tolerations)",
        )
    have = node.allocatable.get(settings.gpu_resource_name, 0)
    if have < gpus:
        return NodeFinding(
            Reason.INSUFFICIENT_GPUS,
            f"node {name} has {have} {settings.gpu_resource_name} and the run asks for {gpus}: "
            "install the device plugin, use another node, or set resources.gpus: 0 to train on "
            "the CPU",
            bounded=True,
        )
    return None


def tolerated(taint: Taint, settings: DecisionSettings) -> bool:
    """Whether training pods tolerate the taint. PreferNoSchedule keeps nothing away."""
    if taint.effect == "PreferNoSchedule" or taint.key in _BY_NODE_CONTROLLER:
        return True
    pairs = settings.tolerated_taints
    return any((key, effect) in pairs for key in (taint.key, "*") for effect in (taint.effect, ""))
