from pathlib import Path

import pytest

from trainyard_local import records
from trainyard_local.errors import LocalClusterError
from trainyard_local.records import Action, ClusterRecord, Phase

WANTED = ClusterRecord(Phase.STARTING, ("gpu-1", "gpu-2"), "boot-1", "/clone", "k8s-1")


def test_without_a_record_the_start_is_fresh() -> None:
    assert records.decide(None, WANTED).action is Action.FRESH


def test_a_cluster_that_is_up_is_continued() -> None:
    assert records.decide(WANTED.at(Phase.UP), WANTED).action is Action.CONTINUE


def test_an_interrupted_start_is_continued_and_told() -> None:
    decision = records.decide(WANTED, WANTED)

    assert decision.action is Action.CONTINUE
    assert decision.reason == "the last `up` was interrupted"


def test_after_an_interrupted_stop_everything_is_cleaned_first() -> None:
    assert records.decide(WANTED.at(Phase.STOPPING), WANTED).action is Action.CLEAN_FIRST


def test_after_a_reboot_everything_is_cleaned_first() -> None:
    before = ClusterRecord(Phase.UP, WANTED.nodes, "boot-0", "/clone", "k8s-1")

    assert records.decide(before, WANTED).action is Action.CLEAN_FIRST


def test_programs_of_other_versions_never_serve_old_data() -> None:
    before = ClusterRecord(Phase.UP, WANTED.nodes, "boot-1", "/clone", "k8s-0")

    assert records.decide(before, WANTED).action is Action.CLEAN_FIRST


def test_a_cluster_with_other_nodes_is_left_alone_and_named() -> None:
    other = ClusterRecord(Phase.UP, ("a", "b", "c"), "boot-1", "/their/clone", "k8s-1")

    with pytest.raises(LocalClusterError, match="nodes a, b, c is up, started from /their/clone"):
        records.decide(other, WANTED)


def test_another_clone_continues_the_same_cluster() -> None:
    other = ClusterRecord(Phase.UP, WANTED.nodes, "boot-1", "/their/clone", "k8s-1")

    assert records.decide(other, WANTED).action is Action.CONTINUE


def test_a_record_survives_writing_and_reading(tmp_path: Path) -> None:
    path = tmp_path / "new" / "cluster.json"
    records.write(path, WANTED.at(Phase.UP))

    assert records.read(path) == WANTED.at(Phase.UP)
    assert records.read(tmp_path / "none.json") is None


def test_a_damaged_record_is_told_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "cluster.json"
    path.write_text('{"phase": "flying"}')

    with pytest.raises(LocalClusterError, match="not the record of a cluster"):
        records.read(path)


def test_names_of_nodes_come_from_a_list_with_commas() -> None:
    assert records.node_names(" gpu-1, gpu-2,") == ("gpu-1", "gpu-2")
