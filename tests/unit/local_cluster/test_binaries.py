from pathlib import Path

import pytest

from trainyard_local import binaries, versions
from trainyard_local.components import KUBERNETES, NAMES
from trainyard_local.errors import LocalClusterError
from trainyard_local.golang import go_release
from trainyard_local.paths import Cache, cache


def program(folder: Path, name: str, mode: int = 0o755, version: str | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho {name} {version or versions.wanted(name)}\n")
    path.chmod(mode)
    return path


def test_a_folder_that_the_user_names_wins_over_the_cache(tmp_path: Path) -> None:
    place = Cache(tmp_path / "cache")
    program(binaries.module_folder(place, KUBERNETES), "etcd")
    mine = program(tmp_path / "mine", "etcd")

    assert binaries.find(["etcd"], place, {"TRAINYARD_BINARIES": str(mine.parent)}) == {
        "etcd": mine
    }


def test_our_own_variable_wins_over_kubebuilders(tmp_path: Path) -> None:
    ours, theirs = program(tmp_path / "a", "etcd"), program(tmp_path / "b", "etcd")
    named = {"KUBEBUILDER_ASSETS": str(theirs.parent), "TRAINYARD_BINARIES": str(ours.parent)}

    assert binaries.find(["etcd"], Cache(tmp_path), named)["etcd"] == ours


def test_what_the_users_folder_lacks_comes_from_the_cache(tmp_path: Path) -> None:
    place = Cache(tmp_path / "cache")
    cached = program(binaries.module_folder(place, KUBERNETES), "kubelet")
    named = program(tmp_path / "assets", "etcd")

    found = binaries.find(["etcd", "kubelet"], place, {"KUBEBUILDER_ASSETS": str(named.parent)})

    assert found == {"etcd": named, "kubelet": cached}


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("kubelet", "v1.31.0"),
        ("kube-apiserver", "v1.38.0"),
        ("etcd", "v2.3.8"),
        ("helm", "nothing"),
    ],
)
def test_a_program_of_a_version_that_does_not_fit_is_passed_over(
    tmp_path: Path, name: str, version: str
) -> None:
    named = {"KUBEBUILDER_ASSETS": str(program(tmp_path, name, version=version).parent)}

    assert binaries.find([name], Cache(tmp_path / "cache"), named) == {}
    (line,) = binaries.complaints([name], named)
    assert line.startswith(f"{name} of KUBEBUILDER_ASSETS={tmp_path} ")
    assert line.endswith(": looking elsewhere")


@pytest.mark.parametrize(("name", "version"), [("kubelet", "v1.37.9"), ("etcd", "3.6.5")])
def test_another_patch_release_fits_and_so_does_another_etcd(
    tmp_path: Path, name: str, version: str
) -> None:
    mine = program(tmp_path, name, version=version)
    named = {"TRAINYARD_BINARIES": str(tmp_path)}

    assert binaries.find([name], Cache(tmp_path / "cache"), named) == {name: mine}
    assert binaries.complaints([name], named) == []


def test_a_wrong_version_in_our_own_folder_is_refused_with_what_is_needed(tmp_path: Path) -> None:
    program(tmp_path, "kubelet", version="v1.31.0")

    with pytest.raises(
        LocalClusterError,
        match=r"kubelet of TRAINYARD_BINARIES=.* is v1.31.0, but "
        r"v1.37 is needed: name another folder, or none",
    ):
        binaries.complaints(["kubelet"], {"TRAINYARD_BINARIES": str(tmp_path)})


def test_our_own_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(LocalClusterError, match=r"TRAINYARD_BINARIES=.*none is no folder"):
        binaries.complaints([], {"TRAINYARD_BINARIES": str(tmp_path / "none")})


def test_a_file_that_cannot_be_executed_is_no_program(tmp_path: Path) -> None:
    place = Cache(tmp_path)
    folder = binaries.module_folder(place, KUBERNETES)
    folder.mkdir(parents=True)
    (folder / "etcd").mkdir()

    assert binaries.find(["etcd"], place, {}) == {}


def test_an_unfinished_build_is_not_found(tmp_path: Path) -> None:
    place = Cache(tmp_path)
    program(binaries.module_folder(place, KUBERNETES), ".etcd.unfinished")

    assert binaries.find(["etcd"], place, {}) == {}


def test_stopping_needs_no_program_to_be_there(tmp_path: Path) -> None:
    assert set(binaries.expected(Cache(tmp_path), {}).paths) == set(NAMES)


def test_an_unknown_program_is_named_with_those_that_there_are() -> None:
    with pytest.raises(LocalClusterError, match=r"called dockerd; there are etcd, helm"):
        binaries.obtain(["dockerd"])


def test_folders_for_the_path_are_named_once(tmp_path: Path) -> None:
    found = binaries.Binaries({name: tmp_path / "one" / name for name in ("kubectl", "kubelet")})

    assert found.folders == (tmp_path / "one",)


@pytest.mark.parametrize(
    ("line", "release"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26)),
        ("go version go1.19 linux/amd64", (1, 19)),
        ("go version devel go1.28-abc linux/amd64", (1, 28)),
        ("", (0, 0)),
    ],
)
def test_the_release_of_go_is_read_from_what_it_says(line: str, release: tuple[int, int]) -> None:
    assert go_release(line) == release


def test_the_cache_is_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRAINYARD_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache().root == tmp_path / "trainyard"

    monkeypatch.setenv("TRAINYARD_CACHE", str(tmp_path / "own"))
    assert cache().root == tmp_path / "own"
