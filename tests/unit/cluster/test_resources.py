"""URL paths of the resource types."""

from __future__ import annotations

import pytest

from trainyard.cluster.resources import (
    JOB,
    NODE,
    OWN_KINDS,
    POD,
    PROCESS,
    WATCHED,
    ResourceType,
)


@pytest.mark.parametrize(
    ("type_", "arguments", "path"),
    [
        (POD, (), "/api/v1/pods"),
        (POD, ("demo",), "/api/v1/namespaces/demo/pods"),
        (JOB, ("demo", "x"), "/apis/batch/v1/namespaces/demo/jobs/x"),
        (NODE, (None, "gpu-1"), "/api/v1/nodes/gpu-1"),
        (NODE, ("ignored", "gpu-1"), "/api/v1/nodes/gpu-1"),
        (
            PROCESS,
            ("demo", "x", "status"),
            "/apis/trainyard.dev/v1alpha1/namespaces/demo/trainingprocesses/x/status",
        ),
    ],
)
def test_path(type_: ResourceType, arguments: tuple[str | None, ...], path: str) -> None:
    assert type_.path(*arguments) == path


def test_all_kinds_of_ours_are_watched() -> None:
    assert set(OWN_KINDS) < set(WATCHED)
