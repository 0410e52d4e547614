"""The newest report of each pod, in memory."""

from __future__ import annotations

from tests.unit.builders import NOW, UID, after, report
from trainyard.operator.reports import ReportStore


def test_newest_report_replaces_the_one_before() -> None:
    store = ReportStore(lambda: NOW)
    store.put(report(10).report, NOW)
    store.put(report(20).report, after(5))
    found = store.get(UID)
    assert found is not None
    assert (found.report.percent, found.received_at) == (20, after(5))


def test_reports_are_kept_apart_and_forgotten_one_by_one() -> None:
    store = ReportStore(lambda: NOW)
    store.put(report(10).report, NOW)
    store.put(report(20, uid="another").report, NOW)
    store.forget(UID)
    store.forget("nobody")
    assert store.get(UID) is None
    assert store.get("another") is not None


def test_reports_of_all_but_the_unfinished_are_forgotten() -> None:
    store = ReportStore(lambda: NOW)
    for uid in ("a", "b", "c"):
        store.put(report(10, uid=uid).report, NOW)
    store.retain({"b", "not-here"})
    assert len(store) == 1
    assert store.get("b") is not None


def test_it_says_since_when_it_listens() -> None:
    times = iter([NOW, after(60)])
    store = ReportStore(lambda: next(times))
    assert store.listening_since == NOW
    store.put(report(10).report, NOW)
    store.listen_anew()
    assert store.listening_since == after(60)
    assert store.get(UID) is None, "what came before may be older than what another one was told"
