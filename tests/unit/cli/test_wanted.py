"""Which Datasets stand in a file of manifests."""

from __future__ import annotations

import json

import pytest

from trainyard.cli.data.wanted import datasets_of

ONE = {"kind": "Dataset", "metadata": {"name": "one"}, "spec": {"suspend": True}}
TWO = {"kind": "Dataset", "metadata": {"name": "two"}, "spec": {"suspend": True}}
NAMES = ("one", "two")
POD = {"kind": "Pod", "metadata": {"name": "p"}}


@pytest.mark.parametrize(
    "text",
    [
        f"---\n{json.dumps(ONE)}\n---\n{json.dumps(TWO)}\n",
        f"{json.dumps(ONE)}\n--- \n{json.dumps(TWO)}\n---\n",
        f"{json.dumps(ONE)}\r\n---\r\n{json.dumps(TWO)}\r\n",
        f"{json.dumps(ONE)}\n--- # the second\n{json.dumps(TWO)}\n",
        json.dumps({"kind": "List", "items": [ONE, POD, TWO]}),
        "".join(
            f"---\nkind: Dataset\nmetadata: {{name: {n}}}\nspec: {{suspend: true}}\n" for n in NAMES
        ),
    ],
    ids=["JSON", "spaces", "Windows line ends", "comments", "List", "kind in the first line"],
)
def test_every_dataset_of_a_file_is_found(text: str) -> None:
    assert [found.metadata.name for found in datasets_of(text, "d.yaml")] == list(NAMES)
