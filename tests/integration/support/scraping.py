"""What an operator tells Prometheus, and what the API server counts."""

from __future__ import annotations

import re
from collections import Counter

from prometheus_client.parser import text_string_to_metric_families

from support.operator_process import OperatorProcess
from trainyard.cluster.api_server import ApiServer
from trainyard_local.web import ask

WRITES = {"POST", "PUT", "PATCH", "DELETE", "DELETECOLLECTION", "APPLY"}
OURS = {
    "capabilities",
    "configmaps",
    "datasets",
    "events",
    "jobs",
    "pods",
    "tokenreviews",
    "trainedmodels",
    "trainingprocesses",
    "trainingtemplates",
}
"""Resources that nobody but the operator and the Job controller writes here."""
_SAMPLE = re.compile(r"^apiserver_request_total\{(?P<labels>[^}]*)\} (?P<count>\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


def writes(api: ApiServer) -> Counter[str]:
    """Write requests that the API server has counted, those that changed nothing included."""
    client = api._client
    prepared = client.param_serialize("GET", "/metrics", auth_settings=["BearerToken"])
    response = client.call_api(*prepared, _request_timeout=(5, 20))
    found: Counter[str] = Counter()
    for sample in _SAMPLE.finditer(response.read().decode()):
        labels = dict(_LABEL.findall(sample["labels"]))
        if labels["verb"] in WRITES and labels["resource"] in OURS:
            found[f"{labels['verb']} {labels['resource']} {labels['code']}"] += int(
                float(sample["count"])
            )
    return found


def scrape(operator: OperatorProcess) -> dict[str, float]:
    """An operator's metrics as `name{label="value"}`; empty while it does not answer."""
    answer = ask(f"http://127.0.0.1:{operator.health_port}/metrics")
    if not answer.ok:
        return {}
    found = {}
    for family in text_string_to_metric_families(answer.body.decode()):
        for sample in family.samples:
            labels = ",".join(f'{key}="{value}"' for key, value in sorted(sample.labels.items()))
            found[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


def leads(operator: OperatorProcess) -> bool:
    """Whether an operator says that it decides."""
    return scrape(operator).get("trainyard_leader") == 1
