"""Trainyard in the demo's cluster: namespaces, Secrets, the Helm release."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainyard_demo.errors import DemoError
from trainyard_demo.kubernetes import Kubernetes
from trainyard_demo.store import BUCKET
from trainyard_local.s3 import S3Account

SYSTEM = "trainyard-system"
"""Namespace of the operator."""
TEAM = "vision"
"""Namespace of the examples."""
RELEASE = "trainyard"
OPERATOR_SECRET = "trainyard-operator-store"  # noqa: S105 -- the name of a Secret
TEAM_SECRET = "trainyard-store"  # noqa: S105 -- the name of a Secret
PROGRESS_ADDRESS = "10.214.0.80"
"""The local cluster has no DNS, so trainers report to a fixed address of its service range."""
LOG_LINES = 40


@dataclass(frozen=True)
class Images:
    """What the release runs.

    Attributes
    ----------
    operator, trainer : str
        References with a tag, as the nodes know them.
    """

    operator: str
    trainer: str


def values(images: Images, account: S3Account) -> dict[str, Any]:
    """Values of the chart for the local cluster.

    Parameters
    ----------
    images : Images
        What to run; it is on the nodes already and can be pulled from nowhere.
    account : S3Account
        The store.
    """
    repository, _, tag = images.operator.rpartition(":")
    digest = hashlib.sha256(account.access_key.encode()).hexdigest()
    return {
        "image": {"repository": repository, "tag": tag, "pullPolicy": "Never"},
        "store": {
            "bucket": BUCKET,
            "endpointUrl": account.endpoint_url,
            "region": account.region,
            "existingSecret": OPERATOR_SECRET,
        },
        "trainer": {"image": images.trainer, "imagePullPolicy": "Never"},
        "service": {"clusterIP": PROGRESS_ADDRESS},
        # A pod reads its Secret once: another account is another pod.
        "podAnnotations": {"checksum/account": digest},
    }


def objects(account: S3Account) -> list[dict[str, Any]]:
    """Namespaces and Secrets.

    Parameters
    ----------
    account : S3Account
        The store; operator and team use the same account here. On a cluster that teams share, each
        has its own, limited to its prefix.
    """
    made: list[dict[str, Any]] = [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": name,
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
            },
        }
        for name in (SYSTEM, TEAM)
    ]
    for namespace, name in ((SYSTEM, OPERATOR_SECRET), (TEAM, TEAM_SECRET)):
        made.append(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": namespace},
                "stringData": {
                    "AWS_ACCESS_KEY_ID": account.access_key,
                    "AWS_SECRET_ACCESS_KEY": account.secret_key,
                },
            }
        )
    return made


def install(kubernetes: Kubernetes, chart: Path, images: Images, account: S3Account) -> None:
    """Install or upgrade the operator, and wait until it is ready.

    Parameters
    ----------
    kubernetes : Kubernetes
        The cluster.
    chart : Path
        Folder of the chart.
    images : Images
        What to run.
    account : S3Account
        The store.

    Raises
    ------
    DemoError
        If it does not become ready; the message ends with what is known of it.
    """
    kubernetes.apply(*objects(account))
    try:
        kubernetes.install(
            *("upgrade", "--install", RELEASE, str(chart), "--namespace", SYSTEM),
            *("--values", "-", "--wait", "--timeout", "3m"),
            stdin=json.dumps(values(images, account)),
        )
    except DemoError as error:
        pods = kubernetes.attempt("describe", "pods", "--namespace", SYSTEM)
        log = kubernetes.attempt(
            "logs", f"deployment/{RELEASE}", "--namespace", SYSTEM, f"--tail={LOG_LINES}"
        )
        raise DemoError(f"{error}\n\n{pods}\n\n{log}") from None
