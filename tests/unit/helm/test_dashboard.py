"""The Grafana dashboard: complete, readable, and about metrics that there are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from expressions import complaints, exposed, names, with_variables
from rendering import CHART, NAMESPACE, kinds, one, render

DASHBOARD: dict[str, Any] = json.loads((CHART / "files" / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24


@pytest.mark.parametrize("panel", PANELS, ids=[panel["title"] for panel in PANELS])
def test_panel_says_what_it_shows_in_units_and_asks_for_what_there_is(
    panel: dict[str, Any],
) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["datasource"] == DATASOURCE
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]
    refs = [target["refId"] for target in panel["targets"]]
    assert len(refs) == len(set(refs))
    for target in panel["targets"]:
        assert target["datasource"] == DATASOURCE
        assert complaints(with_variables(target["expr"])) == []


def test_dashboard_is_found_again_and_shows_any_prometheus() -> None:
    assert DASHBOARD["uid"] == "trainyard"
    assert DASHBOARD["title"] == "Trainyard"
    assert DASHBOARD["schemaVersion"] >= 36
    assert "id" not in DASHBOARD, "Grafana gives it one"
    variables = {item["name"]: item for item in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["current"] == {}, "none of ours"
    metric = variables["node"]["query"]["query"].removeprefix("label_values(").split(",")[0]
    assert "node" in exposed()[metric]


def test_no_two_panels_lie_on_another_and_none_sticks_out() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                other = taken.setdefault((x, y), panel["title"])
                assert other == panel["title"], f"{panel['title']} lies on {other}"
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


def test_every_metric_of_the_operator_is_on_it() -> None:
    shown = {
        name
        for panel in PANELS
        for target in panel["targets"]
        for name in names(with_variables(target["expr"]))
    }
    told = {
        name.removesuffix("_bucket")
        for name in exposed()
        if name.startswith("trainyard_") and not name.endswith(("_created", "_sum", "_count"))
    }
    families = {name.removesuffix("_count").removesuffix("_bucket") for name in shown}
    assert told - families == {"trainyard_node_double_placements_total"}, "the alert has it"


def test_it_is_off_by_default() -> None:
    assert [item["metadata"]["name"] for item in kinds(render(), "ConfigMap")] == ["trainyard"]


def test_the_sidecar_of_grafana_finds_it() -> None:
    values = {"metrics": {"dashboard": {"enabled": True}}}
    made = one(render(values), "ConfigMap", "trainyard-dashboard")
    assert made["metadata"]["namespace"] == NAMESPACE
    assert made["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(made["data"]["trainyard.json"]) == DASHBOARD


def test_it_may_lie_elsewhere_and_in_a_folder() -> None:
    annotations = {"grafana_folder": "Training"}
    told = {"enabled": True, "namespace": "monitoring", "annotations": annotations}
    made = one(render({"metrics": {"dashboard": told}}), "ConfigMap", "trainyard-dashboard")
    assert made["metadata"]["namespace"] == "monitoring"
    assert made["metadata"]["annotations"] == annotations
