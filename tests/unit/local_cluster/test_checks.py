from dataclasses import replace

import pytest

from trainyard_local.checks import (
    Basics,
    Surroundings,
    basic_problems,
    surrounding_problems,
    warnings,
)

GOOD = Basics("Linux", "x86_64", 0, 50 * 10**9, 1)
EMPTY = Surroundings(
    (("0.0.0.0/0", "eth0"), ("192.168.1.0/24", "eth0")), frozenset({"lo", "eth0"}), frozenset(), {}
)


def test_a_good_machine_has_no_problem_and_no_warning() -> None:
    assert basic_problems(GOOD) == []
    assert warnings(GOOD) == []
    assert surrounding_problems(EMPTY) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"system": "Darwin", "cgroup_version": None}, "needs Linux, this is Darwin"),
        ({"user_id": 1000}, "must be started as root"),
        ({"free_bytes": 2 * 10**9}, "has 2.0 GB free, the cluster needs 3 GB"),
        ({"cgroup_version": None}, "no cgroups are mounted"),
    ],
)
def test_what_the_machine_lacks_is_one_sentence(change: dict[str, object], sentence: str) -> None:
    (problem,) = basic_problems(replace(GOOD, **change))  # type: ignore[arg-type]

    assert sentence in problem
    assert "\n" not in problem


def test_cgroups_of_version_2_are_tried_with_a_warning() -> None:
    machine = replace(GOOD, cgroup_version=2)

    assert basic_problems(machine) == []
    assert "cgroups v2, on which the local cluster is untested" in warnings(machine)[0]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"links": frozenset({"ty-host"})}, "link ty-host is there but this cache knows of no"),
        ({"routes": (("10.0.0.0/8", "wg0"),)}, "route to 10.0.0.0/8 over wg0 collides"),
        ({"busy_ports": {"etcd": 21379}}, "port 21379 of 127.0.0.1, needed for etcd, is taken"),
        ({"tables": frozenset({("ip", "kube-proxy")})}, "table `ip kube-proxy` belongs to"),
    ],
)
def test_what_stands_in_the_way_is_named(change: dict[str, object], sentence: str) -> None:
    (problem,) = surrounding_problems(replace(EMPTY, **change))  # type: ignore[arg-type]

    assert sentence in problem


def test_a_table_of_somebody_elses_is_no_problem() -> None:
    assert surrounding_problems(replace(EMPTY, tables=frozenset({("inet", "firewalld")}))) == []
