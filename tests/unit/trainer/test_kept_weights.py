"""A folder keeps the weights that its run goes on from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.labelled import BUCKET
from tests.unit.trainer.pods import Bench, Ended, sealed
from tests.unit.trainer.untrained import write_box_classifier
from trainyard.api.report import ExitCode
from trainyard.stores import Store

URI = f"s3://{BUCKET}/bases/kept.pth"


def test_weights_that_were_fetched_once_are_fetched_again_only_when_they_are_damaged(
    bench: Bench,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    in_this_process: Callable[..., Ended],
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", bench.server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", bench.server.secret_key)
    weights = write_box_classifier(tmp_path) / "model.pth"
    sha256 = store.upload(weights, URI).sha256
    folder = tmp_path / "folder"
    folder.mkdir()
    run = bench.document("yolo-cls", base={"uri": URI, "sha256": sha256})
    (folder / "run.yaml").write_text(sealed(run))
    kept = folder / ".trainyard/base.pth"

    assert in_this_process("lay-out", folder).code == ExitCode.OK
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == sha256

    store.delete(URI)
    assert in_this_process("lay-out", folder).code == ExitCode.OK

    kept.write_bytes(kept.read_bytes()[:-1])
    refused = in_this_process("lay-out", folder)
    assert refused.code == ExitCode.BAD_CONFIG
    assert f"base: there is no file {URI}" in refused.words.message

    store.upload(weights, URI)
    assert in_this_process("lay-out", folder).code == ExitCode.OK
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == sha256
