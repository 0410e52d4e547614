"""Each alert rule evaluated by Prometheus' own code: what makes it fire, and what does not."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

CHART = Path(__file__).resolve().parents[3] / "helm" / "trainyard"
RULES = CHART / "files" / "alerts.yaml"
NAMES = [
    rule["alert"]
    for group in yaml.safe_load(RULES.read_text())["groups"]
    for rule in group["rules"]
]


@dataclass
class Case:
    """Series, a value a minute, and which alerts with which labels they raise in the end.

    Attributes
    ----------
    minutes
        When it is looked at.
    fires
        Labels of each instance of the alert; empty: it does not fire.
    """

    alert: str
    series: dict[str, str]
    minutes: int
    fires: list[dict[str, str]] = field(default_factory=list)


FREE = 'trainyard_node_state{node="gpu-1",state="Available",instance="a"}'
LIVE = 'trainyard_node_live_training_pods{node="gpu-1",instance="a"}'
LIVE_B = 'trainyard_node_live_training_pods{node="gpu-1",instance="b"}'
WAITING = 'trainyard_node_queue_length{node="gpu-1",instance="a"}'
AGE = 'trainyard_node_report_age_seconds{node="gpu-1",instance="a"}'
LEADS = 'trainyard_leader{instance="a"}'
STANDS_BY = 'trainyard_leader{instance="b"}'
GPU_1 = {"node": "gpu-1"}


def errors(reason: str) -> str:
    return f'trainyard_reconcile_errors_total{{kind="Dataset",reason="{reason}",instance="a"}}'


def state(word: str) -> str:
    return f'trainyard_node_state{{node="gpu-1",state="{word}",instance="a"}}'


def reports(outcome: str) -> str:
    return f'trainyard_progress_reports_total{{outcome="{outcome}",instance="a"}}'


CASES = {
    "two trainings on a node at once": Case(
        "TrainyardTwoTrainingsOnNode", {LIVE: "1 2"}, 1, [GPU_1]
    ),
    "one training that two operators see is one": Case(
        "TrainyardTwoTrainingsOnNode", {LIVE: "1x9", LIVE_B: "1x9"}, 9
    ),
    "two trainings between two scrapes": Case(
        "TrainyardDoublePlacement",
        {'trainyard_node_double_placements_total{instance="a"}': "0 0 1 1"},
        3,
        [{}],
    ),
    "an operator that restarts after one, long ago": Case(
        "TrainyardDoublePlacement",
        {'trainyard_node_double_placements_total{instance="a"}': "0 1x30 0x20"},
        50,
    ),
    "a node in quarantine": Case(
        "TrainyardNodeQuarantined", {state("Quarantined"): "0 1x5"}, 5, [GPU_1]
    ),
    "a node that came out of it": Case(
        "TrainyardNodeQuarantined", {state("Quarantined"): "1 1 1 0"}, 3
    ),
    "a node that is away": Case(
        "TrainyardNodeNotReady", {state("NodeNotReady"): "1x12"}, 12, [GPU_1]
    ),
    "a node that reboots": Case("TrainyardNodeNotReady", {state("NodeNotReady"): "0 1x8 0x3"}, 12),
    "a free node that takes nobody": Case(
        "TrainyardQueueStuck", {WAITING: "2x16", LIVE: "0x16", FREE: "1x16"}, 16, [GPU_1]
    ),
    "a queue behind a training": Case(
        "TrainyardQueueStuck", {WAITING: "2x16", LIVE: "1x16", FREE: "1x16"}, 16
    ),
    "a queue of a node that takes no trainings": Case(
        "TrainyardQueueStuck", {WAITING: "2x16", LIVE: "0x16", FREE: "0x16"}, 16
    ),
    "a queue that moves": Case(
        "TrainyardQueueStuck",
        {WAITING: "2x7 1x9", LIVE: "0x6 1 0x9", FREE: "1x16"},
        16,
    ),
    "a run that says nothing": Case("TrainyardRunSilent", {AGE: "0+60x25"}, 25, [GPU_1]),
    "a run that reports once in fourteen minutes": Case(
        "TrainyardRunSilent", {AGE: "0+60x14 0+60x14"}, 14
    ),
    "a run that was ended for it": Case(
        "TrainyardRunStalled",
        {'trainyard_attempts_ended_total{reason="Stalled",instance="a"}': "0 0 1"},
        2,
        [{}],
    ),
    "runs that end otherwise": Case(
        "TrainyardRunStalled",
        {'trainyard_attempts_ended_total{reason="Stopped",instance="a"}': "0 1 2"},
        2,
    ),
    "a store that is away": Case(
        "TrainyardStoreUnavailable",
        {'trainyard_unfinished_processes{reason="StoreUnavailable",instance="a"}': "3x12"},
        12,
        [{}],
    ),
    "a store that refuses": Case(
        "TrainyardStoreUnavailable",
        {'trainyard_unfinished_processes{reason="StoreAccessDenied",instance="a"}': "1x12"},
        12,
        [{}],
    ),
    "a store that is back soon": Case(
        "TrainyardStoreUnavailable",
        {'trainyard_unfinished_processes{reason="StoreUnavailable",instance="a"}': "3x5 _x9"},
        12,
    ),
    "a mail that was given up": Case(
        "TrainyardNotificationsFailed",
        {'trainyard_notifications_total{channel="Email",state="Failed",instance="a"}': "0 1"},
        1,
        [{"channel": "Email"}],
    ),
    "mail that was sent": Case(
        "TrainyardNotificationsFailed",
        {'trainyard_notifications_total{channel="Email",state="Sent",instance="a"}': "0+5x9"},
        9,
    ),
    "somebody who tries tokens": Case(
        "TrainyardReportsRefused",
        {reports("bad_token"): "0+2x40"},
        40,
        [{"outcome": "bad_token"}],
    ),
    "a trainer whose run was just deleted": Case(
        "TrainyardReportsRefused", {reports("unknown_pod"): "0 3x40"}, 40
    ),
    "a standby that is asked all the time": Case(
        "TrainyardReportsRefused", {reports("standby"): "0+9x40", reports("accepted"): "0+9x40"}, 40
    ),
    "no operator": Case("TrainyardDown", {LEADS: "1x3 _x20"}, 20, [{}]),
    "an operator that restarts": Case("TrainyardDown", {LEADS: "1x3 _ _ 1x20"}, 20),
    "nobody who leads": Case("TrainyardNoLeader", {LEADS: "0x5", STANDS_BY: "0x5"}, 5, [{}]),
    "a standby beside a leader": Case("TrainyardNoLeader", {LEADS: "1x5", STANDS_BY: "0x5"}, 5),
    "a lead that changes hands": Case(
        "TrainyardNoLeader", {LEADS: "1x3 0x9", STANDS_BY: "0x3 0 1x8"}, 9
    ),
    "an operator that was ill and restarted": Case(
        "TrainyardUnhealthy",
        {'trainyard_healthy{instance="a"}': "1 1 0 1 1 1"},
        5,
        [{"instance": "a"}],
    ),
    "an operator that was ill an hour ago": Case(
        "TrainyardUnhealthy", {'trainyard_healthy{instance="a"}': "0 1x60"}, 60
    ),
    "an operator that cannot list": Case(
        "TrainyardNotReady", {'trainyard_ready{instance="a"}': "0x12"}, 12, [{"instance": "a"}]
    ),
    "an operator that begins": Case(
        "TrainyardNotReady", {'trainyard_ready{instance="a"}': "0 0 1x12"}, 12
    ),
    "an API server that refuses for long": Case(
        "TrainyardReconcileErrors", {errors("api"): "0+30x30"}, 30, [{"kind": "Dataset"}]
    ),
    "an API server that refused for a moment": Case(
        "TrainyardReconcileErrors", {errors("api"): "0 90 90x30"}, 30
    ),
    "objects that had changed": Case(
        "TrainyardReconcileErrors", {errors("conflict"): "0+300x30"}, 30
    ),
    "a fault": Case("TrainyardFault", {errors("other"): "0 1"}, 1, [{"kind": "Dataset"}]),
    "errors that are none": Case("TrainyardFault", {errors("conflict"): "0+9x9"}, 9),
}


def test_every_alert_has_something_that_raises_it_and_something_that_does_not() -> None:
    fires = {(case.alert, bool(case.fires)) for case in CASES.values()}
    assert fires == {(name, way) for name in NAMES for way in (True, False)}


def test_prometheus_takes_the_rules(promtool: Path) -> None:
    done = subprocess.run(
        [promtool, "check", "rules", "--lint-fatal", RULES], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_alert(promtool: Path, tmp_path: Path, case: Case) -> None:
    (rule,) = (
        rule
        for group in yaml.safe_load(RULES.read_text())["groups"]
        for rule in group["rules"]
        if rule["alert"] == case.alert
    )
    # What is said is another test's business: here it would have to be repeated with its values.
    silent = {**rule, "annotations": {}}
    alone = {"groups": [{"name": "one", "rules": [silent]}]}
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(alone))
    document: dict[str, Any] = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": name, "values": values} for name, values in case.series.items()
                ],
                "alert_rule_test": [
                    {
                        "eval_time": f"{case.minutes}m",
                        "alertname": case.alert,
                        "exp_alerts": [
                            {"exp_labels": {**rule["labels"], **labels}} for labels in case.fires
                        ],
                    }
                ],
            }
        ],
    }
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(document))
    done = subprocess.run(
        [promtool, "test", "rules", "test.yaml"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_words_of_an_alert_are_filled_in(promtool: Path, tmp_path: Path, name: str) -> None:
    """A template that cannot be filled in says so in the text that people get."""
    case = next(case for case in CASES.values() if case.alert == name and case.fires)
    document = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": series, "values": values} for series, values in case.series.items()
                ],
                # Wrong on purpose: then promtool shows what there is.
                "alert_rule_test": [
                    {"eval_time": f"{case.minutes}m", "alertname": name, "exp_alerts": []}
                ],
            }
        ],
    }
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(document))
    done = subprocess.run(
        [promtool, "test", "rules", "test.yaml"], cwd=tmp_path, capture_output=True, text=True
    )
    said = done.stdout + done.stderr
    assert f'alertname="{name}"' in said, said
    for fault in ("error expanding template", "{{", "%!", "<no value>"):
        assert fault not in said, said
