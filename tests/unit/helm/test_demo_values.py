"""The values that the demo installs the chart with."""

from __future__ import annotations

import ipaddress

from rendering import one, render

from trainyard.operator.settings import parse_settings
from trainyard_demo.install import PROGRESS_ADDRESS, TEAM_SECRET, Images, objects, values
from trainyard_local.layout import SERVICES
from trainyard_local.s3 import S3Account

ACCOUNT = S3Account("http://10.213.0.1:7070", "the-key-name", "the-hidden-half")
IMAGES = Images("localhost/trainyard-operator:0123", "localhost/trainyard-trainer:4567")


def test_chart_accepts_them_and_the_operator_too() -> None:
    made = render(values(IMAGES, ACCOUNT))
    settings = parse_settings(one(made, "ConfigMap")["data"]["settings.yaml"])
    assert settings.trainer.image == IMAGES.trainer
    assert settings.store.endpoint_url == ACCOUNT.endpoint_url
    assert settings.progress.url == f"http://{PROGRESS_ADDRESS}:8080"
    (container,) = one(made, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["imagePullPolicy"]) == (IMAGES.operator, "Never")


def test_no_credential_is_among_them() -> None:
    text = str(render(values(IMAGES, ACCOUNT)))
    assert ACCOUNT.access_key not in text
    assert ACCOUNT.secret_key not in text


def test_fixed_address_is_one_of_the_local_clusters_services() -> None:
    assert ipaddress.ip_address(PROGRESS_ADDRESS) in ipaddress.ip_network(SERVICES)


def test_both_namespaces_refuse_pods_that_are_not_restricted() -> None:
    namespaces = [item for item in objects(ACCOUNT) if item["kind"] == "Namespace"]
    assert len(namespaces) == 2
    for namespace in namespaces:
        labels = namespace["metadata"]["labels"]
        assert labels == {"pod-security.kubernetes.io/enforce": "restricted"}


def test_team_has_the_secret_that_runs_take_their_credentials_from() -> None:
    (secret,) = (i for i in objects(ACCOUNT) if i["metadata"]["name"] == TEAM_SECRET)
    assert set(secret["stringData"]) == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
