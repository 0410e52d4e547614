"""The Datasets of docs/datasets.md do what the page says of them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.builders import NOW, dataset_facts
from tests.unit.labelled import image_bytes
from tests.unit.sources import snapshot_of
from trainyard.api.dataset import Dataset, DatasetPhase
from trainyard.datasets.reading import read_snapshot
from trainyard.decide.dataset import decide_dataset
from trainyard.stores import Store, join
from trainyard_local.s3 import S3Server

PAGE = Path(__file__).parents[3] / "docs" / "datasets.md"
BUCKET = "trainyard"


def _blocks() -> dict[str, dict[str, Any]]:
    texts = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.M)
    documents = [document for text in texts for document in yaml.safe_load_all(text)]
    return {document["metadata"]["name"]: document for document in documents}


DATASETS = _blocks()


def _dataset(name: str) -> Dataset:
    document = DATASETS[name]
    meta = document["metadata"] | {"namespace": "vision", "uid": "u", "generation": 1}
    return Dataset.model_validate(document | {"metadata": meta})


@pytest.mark.parametrize("name", DATASETS)
def test_an_operator_takes_it(name: str) -> None:
    dataset = _dataset(name)
    phase = decide_dataset(dataset_facts(dataset=dataset), NOW).status.phase
    assert phase is (DatasetPhase.DRAFT if dataset.spec.suspend else DatasetPhase.SNAPSHOTTING)


@pytest.fixture(scope="module")
def examples(store: Store, s3_server: S3Server) -> Store:
    """Small images in the places where `make demo` puts those that the page is about."""
    s3_server.client().create_bucket(Bucket=BUCKET)
    root = f"s3://{BUCKET}/examples"
    for number in range(40):
        for split in ("train", "dev"):
            image = image_bytes(number if split == "train" else number + 100)
            tile = f"x{number // 5 * 32:03}-y{number % 5:03}"
            store.write_bytes(join(root, f"digits/{split}/{number % 10}/{number:04}.png"), image)
            store.write_bytes(join(root, f"nuclei/{split}/images/{tile}.png"), image)
            store.write_bytes(join(root, f"nuclei/{split}/labels/{tile}.txt"), b"0 .5 .5 .2 .2\n")
    rows: list[dict[str, Any]] = [
        {"image": "1.png", "value": "cat", "tags": ["reviewed"], "submittedAt": "2026-02-01"},
        {"image": "2.png", "value": "cat", "tags": ["reviewed"], "submittedAt": "2025-02-01"},
        {"image": "3.png", "value": "cat", "submittedAt": "2026-02-01"},
    ]
    for row in rows:
        store.write_bytes(join(root, "records", row["image"]), image_bytes(int(row["image"][0])))
    table = "".join(json.dumps(row | {"patient": "p"}) + "\n" for row in rows)
    store.write_bytes(join(root, "records/rows.jsonl"), table.encode())
    for split in ("train", "dev"):
        store.write_bytes(join(root, f"nuclei/{split}/data.yaml"), b"names: {0: nucleus}\n")
    return store


@pytest.mark.parametrize(
    ("name", "samples", "refused"),
    [
        ("digits-train", 40, {}),
        ("nuclei-and-more", 80, {}),
        ("some-ones-and-sevens", 8, {"Filtered": 32}),
        ("nuclei-by-column", 40, {}),
        ("reviewed-this-year", 1, {"Filtered": 2}),
    ],
)
def test_its_snapshot_has_what_the_page_says(
    examples: Store, name: str, samples: int, refused: dict[str, int]
) -> None:
    spec = _dataset(name).spec
    output = f"s3://{BUCKET}/datasets"
    made = snapshot_of(examples, output, *spec.selections, groupBy=spec.group_by)
    snapshot = read_snapshot(examples, made.location)
    assert snapshot.samples == samples
    assert {entry.reason: entry.count for entry in snapshot.refused} == refused
