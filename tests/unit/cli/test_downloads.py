"""Fetching a model's files: whole and verified, or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trainyard.api.model import TrainedModel
from trainyard.api.run import StoreLocation
from trainyard.cli.downloads import Downloaded, WantedFile, download, wanted_files
from trainyard.cli.errors import CommandError
from trainyard.cli.progress import LineProgress
from trainyard.stores import Store, StoreUnavailable, open_store

CONTENTS = {"model.pth": os.urandom(3_000_000), "config.yaml": b"a: 1\n", "train.log": b""}


@pytest.fixture
def location(tmp_path: Path) -> str:
    """A folder that is a store."""
    folder = tmp_path / "store"
    folder.mkdir()
    for name, data in CONTENTS.items():
        (folder / name).write_bytes(data)
    return f"file://{folder}"


@pytest.fixture
def files(location: str) -> tuple[WantedFile, ...]:
    return tuple(
        WantedFile(f"{location}/{name}", hashlib.sha256(data).hexdigest(), len(data), name)
        for name, data in CONTENTS.items()
    )


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def fetch(files: tuple[WantedFile, ...], out: Path, **more: Any) -> Downloaded:
    return download(open_store(StoreLocation()), files, out, LineProgress(), **more)


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _written(path: Path) -> tuple[int, int]:
    """Which file it is, and when it was last written; reading it changes neither."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns


def test_every_file_arrives_whole(files: tuple[WantedFile, ...], out: Path) -> None:
    done = fetch(files, out)
    assert content(out) == CONTENTS
    assert done == Downloaded(fetched=files, kept=())


def test_what_is_there_and_verifies_is_not_fetched_again(
    files: tuple[WantedFile, ...], out: Path
) -> None:
    fetch(files, out)
    (out / "config.yaml").unlink()
    before = _written(out / "model.pth")
    again = fetch(files, out)
    assert [file.name for file in again.fetched] == ["config.yaml"]
    assert [file.name for file in again.kept] == ["model.pth", "train.log"]
    assert _written(out / "model.pth") == before
    assert content(out) == CONTENTS


@pytest.mark.parametrize("change", ["flipped", "longer", "shorter", "empty", "gone"])
def test_a_damaged_file_is_not_written_and_is_named_with_both_digests(
    files: tuple[WantedFile, ...], location: str, out: Path, change: str
) -> None:
    stored = Path(location.removeprefix("file://")) / "model.pth"
    data = CONTENTS["model.pth"]
    changed = {
        "flipped": data[:-1] + bytes([data[-1] ^ 1]),
        "longer": data + b"x",
        "shorter": data[:-1],
        "empty": b"",
        "gone": None,
    }[change]
    if changed is None:
        stored.unlink()
        found = "nothing"
    else:
        stored.write_bytes(changed)
        found = hashlib.sha256(changed).hexdigest()
    done = fetch(files, out)
    [sentence] = done.missing if changed is None else done.damaged
    assert f"{location}/model.pth" in sentence
    assert f"expected SHA-256 {files[0].sha256}" in sentence
    assert f"found {found}" in sentence
    assert content(out) == {name: CONTENTS[name] for name in ("config.yaml", "train.log")}


def test_an_edited_file_is_not_replaced_unless_one_says_so(
    files: tuple[WantedFile, ...], out: Path
) -> None:
    out.mkdir()
    (out / "config.yaml").write_text("mine")
    with pytest.raises(CommandError, match=r"config\.yaml is there with other content"):
        fetch(files, out)
    assert content(out) == {"config.yaml": b"mine"}
    fetch(files, out, overwrite=True)
    assert content(out) == CONTENTS


class _BreaksOff:
    """A store whose connection breaks after the first chunk of a file."""

    def __init__(self, store: Store, name: str, error: BaseException) -> None:
        self._store, self._name, self._error = store, name, error

    def stream(self, uri: str) -> Iterator[bytes]:
        for chunk in self._store.stream(uri):
            yield chunk
            if uri.endswith(self._name):
                raise self._error


@pytest.mark.parametrize("error", [StoreUnavailable("broken off"), KeyboardInterrupt()])
def test_an_interrupted_download_leaves_no_wrong_file_and_can_be_repeated(
    files: tuple[WantedFile, ...], out: Path, error: BaseException
) -> None:
    breaking: Any = _BreaksOff(open_store(StoreLocation()), "model.pth", error)
    with pytest.raises(type(error)):
        download(breaking, files, out, LineProgress())
    assert content(out) == {}
    assert fetch(files, out).fetched == files
    assert content(out) == CONTENTS


def test_what_a_killed_download_left_behind_is_written_anew(
    files: tuple[WantedFile, ...], out: Path
) -> None:
    out.mkdir()
    (out / "model.pth.part").write_bytes(os.urandom(4_000_000))
    fetch(files, out)
    assert content(out) == CONTENTS


def test_two_downloads_do_not_write_the_same_files(
    files: tuple[WantedFile, ...], out: Path
) -> None:
    out.mkdir()
    other = os.open(out, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    with pytest.raises(CommandError, match="another download is writing"):
        fetch(files, out)
    os.close(other)
    fetch(files, out)


def model(**uris: str) -> TrainedModel:
    artefacts: dict[str, Any] = {
        role: {"uri": uri, "sha256": "0" * 64, "sizeBytes": 1} for role, uri in uris.items()
    }
    return TrainedModel.model_validate(
        {
            "metadata": {"name": "cats", "namespace": "team"},
            "spec": {
                "capability": "animals",
                "type": "ImageClassifierElement",
                "engine": "yolo-cls",
                "classes": [{"attribute": "class", "value": "cat", "position": 0}],
                "artefacts": {"location": "s3://b/runs/1", **artefacts},
            },
        }
    )


def test_files_keep_their_names_below_the_model_and_others_go_into_a_folder() -> None:
    found = wanted_files(
        model(
            weights="s3://b/runs/1/model.pth", log="s3://b/runs/1/logs/a.log", onnx="s3://c/x.onnx"
        )
    )
    assert [file.name for file in found] == ["model.pth", "onnx/x.onnx", "logs/a.log"]


@pytest.mark.parametrize(
    "uri", ["s3://b/runs/1/../../x", "s3://b/runs/1//etc/passwd", "s3://b/runs/1/", "s3://c/.."]
)
def test_no_name_leads_out_of_the_folder(uri: str) -> None:
    with pytest.raises(CommandError, match="has no name that a file can have"):
        wanted_files(model(weights=uri))


def test_two_files_of_one_name_are_refused() -> None:
    first, second = model(weights="s3://b/runs/1/a"), model(config="s3://b/runs/1/a")
    both = first.model_copy(
        update={
            "spec": first.spec.model_copy(
                update={
                    "artefacts": first.spec.artefacts.model_copy(
                        update={
                            "config": second.spec.artefacts.config.model_copy(  # type: ignore[union-attr]
                                update={"sha256": "1" * 64}
                            )
                        }
                    )
                }
            )
        }
    )
    with pytest.raises(CommandError, match="names two files a"):
        wanted_files(both)
