"""The alert rules: what they ask for is there, and each is explained."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from expressions import complaints
from rendering import CHART, NAMESPACE, REPOSITORY, RenderingRefused, kinds, one, render

ALERTS: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
NAMES = [rule["alert"] for rule in ALERTS]
PAGE = (REPOSITORY / "docs" / "metrics.md").read_text()


def rendered(**values: Any) -> dict[str, dict[str, Any]]:
    """The alerts of the chart by name."""
    objects = render({"metrics": {"prometheusRule": {"enabled": True, **values}}})
    groups = one(objects, "PrometheusRule")["spec"]["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


@pytest.mark.parametrize("rule", ALERTS, ids=NAMES)
def test_expression_asks_for_what_the_operator_shows(rule: dict[str, Any]) -> None:
    assert complaints(rule["expr"]) == []


def test_what_is_not_shown_is_found() -> None:
    assert complaints("max(trainyard_nodes_quarantined) > 0") == [
        "trainyard_nodes_quarantined is not exposed"
    ]
    assert complaints('trainyard_node_state{phase="Available"}') == [
        "trainyard_node_state has no label phase"
    ]
    assert complaints('sum(trainyard_node_state{state="Busy"})') == [
        'trainyard_node_state never has state="Busy"'
    ]
    assert complaints('trainyard_progress_reports_total{outcome=~"bad_token|worse"}') == [
        "trainyard_progress_reports_total never has outcome like worse"
    ]
    (complaint,) = complaints("max by (pod) (trainyard_node_queue_length)")
    assert complaint.endswith("it has no label pod")
    with pytest.raises(ValueError, match="unclosed left parenthesis"):
        complaints("max by (node")


@pytest.mark.parametrize("rule", ALERTS, ids=NAMES)
def test_alert_says_what_is_wrong_and_what_to_do_about_it(rule: dict[str, Any]) -> None:
    assert re.fullmatch("Trainyard[A-Z][A-Za-z]+", rule["alert"])
    assert rule["labels"]["severity"] in ("critical", "warning")
    said = rule["annotations"]
    assert said.keys() == {"summary", "description"}
    assert len(said["summary"]) <= 120
    assert "\n" not in said["summary"]
    used = set(re.findall(r"\$labels\.(\w+)", str(said)))
    kept = {
        label.strip()
        for group in re.findall(r"by \(([^)]*)\)", rule["expr"])
        for label in group.split(",")
    }
    assert used <= kept, "labels that the expression does not keep"


def test_every_alert_has_its_section_in_the_page_and_no_other_has() -> None:
    assert len(NAMES) == len(set(NAMES))
    assert re.findall(r"^### (Trainyard\w+)$", PAGE, re.MULTILINE) == NAMES


def test_rules_are_off_by_default() -> None:
    assert kinds(render(), "PrometheusRule") == []


def test_rules_are_rendered_whole_with_their_sections() -> None:
    made = rendered(labels={"release": "p"})
    for rule in ALERTS:
        annotations = {
            **rule["annotations"],
            "runbook": f"docs/metrics.md#{rule['alert'].lower()}",
        }
        assert made[rule["alert"]] == {**rule, "annotations": annotations}
    objects = render({"metrics": {"prometheusRule": {"enabled": True, "labels": {"release": "p"}}}})
    meta = one(objects, "PrometheusRule")["metadata"]
    assert (meta["namespace"], meta["labels"]["release"]) == (NAMESPACE, "p")


def test_alerts_can_be_labelled_linked_and_left_out() -> None:
    made = rendered(
        alertLabels={"team": "vision", "severity": "page"},
        runbookUrl="https://wiki.example.org/metrics.html",
        disabled=["TrainyardRunSilent", "TrainyardFault"],
    )
    assert set(NAMES) - made.keys() == {"TrainyardRunSilent", "TrainyardFault"}
    one_ = made["TrainyardDown"]
    assert one_["labels"] == {"severity": "page", "team": "vision"}
    assert one_["annotations"]["runbook_url"] == (
        "https://wiki.example.org/metrics.html#trainyarddown"
    )
    assert "runbook" not in one_["annotations"]


def test_a_group_without_alerts_is_left_out() -> None:
    groups = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["groups"]
    first = [rule["alert"] for rule in groups[0]["rules"]]
    values = {"enabled": True, "disabled": first}
    made = one(render({"metrics": {"prometheusRule": values}}), "PrometheusRule")
    assert [group["name"] for group in made["spec"]["groups"]] == [
        group["name"] for group in groups[1:]
    ]


def test_leaving_out_an_alert_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(RenderingRefused, match="names TrainyardGone, which is no alert"):
        rendered(disabled=["TrainyardGone"])
