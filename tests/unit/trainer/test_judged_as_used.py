"""What is counted in an evaluation is what the published model answers."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from tests.unit.labelled import shape_bytes
from tests.unit.trainer.pods import SPLITS, Bench, Ended, sealed
from trainyard.api.report import ExitCode
from trainyard.stores import join
from trainyard_trainer import model


def test_answers_are_counted_at_the_overlap_that_the_capability_states(
    bench: Bench, run_here: Callable[[str], Ended], tmp_path: Path
) -> None:
    document = bench.document("yolo-det")
    document["capability"]["parameters"] = {"confidence": 0.0015, "iou": 0.1}
    ended = run_here(sealed(document))
    assert ended.code == ExitCode.OK, ended.output
    assert ended.words.location is not None
    for file in ("model.pth", "config.yaml", "metrics.json"):
        bench.store.download(join(ended.words.location, file), tmp_path / file)
    predictor = model.load(tmp_path / "model.pth", tmp_path / "config.yaml")
    assert predictor.config.thresholds.iou == 0.1
    answers = 0
    for seed in SPLITS["test"]:
        data, _ = shape_bytes(("disc", "square")[seed % 2], seed)
        with Image.open(io.BytesIO(data)) as image:
            answers += len(predictor.predict(image))
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    counted = sum(sum(row[:-1]) for row in metrics["test"]["confusion"]["matrix"])
    assert answers > 0
    assert counted == answers
