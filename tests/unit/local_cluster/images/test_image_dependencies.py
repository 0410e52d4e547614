"""The download cache that builds share with the user."""

from pathlib import Path

import pytest

from trainyard_local.images.dependencies import seed, user_cache


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    root = tmp_path / "uv"
    (root / "archive-v0/abc/torch").mkdir(parents=True)
    (root / "archive-v0/abc/torch/big.so").write_bytes(b"x" * 100)
    (root / "archive-v0/.tmpdownload").mkdir()
    (root / "wheels-v8/pypi/torch").mkdir(parents=True)
    (root / "wheels-v8/pypi/torch/2.15").symlink_to("../../../archive-v0/abc")
    (root / "wheels-v8/pypi/torch/2.15.http").write_text("policy")
    (root / "simple-v28").mkdir()
    return root


def test_downloaded_wheels_are_shared_without_copying_them(cache: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine"
    seed(cache, target)
    ours = target / "archive-v0/abc/torch/big.so"
    assert ours.stat().st_ino == (cache / "archive-v0/abc/torch/big.so").stat().st_ino
    assert (target / "wheels-v8/pypi/torch/2.15/torch/big.so").samefile(ours)
    assert (target / "wheels-v8/pypi/torch/2.15.http").read_text() == "policy"


def test_pointers_are_copies_because_uv_writes_them_in_place(cache: Path, tmp_path: Path) -> None:
    seed(cache, tmp_path / "mine")
    theirs = cache / "wheels-v8/pypi/torch/2.15.http"
    assert (tmp_path / "mine/wheels-v8/pypi/torch/2.15.http").stat().st_ino != theirs.stat().st_ino


def test_unfinished_downloads_are_left_out(cache: Path, tmp_path: Path) -> None:
    seed(cache, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine/archive-v0").iterdir()] == ["abc"]


def test_a_second_sharing_adds_what_is_new_and_mends_what_was_killed(
    cache: Path, tmp_path: Path
) -> None:
    target = tmp_path / "mine"
    seed(cache, target)
    (cache / "archive-v0/def").mkdir()
    (cache / "archive-v0/def/new.so").write_text("new")
    (target / "archive-v0/.def.unfinished").mkdir()
    seed(cache, target)
    assert (target / "archive-v0/def/new.so").read_text() == "new"
    assert not (target / "archive-v0/.def.unfinished").exists()


def test_a_user_without_a_cache_shares_nothing(tmp_path: Path) -> None:
    seed(tmp_path / "absent", tmp_path / "mine")
    assert list((tmp_path / "mine").iterdir()) == []


def test_the_users_cache_is_where_uv_looks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", "/data/uv")
    assert user_cache() == Path("/data/uv")
    monkeypatch.delenv("UV_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "/data/cache")
    assert user_cache() == Path("/data/cache/uv")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert user_cache() == Path("/home/me/.cache/uv")
