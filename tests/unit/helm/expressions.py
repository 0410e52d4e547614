"""Expressions for Prometheus, compared with what the operator really shows it."""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cache
from typing import Any

import promql_parser as promql
from prometheus_client.parser import text_string_to_metric_families
from tests.unit.builders import after
from tests.unit.operator.test_metrics import metrics_of
from tests.unit.operator.test_node_metrics import condition, node, waiting, with_raw_status
from tests.unit.operator.test_transitions import over, running

from trainyard.cluster.cache import Cache
from trainyard.cluster.resources import NODE, PROCESS
from trainyard.decide.facts import DecisionSettings

FROM_THE_SCRAPE = {"instance", "job"}
"""Labels that Prometheus adds to all that it scrapes."""
GRAFANA = {
    "$__rate_interval": "5m",
    "$__interval": "1m",
    "$__range_s": "86400",
    "$__range": "1d",
    "$node": "gpu-1",
}
"""What Grafana puts in place of its variables, for example."""

Exposed = dict[str, dict[str, set[str]]]


@cache
def exposed() -> Exposed:
    """Each sample of an operator that has seen everything once: its labels and their values."""
    cache_ = Cache()
    cache_.put(NODE, node())
    reports = condition("Running", "True", after(-9))
    for process in (
        waiting("waits"),
        *(
            waiting(reason.lower(), reason=reason)
            for reason in ("StoreUnavailable", "StoreAccessDenied", "StoreContentUnusable")
        ),
        with_raw_status("runs", {"phase": "Running", "conditions": [reports]}),
    ):
        cache_.put(PROCESS, process.to_wire())
    rules = DecisionSettings(image="x", store_root="s3://x", progress_url="http://x:1")
    metrics = metrics_of(cache_, rules)
    metrics.written(waiting("cats"), running().status)
    metrics.written(running(), over().status)
    metrics.pass_over("TrainingProcess", 1.0)
    found: Exposed = {}
    text = metrics.text("")[0].decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = found.setdefault(sample.name, defaultdict(set))
            for key, value in sample.labels.items():
                labels[key].add(value)
    return found


def with_variables(expression: str) -> str:
    """The expression as Grafana sends it."""
    for name, value in GRAFANA.items():
        expression = expression.replace(name, value)
    return expression


def complaints(expression: str) -> list[str]:
    """What of an expression names something that the operator does not show."""
    found: list[str] = []

    def look(part: Any) -> None:
        if isinstance(part, promql.VectorSelector):
            found.extend(_of_selector(part))
        elif isinstance(part, promql.AggregateExpr) and part.modifier is not None:
            unknown = set(part.modifier.labels) - _labels(part.expr) - FROM_THE_SCRAPE
            found.extend(f"{part}: it has no label {label}" for label in sorted(unknown))

    promql.walk(promql.parse(expression), look)
    return found


def names(expression: str) -> set[str]:
    """The samples that an expression asks for."""
    found: set[str] = set()

    def look(part: Any) -> None:
        if isinstance(part, promql.VectorSelector):
            found.add(str(part.name))

    promql.walk(promql.parse(expression), look)
    return found


def _labels(part: Any) -> set[str]:
    return {label for name in names(str(part)) for label in exposed().get(name, ())}


def _of_selector(selector: promql.VectorSelector) -> list[str]:
    known = exposed().get(str(selector.name))
    if known is None:
        return [f"{selector.name} is not exposed"]
    found = []
    for matcher in selector.matchers.matchers:
        values = known.get(matcher.name, set())
        if matcher.name not in known:
            found.append(f"{selector.name} has no label {matcher.name}")
        elif matcher.op in (promql.MatchOp.Equal, promql.MatchOp.NotEqual):
            if matcher.value not in values:
                found.append(f"{selector.name} never has {matcher}")
        else:
            found += [
                f"{selector.name} never has {matcher.name} like {part}"
                for part in matcher.value.split("|")
                if not any(re.fullmatch(part, value) for value in values)
            ]
    return found
