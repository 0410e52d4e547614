"""Names of the objects that the operator makes. They follow from UIDs, so they are never reused."""

from __future__ import annotations

import hashlib

from trainyard.api.meta import LABEL_ROLE, ROLE_SNAPSHOT, ROLE_TRAINING

TRAINING_SELECTOR = f"{LABEL_ROLE}={ROLE_TRAINING}"
OURS_SELECTOR = f"{LABEL_ROLE} in ({ROLE_TRAINING},{ROLE_SNAPSHOT})"


def short(uid: str) -> str:
    """The first 12 hexadecimal digits of a UID."""
    return uid.replace("-", "")[:12]


def training_job(process_uid: str, attempt: int) -> str:
    """Name of the Job, and of the ConfigMap with run.yaml, of an attempt."""
    return f"tp-{short(process_uid)}-{attempt}"


def snapshot_job(dataset_uid: str) -> str:
    """Name of the Job, and of its ConfigMap, that makes a dataset's snapshot."""
    return f"tds-{short(dataset_uid)}"


def node_lease(node: str) -> str:
    """Name of a node's lock: a hash, because node names may be longer than Lease names."""
    return f"node-{hashlib.sha256(node.encode()).hexdigest()[:40]}"
