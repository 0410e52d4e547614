from pathlib import Path

import pytest

from trainyard_local import records
from trainyard_local.errors import LocalClusterError
from trainyard_local.records import Action, ClusterRecord, Decision, Holder, Phase

WANTED = ClusterRecord(Phase.STARTING, ("gpu-1", "gpu-2"), "boot-1", "/clone", "k8s-1")
THEIRS = ClusterRecord(
    Phase.UP, WANTED.nodes, "boot-1", "/their/clone", "k8s-1", "2026-01-02 03:04 UTC"
)
ALIVE = Holder({"etcd": 11, "kube-apiserver": 12}, clone_exists=True)


def decide(record: ClusterRecord | None, *, take_over: bool = False) -> Decision:
    return records.decide(record, WANTED, ALIVE, take_over=take_over)


def test_without_a_record_the_start_is_fresh() -> None:
    assert decide(None).action is Action.FRESH


def test_a_cluster_that_is_up_is_continued() -> None:
    assert decide(WANTED.at(Phase.UP)).action is Action.CONTINUE


def test_an_interrupted_start_is_continued_and_told() -> None:
    decision = decide(WANTED)

    assert decision.action is Action.CONTINUE
    assert decision.reason == "the last `up` was interrupted"


def test_after_an_interrupted_stop_everything_is_cleaned_first() -> None:
    assert decide(WANTED.at(Phase.STOPPING)).action is Action.CLEAN_FIRST


def test_after_a_reboot_everything_is_cleaned_first() -> None:
    before = ClusterRecord(Phase.UP, WANTED.nodes, "boot-0", "/clone", "k8s-1")

    assert decide(before).action is Action.CLEAN_FIRST


def test_programs_of_other_versions_never_serve_old_data() -> None:
    before = ClusterRecord(Phase.UP, WANTED.nodes, "boot-1", "/clone", "k8s-0")

    assert decide(before).action is Action.CLEAN_FIRST


def test_a_cluster_with_other_nodes_is_left_alone_and_named() -> None:
    other = ClusterRecord(Phase.UP, ("a", "b", "c"), "boot-1", "/clone", "k8s-1")

    with pytest.raises(LocalClusterError, match="nodes a, b, c is up, started from /clone"):
        decide(other)


@pytest.mark.parametrize("record", [THEIRS, THEIRS.at(Phase.STARTING)])
def test_a_cluster_of_another_clone_is_left_alone_and_its_holder_is_named(
    record: ClusterRecord,
) -> None:
    with pytest.raises(LocalClusterError) as refused:
        decide(record)

    for part in (
        "/their/clone",
        "2026-01-02 03:04 UTC",
        "2 of its programs run; etcd is process 11",
        "make -C /their/clone down",
        "up --take-over",
    ):
        assert part in str(refused.value)


def test_a_cluster_that_is_taken_over_is_ended_before_anything_of_this_clone_starts() -> None:
    decision = decide(THEIRS, take_over=True)

    assert decision == Decision(Action.CLEAN_FIRST, "it is taken over from /their/clone")


def test_taking_over_leaves_a_cluster_of_this_clone_as_it_is() -> None:
    assert decide(WANTED.at(Phase.UP), take_over=True).action is Action.CONTINUE


@pytest.mark.parametrize(
    ("holder", "reason"),
    [
        (Holder({"etcd": 1}, clone_exists=False), "the clone /their/clone that started it is gone"),
        (Holder({}, clone_exists=True), "nothing runs any more"),
    ],
)
def test_what_a_clone_left_that_is_gone_or_holds_nothing_is_cleaned_away(
    holder: Holder, reason: str
) -> None:
    decision = records.decide(THEIRS, WANTED, holder)

    assert decision.action is Action.CLEAN_FIRST
    assert reason in decision.reason


def test_other_programs_of_another_clone_are_no_reason_to_end_its_cluster() -> None:
    other = ClusterRecord(Phase.UP, WANTED.nodes, "boot-1", "/their/clone", "k8s-0")

    with pytest.raises(LocalClusterError, match="belongs to the clone /their/clone"):
        decide(other)


def test_a_down_from_another_clone_is_refused_with_its_own_way_to_insist() -> None:
    with pytest.raises(LocalClusterError, match="down --take-over"):
        records.refuse_other(THEIRS, "/clone", ALIVE, take_over=False, command="down")

    assert records.refuse_other(WANTED, "/clone", ALIVE, take_over=False, command="down") == ""


def test_a_record_of_an_earlier_release_is_read(tmp_path: Path) -> None:
    path = tmp_path / "cluster.json"
    path.write_text(
        '{"phase": "up", "nodes": ["a"], "boot_id": "b", "clone": "/c", "programs": "p"}'
    )

    assert records.read(path) == ClusterRecord(Phase.UP, ("a",), "b", "/c", "p", "")


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
