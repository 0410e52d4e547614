"""What a scrape shows."""

from __future__ import annotations

import tomllib
from functools import partial
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.unit.builders import NOW, SETTINGS, process
from tests.unit.operator.test_auditor import pod
from tests.unit.operator.test_node_metrics import waiting
from trainyard.cluster.cache import Cache
from trainyard.cluster.resources import POD, PROCESS
from trainyard.decide.facts import DecisionSettings
from trainyard.operator import __version__
from trainyard.operator.metrics import Metrics, Vitals
from trainyard.operator.reports import ReportOutcome

ROOT = Path(__file__).resolve().parents[3]
Sample = tuple[str, frozenset[tuple[str, str]]]


def metrics_of(
    cache: Cache | None = None, rules: DecisionSettings = SETTINGS, **vitals: float
) -> Metrics:
    """Metrics of a healthy leader with nothing to do, but for what is said otherwise."""
    told = {"queue_depth": 0, "leading": True, "healthy": True, "ready": True, **vitals}
    asked = {name: partial(lambda value: value, value) for name, value in told.items()}
    return Metrics(cache or Cache(), Vitals(**asked), rules, lambda: NOW)


def scraped(metrics: Metrics) -> dict[str, float]:
    """Each sample as `name{label="value"}`."""
    body, content_type = metrics.text("")
    assert content_type.startswith("text/plain; version=0.0.4")
    found = {}
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            labels = ",".join(f'{key}="{value}"' for key, value in sorted(sample.labels.items()))
            found[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


def test_the_cluster_is_counted_when_it_is_asked_for() -> None:
    cache = Cache()
    metrics = metrics_of(cache, queue_depth=3)
    before = scraped(metrics)
    assert before['trainyard_training_processes{phase="Running"}'] == 0
    assert before["trainyard_node_double_placements_total"] == 0
    assert before["trainyard_queue_depth"] == 3
    assert before["trainyard_leader"] == 1
    assert before[f'trainyard_build_info{{version="{__version__}"}}'] == 1
    cache.put(POD, pod("a"))
    running = {**process().to_wire(), "status": {"phase": "Running"}}
    cache.put(PROCESS, running)
    cache.put(PROCESS, process("new").to_wire())
    after = scraped(metrics)
    assert after['trainyard_node_live_training_pods{node="gpu-1"}'] == 1
    assert after['trainyard_training_processes{phase="Running"}'] == 1
    assert after['trainyard_training_processes{phase="Created"}'] == 1


def test_two_live_pods_of_a_node_are_a_double_placement() -> None:
    cache = Cache()
    metrics = metrics_of(cache, leading=False)
    for raw in (pod("a"), pod("b")):
        cache.put(POD, raw)
        metrics.auditor.look(raw)
    found = scraped(metrics)
    assert found["trainyard_node_double_placements_total"] == 1
    assert found['trainyard_node_live_training_pods{node="gpu-1"}'] == 2
    assert found["trainyard_leader"] == 0


def test_passes_are_timed_by_kind_and_their_failures_counted_by_reason() -> None:
    metrics = metrics_of()
    metrics.pass_over("Dataset", 0.2)
    metrics.pass_over("Dataset", 20, "api")
    found = scraped(metrics)
    name = "trainyard_reconcile_duration_seconds"
    assert found[f'{name}_count{{kind="Dataset"}}'] == 2
    assert found[f'{name}_bucket{{kind="Dataset",le="0.25"}}'] == 1
    assert found['trainyard_reconcile_errors_total{kind="Dataset",reason="api"}'] == 1
    assert found['trainyard_reconcile_errors_total{kind="Node",reason="other"}'] == 0


def test_health_is_told_as_the_probes_tell_it() -> None:
    well = scraped(metrics_of())
    assert (well["trainyard_healthy"], well["trainyard_ready"]) == (1, 1)
    ill = scraped(metrics_of(healthy=False, ready=False))
    assert (ill["trainyard_healthy"], ill["trainyard_ready"]) == (0, 0)


def test_reports_are_counted_by_what_became_of_them_from_zero_on() -> None:
    metrics = metrics_of()
    metrics.reported(ReportOutcome.BAD_TOKEN)
    found = scraped(metrics)
    counts = {
        outcome: found[f'trainyard_progress_reports_total{{outcome="{outcome}"}}']
        for outcome in ReportOutcome
    }
    assert counts.pop(ReportOutcome.BAD_TOKEN) == 1
    assert set(counts.values()) == {0}


def test_no_label_is_the_name_of_an_object() -> None:
    cache = Cache()
    metrics = metrics_of(cache)
    cache.put(PROCESS, waiting("first", node="nowhere").to_wire())
    before = len(scraped(metrics))
    for number in range(50):
        cache.put(PROCESS, process(f"run-{number}").to_wire())
        queued = waiting(f"queued-{number}", node=f"made-up-{number}")
        cache.put(PROCESS, queued.to_wire())
        metrics.written(queued, queued.status)
    assert len(scraped(metrics)) == before


def test_openmetrics_is_given_to_who_asks_for_it() -> None:
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    body, content_type = metrics_of().text(accept)
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def test_every_metric_is_in_the_page_about_them_and_no_other() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    listed = {
        line.split("`")[1].partition("{")[0]
        for line in page.splitlines()
        if line.startswith("| `trainyard_")
    }
    body, _ = metrics_of().text("")
    told = {
        line.split()[2]
        for line in body.decode().splitlines()
        if line.startswith("# TYPE trainyard_") and not line.split()[2].endswith("_created")
    }
    assert listed == told


def test_version_is_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__
