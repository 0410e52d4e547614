"""Names of the objects that the operator makes."""

from __future__ import annotations

import re

from tests.unit.builders import JOB_NAME, UID
from trainyard.cluster import names

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def test_follow_from_the_uid_and_the_attempt() -> None:
    assert names.training_job(UID, 1) == JOB_NAME
    assert names.training_job(UID, 2) == "tp-111111112222-2"
    assert names.snapshot_job(UID) == "tds-111111112222"


def test_are_labels_however_long_the_input_is() -> None:
    long_node = "node-with-a-long-name." * 12
    for name in (
        names.training_job(UID, 100),
        names.snapshot_job(UID),
        names.node_lease(long_node),
    ):
        assert DNS_LABEL.fullmatch(name)
        assert len(name) <= 63


def test_locks_of_two_nodes_never_share_a_name() -> None:
    nodes = {f"gpu-{number}" for number in range(500)} | {"gpu.1", "gpu-1-"}
    assert len({names.node_lease(node) for node in nodes}) == len(nodes)


def test_selectors_name_the_label_of_our_pods() -> None:
    assert names.TRAINING_SELECTOR == "trainyard.dev/role=training"
    assert names.OURS_SELECTOR == "trainyard.dev/role in (training,snapshot)"
