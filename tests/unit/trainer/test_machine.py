import subprocess
import sys
from pathlib import Path

import pytest

from trainyard_trainer.faults import InvalidRunFile
from trainyard_trainer.machine import cpu_count, cpu_seconds, cpus_of


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.delenv("TRAINYARD_CPUS", raising=False)


def version_2(root: Path, text: str) -> Path:
    (root / "cpu.max").write_text(text)
    return root


def version_1(root: Path, quota: str) -> Path:
    (root / "cpu").mkdir()
    (root / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (root / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    return root


@pytest.mark.parametrize(
    ("text", "cpus"), [("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1)]
)
def test_the_limit_of_the_control_group_counts(tmp_path: Path, text: str, cpus: int) -> None:
    assert cpu_count(4, version_2(tmp_path, text)) == cpus


@pytest.mark.parametrize(("quota", "cpus"), [("300000", 3), ("10000", 1)])
def test_so_does_that_of_version_1(tmp_path: Path, quota: str, cpus: int) -> None:
    assert cpu_count(None, version_1(tmp_path, quota)) == cpus


def test_without_a_limit_the_request_counts(tmp_path: Path) -> None:
    assert cpu_count(2, version_2(tmp_path, "max 100000")) == 2
    assert cpu_count(0.5, tmp_path) == 1


def test_without_either_all_cpus_count(tmp_path: Path) -> None:
    assert cpu_count(None, tmp_path) == 8
    (tmp_path / "v1").mkdir()
    assert cpu_count(None, version_1(tmp_path / "v1", "-1")) == 8


def test_never_more_than_there_are(tmp_path: Path) -> None:
    assert cpu_count(64, tmp_path) == 8


@pytest.mark.parametrize(("named", "cpus"), [("3", 3), ("500m", 1), ("2500m", 3), ("99", 8)])
def test_the_variable_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, cpus: int
) -> None:
    monkeypatch.setenv("TRAINYARD_CPUS", named)
    assert cpu_count(4, version_2(tmp_path, "100000 100000")) == cpus


def test_a_variable_that_is_no_quantity_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAINYARD_CPUS", "many")
    with pytest.raises(InvalidRunFile, match="TRAINYARD_CPUS is 'many'"):
        cpu_count(None, tmp_path)


def test_quantities_are_cpus() -> None:
    assert (cpus_of("2"), cpus_of("500m"), cpus_of("1.5")) == (2.0, 0.5, 1.5)


def test_cpu_time_is_that_of_the_control_group_of_either_version(tmp_path: Path) -> None:
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 2000000\n")
    (tmp_path / "one" / "cpuacct").mkdir(parents=True)
    (tmp_path / "one" / "cpuacct" / "cpuacct.usage").write_text("1500000000\n")
    assert cpu_seconds(tmp_path / "two") == 2.5
    assert cpu_seconds(tmp_path / "one") == 1.5


def test_without_a_control_group_it_is_that_of_the_process(tmp_path: Path) -> None:
    before = cpu_seconds(tmp_path)
    sum(range(2_000_000))
    assert 0 < cpu_seconds(tmp_path) - before < 10


def test_the_libraries_are_not_read_before_their_environment_is_set() -> None:
    code = (
        "import sys, trainyard_trainer.main, trainyard_trainer.folder\n"
        "print([name for name in ('torch', 'ultralytics', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
