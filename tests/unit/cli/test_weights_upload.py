"""`trainyard weights upload` of a model.pth, to a real S3 server."""

from __future__ import annotations

import hashlib
import json
import pickle
import secrets
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.unit.cli.conftest import Run
from tests.unit.labelled import BUCKET
from trainyard.stores import Store


def weights(path: Path, content: object, index: str = "model/data.pkl") -> str:
    """A file as torch writes it, as far as its index goes; gives its SHA-256."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(index, pickle.dumps(content))
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def place(store: Store) -> str:
    """A folder in a bucket that nobody else uses."""
    return f"s3://{BUCKET}/weights-{secrets.token_hex(4)}"


OURS = {"state_dict": {}, "config": {"engine": "yolo-cls"}}


def test_a_model_of_ours_is_stored_as_it_is_and_the_lines_to_use_it_are_printed(
    says: Run, home: Path, place: str, reach: dict[str, str], store: Store
) -> None:
    digest = weights(home / "model.pth", OURS)
    done = says("weights", "upload", "model.pth", f"{place}/", **reach)
    uri = f"{place}/model.pth"
    assert store.read_bytes(uri) == (home / "model.pth").read_bytes()
    values, template = yaml.safe_load_all(done.stdout)
    assert values == {"trainer": {"allowedWeights": [digest]}}
    assert template == {"spec": {"baseModel": {"weights": {"uri": uri, "sha256": digest}}}}
    assert ", sent" in done.stderr
    again = says("weights", "upload", "model.pth", uri, "--output", "json", **reach)
    assert ", there already" in again.stderr
    assert json.loads(again.stdout)["sha256"] == digest


def test_weights_that_templates_name_by_their_digest_are_not_replaced_unasked(
    says: Run, home: Path, place: str, reach: dict[str, str], store: Store
) -> None:
    uri = f"{place}/a.pth"
    weights(home / "a.pth", OURS)
    says("weights", "upload", "a.pth", uri, **reach)
    before = store.read_bytes(uri)
    weights(home / "a.pth", OURS | {"more": 1})
    done = says("weights", "upload", "a.pth", uri, code=1, **reach)
    assert f"{uri} is there with other content" in done.stderr
    assert store.read_bytes(uri) == before
    says("weights", "upload", "a.pth", uri, "--overwrite", **reach)
    assert store.read_bytes(uri) == (home / "a.pth").read_bytes()


REFUSED = {
    "no file of weights": (
        "notes.txt",
        "s3://bucket/a.pth",
        1,
        "is neither a model.pth of Trainyard",
    ),
    "a text": (
        "text.pth",
        "s3://bucket/a.pth",
        1,
        "text.pth is no model.pth of",
    ),
    "tensors of another program": (
        "other.pth",
        "s3://bucket/a.pth",
        1,
        "other.pth is no model.pth of",
    ),
    "a place of another kind": (
        "ours.pth",
        "s3://bucket/weights",
        1,
        "does not end in .pth: give s3:",
    ),
    "a place that is none": ("ours.pth", "weights/a.pth", 1, "weights/a.pth"),
    "a pickle that nobody vouches for": (
        "a.pt",
        "s3://bucket/a.pth",
        1,
        "give --trust if you know",
    ),
    "a file that is not there": ("no.pth", "s3://bucket/a.pth", 2, "'no.pth' does not exist"),
    "no keys": (
        "ours.pth",
        "s3://bucket/a.pth",
        1,
        "there are no keys and no endpoint for the object store",
    ),
}


@pytest.mark.parametrize(("file", "place", "code", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_stored_is_told_in_a_sentence(
    says: Run, home: Path, file: str, place: str, code: int, said: str
) -> None:
    for name in ("notes.txt", "text.pth", "a.pt"):
        (home / name).write_text("hello")
    weights(home / "other.pth", {"model": 1})
    weights(home / "ours.pth", OURS)
    done = says("weights", "upload", file, place, code=code)
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1 or code == 2
    assert done.stdout == ""


def test_a_bucket_that_is_not_there_is_told_with_where_it_was_looked_for(
    says: Run, home: Path, reach: dict[str, str]
) -> None:
    weights(home / "ours.pth", OURS)
    done = says("weights", "upload", "ours.pth", "s3://nowhere/a.pth", code=1, **reach)
    assert "nowhere" in done.stderr
    assert "the endpoint came from your settings" in done.stderr
