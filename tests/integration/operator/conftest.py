"""The operator on a real control plane: its fixtures are shared with the fault tests."""

from support.fixtures import (
    checker,
    cluster,
    kubelet,
    operator,
    operator_of_session,
    programs,
    s3,
    store,
    world,
)

__all__ = [
    "checker",
    "cluster",
    "kubelet",
    "operator",
    "operator_of_session",
    "programs",
    "s3",
    "store",
    "world",
]
