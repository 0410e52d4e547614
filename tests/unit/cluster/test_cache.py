"""The cache never goes back: neither to an older version nor to a deleted object."""

from __future__ import annotations

from typing import Any

from trainyard.cluster.cache import Cache
from trainyard.cluster.resources import JOB, NODE, POD


def thing(name: str, version: int | str, uid: str = "", **more: Any) -> dict[str, Any]:
    meta = {
        "namespace": "demo",
        "name": name,
        "uid": uid or f"uid-{name}",
        "resourceVersion": str(version),
    }
    return {"metadata": meta, **more}


def versions(cache: Cache) -> dict[str, str]:
    return {
        item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in cache.all(JOB)
    }


def test_object_is_found_by_type_and_key() -> None:
    cache = Cache()
    job, pod = thing("a", 1), thing("a", 1, "pod")
    assert cache.put(JOB, job) is None
    cache.put(POD, pod)
    cache.put(NODE, {"metadata": {"name": "gpu-1", "resourceVersion": "3"}})
    assert cache.get(JOB, "demo/a") is job
    assert cache.get(POD, "demo/a") is pod
    assert cache.get(NODE, "gpu-1") is not None
    assert cache.get(JOB, "other/a") is None
    assert cache.all(JOB) == [job]


def test_newer_event_replaces_and_older_or_repeated_ones_do_not() -> None:
    cache = Cache()
    for version in (9, 10, 2, 10):
        cache.put(JOB, thing("a", version))
    assert versions(cache) == {"a": "10"}


def test_versions_are_compared_as_numbers() -> None:
    cache = Cache()
    cache.put(JOB, thing("a", 99))
    cache.put(JOB, thing("a", 100))
    assert versions(cache) == {"a": "100"}


def test_deleted_object_is_forgotten() -> None:
    cache = Cache()
    cache.put(JOB, thing("a", 1))
    cache.drop(JOB, thing("a", 2))
    assert cache.all(JOB) == []
    cache.drop(JOB, thing("a", 2))


def test_late_deletion_leaves_the_successor_of_the_same_name() -> None:
    cache = Cache()
    cache.put(JOB, thing("a", 5, "new"))
    cache.drop(JOB, thing("a", 4, "old"))
    assert versions(cache) == {"a": "5"}


def test_answer_to_an_own_write_that_comes_after_the_deletion_does_not_bring_it_back() -> None:
    cache = Cache()
    cache.put(JOB, thing("a", 1))
    cache.drop(JOB, thing("a", 3))
    cache.put(JOB, thing("a", 2))
    assert cache.all(JOB) == []


def test_list_that_was_read_before_the_deletion_does_not_bring_it_back() -> None:
    cache = Cache()
    cache.put(JOB, thing("a", 1))
    cache.drop(JOB, thing("a", 6))
    cache.replace(JOB, [thing("a", 1)], 5)
    assert cache.all(JOB) == []


def test_successor_of_a_deleted_object_is_taken_over() -> None:
    cache = Cache()
    cache.put(JOB, thing("a", 1, "old"))
    cache.drop(JOB, thing("a", 2, "old"))
    cache.put(JOB, thing("a", 3, "new"))
    assert versions(cache) == {"a": "3"}


def test_object_that_lost_the_label_of_the_watch_and_got_it_back_is_there_again() -> None:
    cache = Cache()
    cache.put(JOB, thing("a", 1))
    cache.drop(JOB, thing("a", 2))
    cache.put(JOB, thing("a", 3))
    assert versions(cache) == {"a": "3"}


class TestReplace:
    def test_takes_over_what_the_list_says(self) -> None:
        cache = Cache()
        cache.put(JOB, thing("same", 3))
        cache.put(JOB, thing("changed", 4))
        cache.put(JOB, thing("vanished", 5))
        changed = cache.replace(
            JOB, [thing("same", 3), thing("changed", 8), thing("appeared", 7)], 10
        )
        assert versions(cache) == {"same": "3", "changed": "8", "appeared": "7"}
        assert changed == {"demo/changed", "demo/vanished", "demo/appeared"}

    def test_keeps_what_is_newer_than_the_list(self) -> None:
        cache = Cache()
        cache.put(JOB, thing("created since", 12))
        cache.put(JOB, thing("changed since", 13))
        cache.replace(JOB, [thing("changed since", 4)], 10)
        assert versions(cache) == {"created since": "12", "changed since": "13"}

    def test_keeps_a_change_that_is_between_the_objects_and_the_lists_version(self) -> None:
        """The LIST shows version 10 of the collection, so an older object in it is the newest."""
        cache = Cache()
        cache.put(JOB, thing("a", 9))
        cache.replace(JOB, [thing("a", 9)], 10)
        assert versions(cache) == {"a": "9"}

    def test_leaves_other_types_alone(self) -> None:
        cache = Cache()
        cache.put(POD, thing("p", 1))
        cache.replace(JOB, [], 10)
        assert len(cache.all(POD)) == 1
